# SPDX-License-Identifier: Apache-2.0
"""Several cameras, one node and one namespace each: multi_camera.launch.py cameras:=cameras.yaml.

The file is a list; config/cameras.yaml is an example. Arguments of diception.launch.py given beside
it hold for all cameras: device:=cpu. Every node loads its own copy of the model.
"""

import difflib

import yaml
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.launch_description_sources import AnyLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare


def nodes(context):
    """Include diception.launch.py once for every camera of the list."""
    one_camera = AnyLaunchDescriptionSource(PathJoinSubstitution(
        [FindPackageShare('diception_ros'), 'launch', 'diception.launch.py']))
    path = LaunchConfiguration('cameras').perform(context)
    cameras = read(path, [argument.name for argument in
                          one_camera.get_launch_description(context).get_launch_arguments()])
    for camera in cameras:
        # What a camera cannot be is refused before any is started: launch would leave that running.
        trial = LaunchContext()
        trial.launch_configurations.update(context.launch_configurations | camera)
        try:
            for entity in one_camera.get_launch_description(context).entities:
                entity.execute(trial)
        except RuntimeError as error:
            raise RuntimeError(f'{path}: camera {camera["namespace"]!r}: {error}') from None
    return [GroupAction([IncludeLaunchDescription(one_camera, launch_arguments=[
        ('clicked_point', 'clicked_point'), *camera.items()])]) for camera in cameras]


def read(path, known):
    """Read a list of cameras as [{argument: text}]; RuntimeError, one line, if it is none."""
    try:
        with open(path) as file:
            cameras = yaml.safe_load(file)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RuntimeError(f"argument 'cameras': {path!r} cannot be read as YAML: "
                           f'{" ".join(str(error).split())}') from None
    if not isinstance(cameras, list) or not cameras or not all(
            isinstance(camera, dict) and {'namespace', 'image'} <= set(camera)
            for camera in cameras):
        raise RuntimeError(f'{path}: a list of cameras is needed, each with namespace and image')
    for name in [name for camera in cameras for name in camera if name not in known]:
        near = difflib.get_close_matches(str(name), known, 1)
        hint = f', did you mean {near[0]}?' if near else f'; known are {", ".join(known)}'
        raise RuntimeError(f'{path}: {name!r} is not an argument of diception.launch.py{hint}')
    cameras = [{name: text(value) for name, value in camera.items()} for camera in cameras]
    namespaces = [camera['namespace'].strip('/') for camera in cameras]
    for namespace in namespaces:
        if namespaces.count(namespace) > 1:
            raise RuntimeError(f'{path}: more than one camera has the namespace {namespace!r}')
    return cameras


def text(value):
    """Return a value of the file as it is given on the command line: a list with commas."""
    if isinstance(value, list):
        return ','.join(map(str, value))
    return '' if value is None else str(value)


def generate_launch_description():
    """Describe the argument and the nodes."""
    return LaunchDescription([
        DeclareLaunchArgument('cameras', default_value=PathJoinSubstitution(
            [FindPackageShare('diception_ros'), 'config', 'cameras.yaml']), description='YAML '
            'file: a list of cameras, each with arguments of diception.launch.py. Such an argument '
            'given beside it, device:=cpu, holds for all cameras that do not say otherwise.'),
        OpaqueFunction(function=nodes),
    ])

# SPDX-License-Identifier: Apache-2.0
"""Several cameras, one node and one namespace each: multi_camera.launch.py cameras:=cameras.yaml.

The file is a list; config/cameras.yaml is an example. Arguments of diception.launch.py given beside
it hold for all cameras: device:=cpu. Every node loads its own copy of the model.
"""

import yaml
from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare


def nodes(context):
    """Include diception.launch.py once for every camera of the list."""
    path = LaunchConfiguration('cameras').perform(context)
    with open(path) as file:
        cameras = yaml.safe_load(file)
    if not isinstance(cameras, list) or not all(
            isinstance(camera, dict) and {'namespace', 'image'} <= set(camera)
            for camera in cameras):
        raise RuntimeError(f'{path}: a list of cameras is needed, each with namespace and image')
    launch_file = PathJoinSubstitution([FindPackageShare('diception_ros'), 'launch',
                                        'diception.launch.py'])
    return [GroupAction([IncludeLaunchDescription(
        launch_file, launch_arguments=[
            ('clicked_point', 'clicked_point'),
            *((name, str(value)) for name, value in camera.items())])]) for camera in cameras]


def generate_launch_description():
    """Describe the argument and the nodes."""
    return LaunchDescription([
        DeclareLaunchArgument('cameras', default_value=PathJoinSubstitution(
            [FindPackageShare('diception_ros'), 'config', 'cameras.yaml']), description='YAML '
            'file: a list of cameras, each with arguments of diception.launch.py.'),
        OpaqueFunction(function=nodes),
    ])

# SPDX-License-Identifier: Apache-2.0
"""One camera, one diception node: ros2 launch diception_ros diception.launch.py image:=TOPIC."""

import os

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare
from launch_ros.utilities import make_namespace_absolute
from rclpy.exceptions import InvalidNamespaceException
from rclpy.validate_namespace import validate_namespace

ARGUMENTS = {
    'image': ('image', "Topic of the camera's pictures (sensor_msgs/Image); with image_transport:="
              'compressed, <image>/compressed is read, which may be said itself, too.'),
    'image_transport': ('', 'raw or compressed; empty = as in params_file.'),
    'camera_info': ('', 'Topic of the calibration; empty = camera_info beside the image.'),
    'reference_depth': ('reference_depth', 'Topic of registered depth pictures, for metres.'),
    'reference_points': ('reference_points', "Topic of a lidar's points, for metres; needs TF."),
    'clicked_point': ('/clicked_point', "Topic of clicked 3-D points; RViz's Publish Point."),
    'clicked_pixel': ('clicked_pixel', 'Topic of clicked pixels; rqt_image_view sends them on '
                      '<shown topic>_mouse_left.'),
    'model': ('', 'nano or the path of a model directory; empty = as in params_file.'),
    'device': ('', 'cuda, cuda:1, ... or cpu; empty = as in params_file. Never replaced by '
               'another: without a GPU say device:=cpu.'),
    'tasks': ('', 'What to run, with commas: depth,normals,semantic:person; empty = as in '
              'params_file.'),
    'params_file': (PathJoinSubstitution([FindPackageShare('diception_ros'), 'config',
                                          'diception.yaml']), 'File of node parameters.'),
    'namespace': ('', 'Namespace of the node and all its topics with relative names.'),
    'use_sim_time': ('false', 'Take the time from /clock (replay, simulation).'),
    'rviz': ('false', 'Start RViz with config/diception.rviz.'),
    'log_level': ('info', 'debug, info, warn, error or fatal.'),
    'respawn': ('false', 'Start the node again when it dies.'),
    'enclave': ('', 'Security enclave of the node (SROS 2), such as /robot/diception; empty = /.'),
}


SWITCH = {'true': True, '1': True, 'yes': True, 'on': True,
          'false': False, '0': False, 'no': False, 'off': False}
LEVELS = ('debug', 'info', 'warn', 'error', 'fatal')


def nodes(context):
    """Make RViz and the node; a function, so that empty arguments leave params_file's values alone.

    What cannot be is refused here: launch forgets the processes that it has started when something
    fails after them, and they would stay.
    """
    value = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    for name in ('use_sim_time', 'rviz', 'respawn'):
        if value[name].lower() not in SWITCH:
            raise RuntimeError(f"argument '{name}': {value[name]!r} is neither true nor false")
        value[name] = SWITCH[value[name].lower()]
    if value['log_level'].lower() not in LEVELS:
        raise RuntimeError(f"argument 'log_level': {value['log_level']!r} is not one of "
                           f'{", ".join(LEVELS)}')
    if not os.path.isfile(value['params_file']):
        raise RuntimeError(f"argument 'params_file': there is no file {value['params_file']!r}")
    try:
        validate_namespace(make_namespace_absolute(value['namespace']).rstrip('/') or '/')
    except InvalidNamespaceException as error:
        raise RuntimeError(f"argument 'namespace': {' '.join(str(error).split())}") from None
    if value['image_transport'] not in ('', 'raw', 'compressed'):
        raise RuntimeError(f"argument 'image_transport': {value['image_transport']!r} is neither "
                           'raw nor compressed')
    image = value['image']
    folder, slash, _ = image.removesuffix('/compressed').rpartition('/')
    camera_info = value['camera_info'] or f'{folder}{slash}camera_info'
    given = {name: ParameterValue(value[name], value_type=str)
             for name in ('model', 'device', 'tasks', 'image_transport') if value[name]}
    given['use_sim_time'] = value['use_sim_time']
    return rviz(value) + [LifecycleNode(
        package='diception_ros', executable='diception_node', name='diception',
        namespace=value['namespace'], output='screen', emulate_tty=True,
        parameters=[value['params_file'], given],
        remappings=[('image', image), ('camera_info', camera_info),
                    ('reference_depth', value['reference_depth']),
                    ('reference_points', value['reference_points']),
                    ('clicked_point', value['clicked_point']),
                    ('clicked_pixel', value['clicked_pixel'])],
        arguments=['--ros-args', '--log-level', value['log_level'],
                   *(['--enclave', value['enclave']] if value['enclave'] else [])],
        respawn=value['respawn'], respawn_delay=2.0)]


def rviz(value):
    """Make RViz, if it is asked for."""
    if not value['rviz']:
        return []
    try:
        get_package_prefix('rviz2')
    except PackageNotFoundError:
        raise RuntimeError("argument 'rviz': RViz is not installed: install the package rviz2, or "
                           'say rviz:=false') from None
    return [Node(package='rviz2', executable='rviz2', namespace=value['namespace'],
                 arguments=['-d', PathJoinSubstitution([FindPackageShare('diception_ros'), 'config',
                                                        'diception.rviz'])],
                 parameters=[{'use_sim_time': value['use_sim_time']}])]


def generate_launch_description():
    """Describe the arguments, RViz and the node."""
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=default, description=description)
          for name, (default, description) in ARGUMENTS.items()),
        # Fast DDS loses large images over its default transports. What the user has set stays.
        SetEnvironmentVariable('FASTDDS_BUILTIN_TRANSPORTS', EnvironmentVariable(
            'FASTDDS_BUILTIN_TRANSPORTS', default_value='LARGE_DATA')),
        OpaqueFunction(function=nodes),
    ])

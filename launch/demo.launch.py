# SPDX-License-Identifier: Apache-2.0
"""A made-up camera, the node and RViz: ros2 launch diception_ros demo.launch.py."""

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

NODE_ARGUMENTS = {
    'model': ('nano', 'nano or the path of a model directory.'),
    'device': ('cpu', 'cpu, cuda, cuda:1, ...'),
    'tasks': ('', 'What to run, with commas; empty = every task of config/diception.yaml.'),
    'rviz': ('true', 'Start RViz with config/diception.rviz.'),
}
CAMERA_ARGUMENTS = {
    'rate': ('5.0', 'Pictures per second.', float),
    'seed': ('7', 'Which world the camera moves through.', int),
    'width': ('640', 'Width of the pictures, pixels.', int),
    'height': ('480', 'Height of the pictures, pixels.', int),
}


def check(context):
    """Refuse what is no number before anything is started: launch would leave it running."""
    for name, (_, _, kind) in CAMERA_ARGUMENTS.items():
        value = LaunchConfiguration(name).perform(context)
        try:
            kind(value)
        except ValueError:
            word = {int: 'an integer', float: 'a number'}[kind]
            raise RuntimeError(f"argument '{name}': {value!r} is not {word}") from None


def generate_launch_description():
    """Describe the arguments, the camera and the node."""
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=default, description=description)
          for name, (default, description, *_) in (NODE_ARGUMENTS | CAMERA_ARGUMENTS).items()),
        SetEnvironmentVariable('FASTDDS_BUILTIN_TRANSPORTS', EnvironmentVariable(
            'FASTDDS_BUILTIN_TRANSPORTS', default_value='LARGE_DATA')),
        OpaqueFunction(function=check),
        IncludeLaunchDescription(
            PathJoinSubstitution([FindPackageShare('diception_ros'), 'launch',
                                  'diception.launch.py']),
            launch_arguments=[('image', '/camera/image_raw'),
                              ('reference_depth', '/camera/reference_depth'),
                              *((name, LaunchConfiguration(name)) for name in NODE_ARGUMENTS)]),
        # After what may be refused: a camera that runs already would stay.
        Node(package='diception_ros', executable='world_camera', output='screen',
             parameters=[{name: ParameterValue(LaunchConfiguration(name), value_type=kind)
                          for name, (_, _, kind) in CAMERA_ARGUMENTS.items()}]),
    ])

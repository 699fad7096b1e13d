# SPDX-License-Identifier: Apache-2.0
"""A bag through the node, in real time and to be looked at: replay.launch.py bag:=... image:=...

For every frame and the same bytes every time there is `diception replay`.
"""

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    Shutdown,
)
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

ARGUMENTS = {
    'image': ('/camera/image_raw', 'Topic of the pictures in the bag.'),
    'image_transport': ('', 'raw or compressed; empty = as in config/diception.yaml.'),
    'camera_info': ('', 'Topic of the calibration; empty = camera_info beside the image.'),
    'reference_depth': ('reference_depth', 'Topic of registered depth pictures, for metres.'),
    'model': ('', 'nano or the path of a model directory; empty = as in config/diception.yaml.'),
    'device': ('', 'cuda, cuda:1, ... or cpu; empty = as in config/diception.yaml.'),
    'tasks': ('', 'What to run, with commas; empty = as in config/diception.yaml.'),
    'rviz': ('true', 'Start RViz with config/diception.rviz.'),
}


def end(context):
    """End with the player, which plays until Ctrl-C: then launch is ending already."""
    return [] if context.is_shutdown else [Shutdown(reason='the bag player has ended')]


def generate_launch_description():
    """Describe the arguments, the node on simulated time, and the player."""
    return LaunchDescription([
        DeclareLaunchArgument('bag', description='The rosbag2: a folder, or an .mcap file.'),
        DeclareLaunchArgument('rate', default_value='1.0', description='Speed of the playback.'),
        *(DeclareLaunchArgument(name, default_value=default, description=description)
          for name, (default, description) in ARGUMENTS.items()),
        IncludeLaunchDescription(
            PathJoinSubstitution([FindPackageShare('diception_ros'), 'launch',
                                  'diception.launch.py']),
            launch_arguments=[('use_sim_time', 'true'),
                              *((name, LaunchConfiguration(name)) for name in ARGUMENTS)]),
        # The first seconds pass while the model is loaded: played in a loop, nothing is missed.
        ExecuteProcess(cmd=['ros2', 'bag', 'play', LaunchConfiguration('bag'), '--clock', '--loop',
                            '--rate', LaunchConfiguration('rate')], output='screen',
                       on_exit=OpaqueFunction(function=end)),
    ])

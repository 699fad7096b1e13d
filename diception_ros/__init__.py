# SPDX-License-Identifier: Apache-2.0
"""A generalist diffusion model as a robot's eyes, as a ROS 2 node.

Importing this package imports nothing else: the rooms are imported where they are needed.
"""

__version__ = '0.1.0'

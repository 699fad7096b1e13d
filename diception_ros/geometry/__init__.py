# SPDX-License-Identifier: Apache-2.0
"""Metric scale for relative depth, planes, point clouds, clicks that stay: numpy, scipy and OpenCV
only.

Depth is in metres along Z, NaN where unknown; everything 3-D is in the optical frame (x right, y
down, z forward).
"""

from diception_ros.geometry.camera import CameraModel
from diception_ros.geometry.cloud import Cloud, flying_pixels, point_cloud
from diception_ros.geometry.completion import complete_depth
from diception_ros.geometry.ground import fit_ground_plane
from diception_ros.geometry.normals import angle_between, normals_from_depth
from diception_ros.geometry.scale import Scale, fit_near_far, fit_reference
from diception_ros.geometry.tracking import ClickTracker

__all__ = ['CameraModel', 'ClickTracker', 'Cloud', 'Scale', 'angle_between', 'complete_depth',
           'fit_ground_plane', 'fit_near_far', 'fit_reference', 'flying_pixels',
           'normals_from_depth', 'point_cloud']

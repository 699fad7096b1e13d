# SPDX-License-Identifier: Apache-2.0
"""Messages of metric depth: the camera_info that goes with it, and the point cloud."""

from diception_ros.geometry import normals_from_depth
from diception_ros.geometry import point_cloud as cloud_of
from diception_ros.ros.clouds import from_cloud


def camera_info(disparity, answer):
    """Make the camera's own, with the frame's header, where metres are known."""
    return None if answer.metric_depth is None else answer.camera_info


def point_cloud(disparity, answer):
    """Make a PointCloud2, one row of known points, where metres and camera are known.

    Normals are the model's where the task is on, else those of the depth's surface.
    """
    metres = answer.metric_depth
    if metres is None:
        return None
    if answer.camera is None:
        answer.health.warn('cloud', 'no points: no usable camera_info has arrived')
        return None
    normals = answer.perception.normals
    if normals is None:
        normals = normals_from_depth(metres, answer.camera)
    return from_cloud(cloud_of(metres, answer.camera, answer.rgb, normals,
                               stride=answer.settings['cloud.stride']), answer.header)

# SPDX-License-Identifier: Apache-2.0
"""Depth: the relative disparity that the model sees, and metres where a scale is known."""

from sensor_msgs.msg import CameraInfo, Image

from diception_ros.ros.images import from_array
from diception_ros.tasks import drawing


class Depth:
    """Publishes depth/relative, depth/color, and, where metres are known, depth/image_raw.

    depth/camera_info goes with depth/image_raw: the camera's own, with the frame's header.
    """

    def __init__(self, advertise):
        self.relative = advertise(Image, 'depth/relative')
        self.color = advertise(Image, 'depth/color')
        self.metric = advertise(Image, 'depth/image_raw')
        self.camera_info = advertise(CameraInfo, 'depth/camera_info')

    def tasks(self, settings):
        wanted = self.relative.wanted or self.color.wanted
        if self.metric.wanted or self.camera_info.wanted:
            return metric_tasks(settings) | ({'depth'} if wanted else set())
        return {'depth'} if wanted else set()

    def publish(self, answer):
        depth = answer.perception.depth
        if depth is None:
            return
        if self.relative.wanted:
            self.relative.publish(from_array(depth, '32FC1', answer.header))
        if self.color.wanted:
            picture = drawing.depth(depth, answer.settings['palette'])
            self.color.publish(from_array(picture, 'rgb8', answer.header))
        if not (self.metric.wanted or self.camera_info.wanted):
            return
        metres = answer.metric_depth
        if metres is None:
            return
        if self.metric.wanted:
            self.metric.publish(from_array(metres, '32FC1', answer.header))
        if self.camera_info.wanted and answer.camera_info is not None:
            self.camera_info.publish(answer.camera_info)


def metric_tasks(settings):
    """Return the tasks that metres need; the sky, where it is asked for, has none."""
    if settings['depth.scale'] == 'none':
        return set()
    sky = {'semantic:sky'} & set(settings['tasks'])
    return sky | ({'depth', 'normals'} if settings['depth.scale'] == 'ground_plane' else {'depth'})

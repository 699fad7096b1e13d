# SPDX-License-Identifier: Apache-2.0
"""The point cloud: x y z rgb and normals, from metric depth and camera_info."""

from sensor_msgs.msg import PointCloud2

from diception_ros.geometry import normals_from_depth, point_cloud
from diception_ros.ros.clouds import from_cloud
from diception_ros.ros.outputs.depth import metric_tasks


class Points:
    """Publishes points (PointCloud2, one row of known points) where metres and camera are known.

    Normals are the model's where the task is on, else those of the depth's surface.
    """

    def __init__(self, advertise):
        self.points = advertise(PointCloud2, 'points')

    def tasks(self, settings):
        if not self.points.wanted:
            return set()
        wanted = metric_tasks(settings)
        return wanted | ({'normals'} & set(settings['tasks'])) if wanted else wanted

    def publish(self, answer):
        if not self.points.wanted or answer.perception.depth is None:
            return
        metres = answer.metric_depth
        if metres is None:
            return
        if answer.camera is None:
            answer.health.warn('cloud', 'no points: no usable camera_info has arrived')
            return
        normals = answer.perception.normals
        if normals is None:
            normals = normals_from_depth(metres, answer.camera)
        cloud = point_cloud(metres, answer.camera, answer.rgb, normals,
                            stride=answer.settings['cloud.stride'])
        self.points.publish(from_cloud(cloud, answer.header))

# SPDX-License-Identifier: Apache-2.0
"""The point cloud: x y z rgb and normals, from metric depth and camera_info."""

from sensor_msgs.msg import PointCloud2, PointField

from diception_ros.ros.outputs.depth import metric_tasks


class Points:
    """Publishes points (PointCloud2) where metres and the camera are known."""

    def __init__(self, advertise):
        self.points = advertise(PointCloud2, 'points')

    def tasks(self, settings):
        if not self.points.wanted:
            return set()
        wanted = metric_tasks(settings)
        return wanted | {'normals'} if wanted else wanted

    def publish(self, answer):
        pass

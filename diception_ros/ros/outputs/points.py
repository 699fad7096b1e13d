# SPDX-License-Identifier: Apache-2.0
"""The point cloud: x y z rgb and normals, from metric depth and camera_info."""

import array

from sensor_msgs.msg import PointCloud2, PointField

from diception_ros.geometry import normals_from_depth, point_cloud
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
        self.points.publish(message_of(cloud, answer.header))


def message_of(cloud, header):
    """Make a PointCloud2 of a geometry Cloud."""
    data = array.array('B')
    data.frombytes(cloud.data.tobytes())
    fields = [PointField(name=name, offset=4 * number, datatype=PointField.FLOAT32, count=1)
              for number, name in enumerate(cloud.fields)]
    return PointCloud2(header=header, height=cloud.height, width=cloud.width, fields=fields,
                       is_bigendian=False, point_step=cloud.point_step, row_step=cloud.row_step,
                       data=data, is_dense=cloud.is_dense)

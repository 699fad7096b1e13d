# SPDX-License-Identifier: Apache-2.0
"""Surface normals in the optical frame: x right, y down, z forward; facing surfaces have z < 0."""

from sensor_msgs.msg import Image

from diception_ros.ros.images import from_array
from diception_ros.tasks import drawing


class Normals:
    """Publishes normals/image_raw (32FC3, unit vectors) and normals/color (rgb8)."""

    def __init__(self, advertise):
        self.vectors = advertise(Image, 'normals/image_raw')
        self.color = advertise(Image, 'normals/color')

    def tasks(self, settings):
        return {'normals'} if self.vectors.wanted or self.color.wanted else set()

    def publish(self, answer):
        normals = answer.perception.normals
        if normals is None:
            return
        if self.vectors.wanted:
            self.vectors.publish(from_array(normals, '32FC3', answer.header))
        if self.color.wanted:
            self.color.publish(from_array(drawing.normals(normals), 'rgb8', answer.header))

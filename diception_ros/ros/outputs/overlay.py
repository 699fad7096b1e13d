# SPDX-License-Identifier: Apache-2.0
"""Overlay: everything that is on, over the camera's picture."""

from sensor_msgs.msg import Image

from diception_ros.ros.images import from_array
from diception_ros.tasks import drawing


class Overlay:
    """Publishes overlay (rgb8); listening to it is a reason to run every task."""

    def __init__(self, advertise):
        self.overlay = advertise(Image, 'overlay')

    def tasks(self, settings):
        return set(settings['tasks']) if self.overlay.wanted else set()

    def publish(self, answer):
        if self.overlay.wanted:
            picture = drawing.overlay(
                answer.rgb, answer.perception, answer.points, answer.categories,
                answer.semantic_labels if answer.perception.semantic else None,
                answer.settings['overlay.opacity'], answer.settings['palette'])
            self.overlay.publish(from_array(picture, 'rgb8', answer.header))

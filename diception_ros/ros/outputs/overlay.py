# SPDX-License-Identifier: Apache-2.0
"""Overlay: everything that is on, over the camera's picture."""

from sensor_msgs.msg import Image

from diception_ros.ros.images import from_array
from diception_ros.tasks import drawing


class Overlay:
    """Publishes overlay (rgb8); listening to it is a reason to run every task."""

    def __init__(self, advertise):
        self.overlay = advertise(Image, 'overlay')
        self.begun = None  # answer, ground

    def tasks(self, settings):
        return set(settings['tasks']) if self.overlay.wanted else set()

    def begin(self, answer):
        """Draw all but the people, who are still being read."""
        if self.overlay.wanted:
            self.begun = answer, drawing.overlay_ground(
                answer.rgb, answer.perception, _found(answer), answer.settings['overlay.opacity'])

    def publish(self, answer):
        begun, self.begun = self.begun, None
        if self.overlay.wanted:
            picture = drawing.overlay(
                answer.rgb, answer.perception, answer.points, answer.categories, _found(answer),
                answer.settings['overlay.opacity'], answer.settings['palette'],
                begun[1] if begun and begun[0] is answer else None)
            self.overlay.publish(from_array(picture, 'rgb8', answer.header))


def _found(answer):
    return answer.semantic_labels if answer.perception.semantic else None

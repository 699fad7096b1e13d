# SPDX-License-Identifier: Apache-2.0
"""Overlay: everything that is on, over the camera's picture."""

from diception_ros.ros.images import from_array
from diception_ros.tasks.registry import OVERLAY


class Overlay:
    """Publishes overlay (rgb8); listening to it is a reason to run every task."""

    name = OVERLAY.name

    def __init__(self, advertise):
        self.overlay = advertise(OVERLAY)
        self.begun = None  # answer, ground

    def tasks(self, settings):
        return set(settings['tasks']) if self.overlay.wanted else set()

    def begin(self, answer):
        """Draw all but the people, who are still being read."""
        if self.overlay.wanted:
            self.begun = answer, answer.overlay_ground()

    def publish(self, answer):
        begun, self.begun = self.begun, None
        if self.overlay.wanted:
            picture = answer.overlay(begun[1] if begun and begun[0] is answer else None)
            self.overlay.publish(from_array(picture, OVERLAY.encoding, answer.header))

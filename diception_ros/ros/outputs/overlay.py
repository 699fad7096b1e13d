# SPDX-License-Identifier: Apache-2.0
"""Overlay: everything that is on, over the camera's picture."""

from sensor_msgs.msg import Image

from diception_ros.ros.images import from_array


class Overlay:
    """Publishes overlay (rgb8); listening to it is a reason to run every task."""

    def __init__(self, advertise):
        self.overlay = advertise(Image, 'overlay')

    def tasks(self, settings):
        return set(settings['tasks']) if self.overlay.wanted else set()

    def publish(self, answer):
        if self.overlay.wanted:
            self.overlay.publish(from_array(answer.rgb, 'rgb8', answer.header))

# SPDX-License-Identifier: Apache-2.0
"""The repaired picture: denoised, without rain, or brightened."""

from sensor_msgs.msg import Image

from diception_ros.ros.images import from_array


class Restoration:
    """Publishes restored (rgb8)."""

    def __init__(self, advertise):
        self.restored = advertise(Image, 'restored')

    def tasks(self, settings):
        if not self.restored.wanted:
            return set()
        asked = {task for task in settings['tasks'] if task.startswith('restoration:')}
        return asked or {'restoration:<mode>'}

    def publish(self, answer):
        restored = answer.perception.restored
        if restored is not None and self.restored.wanted:
            self.restored.publish(from_array(restored, 'rgb8', answer.header))

# SPDX-License-Identifier: Apache-2.0
"""Few-shot adapters: the picture that each paints."""

from sensor_msgs.msg import Image

from diception_ros.ros.images import from_array


class Adapters:
    """Publishes adapters/<name> (rgb8), a topic for every adapter named in `tasks` so far."""

    def __init__(self, advertise):
        self.advertise = advertise
        self.pictures = {}

    def prepare(self, settings):
        """Advertise the adapters of the settings."""
        for task in settings['tasks']:
            if task.startswith('adapter:') and task not in self.pictures:
                self.pictures[task] = self.advertise(Image, 'adapters/' + task.partition(':')[2])

    def tasks(self, settings):
        return {task for task, topic in self.pictures.items()
                if task in settings['tasks'] and topic.wanted}

    def publish(self, answer):
        for name, picture in (answer.perception.adapters or {}).items():
            topic = self.pictures[f'adapter:{name}']
            if topic.wanted:
                topic.publish(from_array(picture, 'rgb8', answer.header))

# SPDX-License-Identifier: Apache-2.0
"""Semantic segmentation: one label image of all categories asked for, and what its labels mean."""

from sensor_msgs.msg import Image

from diception_ros.msg import LabelInfo
from diception_ros.ros.images import from_array
from diception_ros.tasks import drawing


class Semantic:
    """Publishes semantic/labels (mono8, 0 = none), semantic/label_info (latched), semantic/color.

    Labels count from 1 in the order of the parameter `tasks`; where categories overlap, the one
    that the model painted brighter wins.
    """

    def __init__(self, advertise):
        self.labels = advertise(Image, 'semantic/labels')
        self.info = advertise(LabelInfo, 'semantic/label_info', latched=True)
        self.color = advertise(Image, 'semantic/color')
        self.announced = None

    def tasks(self, settings):
        if not (self.labels.wanted or self.color.wanted):
            return set()
        asked = {task for task in settings['tasks'] if task.startswith('semantic:')}
        return asked or {'semantic:<category>'}

    def publish(self, answer):
        categories = answer.categories
        if categories and categories != self.announced:
            self.info.publish(LabelInfo(header=answer.header, names=categories,
                                        class_ids=range(1, len(categories) + 1)))
            self.announced = categories
        found = answer.perception.semantic
        if not found or not (self.labels.wanted or self.color.wanted):
            return
        labels = answer.semantic_labels
        if self.labels.wanted:
            self.labels.publish(from_array(labels, 'mono8', answer.header))
        if self.color.wanted:
            picture = drawing.legend(drawing.labels(labels), [
                (name, drawing.color_of(label)) for label, name in enumerate(categories, 1)])
            self.color.publish(from_array(picture, 'rgb8', answer.header))


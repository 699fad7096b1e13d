# SPDX-License-Identifier: Apache-2.0
"""Entities: a label image, what each label is, and a colour picture."""

import numpy as np
from geometry_msgs.msg import Point
from sensor_msgs.msg import Image, RegionOfInterest
from std_msgs.msg import ColorRGBA

from diception_ros.msg import Entity, EntityArray
from diception_ros.ros.images import from_array
from diception_ros.tasks import drawing


class Entities:
    """Publishes entities/labels (mono16, 0 = none), entities (EntityArray), entities/color (rgb8).

    An entity's category comes from the semantic pictures, so that listening to `entities` is a
    reason to run the semantic tasks as well.
    """

    def __init__(self, advertise):
        self.labels = advertise(Image, 'entities/labels')
        self.entities = advertise(EntityArray, 'entities')
        self.color = advertise(Image, 'entities/color')

    def tasks(self, settings):
        needed = set()
        if self.labels.wanted or self.entities.wanted or self.color.wanted:
            needed.add('entities')
        if self.entities.wanted:
            needed |= {task for task in settings['tasks'] if task.startswith('semantic:')}
        return needed

    def publish(self, answer):
        found = answer.entities
        if found is None:
            return
        if self.labels.wanted:
            labels = found.labels.astype(np.uint16)
            self.labels.publish(from_array(labels, 'mono16', answer.header))
        if self.color.wanted:
            self.color.publish(from_array(drawing.labels(found.labels), 'rgb8', answer.header))
        if self.entities.wanted:
            self.entities.publish(EntityArray(
                header=answer.header, entities=[entity(one) for one in found.instances]))


def entity(instance):
    """Make the message of one instance of a picture's entities."""
    x, y, width, height = (int(v) for v in instance.bbox)
    red, green, blue = (float(v) for v in instance.color)
    return Entity(
        label=int(instance.label), category=instance.category, score=float(instance.score),
        bounding_box=RegionOfInterest(x_offset=x, y_offset=y, width=width, height=height),
        area=int(instance.area),
        centroid=Point(x=float(instance.centroid[0]), y=float(instance.centroid[1]), z=0.0),
        color=ColorRGBA(r=red, g=green, b=blue, a=1.0))

# SPDX-License-Identifier: Apache-2.0
"""The message that tells what each label of the entities is."""

from geometry_msgs.msg import Point
from sensor_msgs.msg import RegionOfInterest
from std_msgs.msg import ColorRGBA

from diception_ros.msg import Entity, EntityArray


def entity_array(found, answer):
    """Make the message of an EntityMap."""
    return EntityArray(header=answer.header, entities=[entity(one) for one in found.instances])


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

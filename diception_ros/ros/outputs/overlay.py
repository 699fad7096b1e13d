# SPDX-License-Identifier: Apache-2.0
"""Overlay: everything that is on, over the camera's picture."""

from sensor_msgs.msg import Image

from diception_ros.ros.images import from_array
from diception_ros.ros.outputs import colors


class Overlay:
    """Publishes overlay (rgb8); listening to it is a reason to run every task."""

    def __init__(self, advertise):
        self.overlay = advertise(Image, 'overlay')

    def tasks(self, settings):
        return set(settings['tasks']) if self.overlay.wanted else set()

    def publish(self, answer):
        if self.overlay.wanted:
            self.overlay.publish(from_array(drawn(answer), 'rgb8', answer.header))


def drawn(answer):
    """Draw an Answer: uint8 (H, W, 3).

    Categories tinted, entities outlined, the clicked thing white, people and clicks drawn on top;
    depth and normals as small pictures in the lower right corner.
    """
    perception, opacity = answer.perception, answer.settings['overlay.opacity']
    picture, entries, small = answer.rgb.copy(), [], []
    if perception.semantic:
        found = answer.semantic_labels
        picture = colors.tinted(picture, colors.labels(found), found > 0, opacity)
        entries += [(name, colors.color_of(label))
                    for label, name in enumerate(answer.categories, 1)]
    if perception.entities is not None:
        edge = colors.borders(perception.entities.labels)
        picture[edge] = colors.labels(perception.entities.labels[edge])
    if perception.segmentation is not None:
        picture = colors.tinted(picture, colors.SELECTED, perception.segmentation, opacity)
        picture[colors.borders(perception.segmentation > 0.5)] = colors.SELECTED
        entries.append(('clicked', colors.SELECTED))
    if perception.poses:
        colors.skeletons(picture, [person.keypoints for person in perception.poses])
        entries += [('left', colors.LEFT), ('right', colors.RIGHT)]
    colors.clicks(picture, answer.points)
    if perception.depth is not None:
        small.append(('depth', colors.depth(perception.depth, answer.settings['palette'])))
    if perception.normals is not None:
        small.append(('normals', colors.normals(perception.normals)))
    return colors.insets(colors.legend(picture, entries), small)

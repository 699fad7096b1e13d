# SPDX-License-Identifier: Apache-2.0
"""Which topics of a bag feed the node, and which outputs must then come back."""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from diception_ros.bags import rosbag2 as bags
from diception_ros.tasks.registry import OVERLAY, default_topics

# What comes back for every frame with the default tasks, from the image alone, a click, a known
# scale; and what is latched.
FROM_IMAGE = (*(topic.name for topic in default_topics()), OVERLAY.name)
FROM_SCALE = tuple(topic.name for topic in default_topics(metric=True))
ONCE = tuple(topic.name for topic in default_topics(latched=True))
TOPIC_NAME = r'(/[A-Za-z_][A-Za-z0-9_]*)+'  # what ROS allows, as far as bags have it

# The node's inputs beside the picture: name -> type. They are looked for beside it in the bag.
SIDE_INPUTS = {
    'camera_info': 'sensor_msgs/msg/CameraInfo',
    'reference_depth': 'sensor_msgs/msg/Image',
    'clicked_pixel': 'geometry_msgs/msg/Point',
    'clicked_point': 'geometry_msgs/msg/PointStamped',
}


@dataclass
class Source:
    """A bag, and the topics of it that the node shall listen to."""

    path: Path
    image: str
    image_type: str
    frames: int
    side: dict[str, str] = field(default_factory=dict)  # the node's name -> the bag's
    transforms: list[str] = field(default_factory=list)  # /tf, /tf_static
    truth: bool = False  # whether /truth/... is in it
    name: str = ''  # of several cameras: what its outputs are called by, 'front'
    notes: list[str] = field(default_factory=list)  # what to tell the user, a line each

    @property
    def compressed(self) -> bool:
        """Whether the pictures are sensor_msgs/CompressedImage."""
        return self.image_type.endswith('CompressedImage')

    @property
    def topics(self) -> list[str]:
        """Everything of the bag that is published to the node."""
        return [*self.transforms, *self.side.values(), self.image]

    @property
    def remaps(self) -> dict[str, str]:
        """The node's names -> the bag's names."""
        return {'image/compressed' if self.compressed else 'image': self.image, **self.side}

    @property
    def expected(self) -> list[str]:
        """The outputs that must come back, in the order in which people read them."""
        scaled = {'reference_depth', 'camera_info'} <= set(self.side)
        return [*FROM_IMAGE, *(FROM_SCALE if scaled else ()), *ONCE]


def source_of(path: Path, image_topic: str | None, **side: str | None) -> Source:
    """Find the topics of a bag; `side`: the bag's names for SIDE_INPUTS, None = the one beside.

    Raises BagError that names the topics there are.
    """
    with bags.BagReader(path) as bag:
        image = bag.image_topic(image_topic)
        if image.count == 0:
            raise bags.BagError(f'{path}: no message on {image.name}')
        if not re.fullmatch(TOPIC_NAME, image.name):
            raise bags.BagError(f'{path}: {image.name} is no name that a ROS topic can have: '
                                'rename it in the bag (letters, digits and _, begun by /)')
        beside = image.name.removesuffix('/compressed').rpartition('/')[0]
        found = {}
        for name, kind in SIDE_INPUTS.items():
            given = side.get(name)
            topic = bag.topics.get(given or f'{beside}/{name}')
            if topic is not None and topic.type == kind:
                found[name] = topic.name
            elif given:
                there = [t.name for t in bag.topics.values() if t.type == kind]
                raise bags.BagError(
                    f'{path}: --{name.replace("_", "-")} {given} is no {kind} of this bag '
                    f'(it has {", ".join(there) or "none"})'
                )
        # Only a ROS 2 installation has their type; PyPI's wheels do not.
        tf = [name for name in ('/tf', '/tf_static')
              if name in bag.topics and importlib.util.find_spec('tf2_msgs')]
        return Source(path, image.name, image.type, image.count, found, tf,
                      truth='/truth/depth' in bag.topics, notes=bag.notes)


def sources_of(path: Path, image_topics: Sequence[str], reference_depth: str | None = None
               ) -> list[Source]:
    """A Source for each of `image_topics` (none given: for the only one), each of its own name.

    Raises BagError that says what is missing, or given twice, and the way out.
    """
    sources = [source_of(path, topic, reference_depth=reference_depth)
               for topic in image_topics or [None]]
    if len(sources) == 1:
        return sources
    if reference_depth:
        raise bags.BagError('--reference-depth is of one camera: give one --image-topic with it')
    for source, name in zip(sources, camera_names([one.image for one in sources]), strict=True):
        source.name = name
    first = sources[0]
    for name in SIDE_INPUTS:
        topics = [source.side[name] for source in sources if name in source.side]
        for topic, count in Counter(topics).items():
            if count > 1:
                first.notes.append(f'{path}: {topic} lies beside {count} of the cameras, and is '
                                   'taken for each of them')
    return sources


def camera_names(images: Sequence[str]) -> list[str]:
    """What tells the cameras of these topics apart: the shortest that does, without slashes around.

    The namespace, as 'front' of /front/image_raw; the topic where it is in none, as 'rear_camera'
    of /rear_camera, or where the namespace has several cameras. Raises BagError for a topic given
    twice.
    """
    for image, count in Counter(images).items():
        if count > 1:
            raise bags.BagError(f'--image-topic {image} is given {count} times')
    whole = [image.strip('/') for image in images]
    topics = [name.removesuffix('/compressed') for name in whole]
    names = [topic.rpartition('/')[0] or topic for topic in topics]
    for longer in (topics, whole):
        counts = Counter(names)
        names = [name if counts[name] == 1 else other
                 for name, other in zip(names, longer, strict=True)]
    return names

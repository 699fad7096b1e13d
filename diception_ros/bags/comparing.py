# SPDX-License-Identifier: Apache-2.0
"""Two bags of a node's outputs, message by message: what changed, and by how much."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diception_ros.bags import rosbag2 as bags
from diception_ros.bags.judging import DTYPES
from diception_ros.bags.live import NAMESPACE

LABEL_IMAGES = ('mono16',)  # and mono8 of a topic called labels: a value is a name, not an amount


@dataclass
class TopicDifference:
    """What became of one topic."""

    topic: str
    messages: int = 0  # in the golden bag
    changed: int = 0  # that are not byte for byte the same
    missing: int = 0  # in the golden bag only
    new: int = 0  # in the other bag only
    mean: float = 0.0
    worst: float = 0.0
    worst_stamp: int | None = None


@dataclass
class Comparison:
    """All topics of two bags."""

    topics: list[TopicDifference]

    @property
    def worst(self) -> float:
        """The largest difference of any message."""
        return max((topic.worst for topic in self.topics), default=0.0)

    @property
    def worst_topic(self) -> str:
        """The topic with that difference."""
        return max(self.topics, key=lambda topic: topic.worst).topic

    def table(self, tolerance: float):
        """For the terminal."""
        from rich.table import Table

        table = Table()
        for column, where in (('output', 'left'), ('messages', 'right'), ('changed', 'right'),
                              ('missing', 'right'), ('new', 'right'), ('mean', 'right'),
                              ('worst', 'right'), ('', 'left')):
            table.add_column(column, justify=where)
        for one in self.topics:
            table.add_row(
                one.topic.removeprefix(f'{NAMESPACE}/'), str(one.messages), str(one.changed),
                str(one.missing), str(one.new), f'{one.mean:.2g}', f'{one.worst:.2g}',
                'over the tolerance' if one.worst > tolerance else '',
            )
        return table


def compare_bags(path: Path, golden: Path) -> Comparison:
    """Compare the node's outputs of two replays of one bag, by time and stamp."""
    with bags.BagReader(path) as new, bags.BagReader(golden) as old:
        topics = sorted(topic for topic in {*new.topics, *old.topics}
                        if topic.startswith(NAMESPACE))
        return Comparison([_topic(topic, new, old) for topic in topics])


def _messages(bag: bags.BagReader, topic: str) -> Iterator[tuple[tuple[int, int], bytes]]:
    """((time, stamp), bytes) of a topic, ascending; one at a time, whatever the bag's size."""
    headed = topic in bag.topics and bags.has_header(bag.topics[topic].type)
    for _, time, data in bag.messages([topic]):
        yield (time, bags.stamp_of(data) if headed else 0), data


def _topic(topic: str, new: bags.BagReader, old: bags.BagReader) -> TopicDifference:
    result, differences = TopicDifference(topic), []
    ours, theirs = _messages(new, topic), _messages(old, topic)
    one, two = next(ours, None), next(theirs, None)
    while one is not None or two is not None:
        key = min(pair[0] for pair in (one, two) if pair is not None)
        mine = one[1] if one is not None and one[0] == key else None
        golden = two[1] if two is not None and two[0] == key else None
        difference = 1.0
        result.messages += golden is not None
        if mine is None:
            result.missing += 1
        elif golden is None:
            result.new += 1
        elif mine == golden:
            difference = 0.0
        else:
            result.changed += 1
            difference = distance(bags.decode(mine, new.topics[topic].type),
                                  bags.decode(golden, old.topics[topic].type), topic)
        differences.append(difference)
        if difference > result.worst:
            result.worst, result.worst_stamp = difference, key[1]
        one = next(ours, None) if mine is not None else one
        two = next(theirs, None) if golden is not None else two
    result.mean = float(np.mean(differences)) if differences else 0.0
    return result


def distance(new, golden, topic: str = '') -> float:
    """How far two messages of one type are apart, 0 to 1.

    The mean distance of their numbers as a share of the range of the golden ones; for label images
    the share of pixels that differ; 1 where they do not have the same size or texts.
    """
    ours, our_texts = _numbers(new)
    theirs, their_texts = _numbers(golden)
    if our_texts != their_texts or ours.shape != theirs.shape:
        return 1.0
    if theirs.size == 0:
        return 0.0
    encoding = getattr(golden, 'encoding', '')
    if encoding in LABEL_IMAGES or (encoding == 'mono8' and topic.endswith('labels')):
        return float((ours != theirs).mean())
    known = np.isfinite(ours) & np.isfinite(theirs)
    apart = np.where(known, 0.0, (np.isfinite(ours) != np.isfinite(theirs)).astype(float))
    finite = theirs[np.isfinite(theirs)]
    span = float(np.ptp(finite)) if finite.size else 0.0
    if encoding in ('rgb8', 'bgr8', 'mono8'):
        span = 255.0
    apart[known] = np.abs(ours[known] - theirs[known]) / (span or 1.0)
    return float(min(1.0, apart.mean()))


def _numbers(message) -> tuple[np.ndarray, tuple]:
    """All numbers of a message in a row, float64, and what else it says, without its header."""
    if hasattr(message, 'encoding') and message.encoding in DTYPES:
        shape = (message.height, message.width, message.encoding)
        return message.data.view(DTYPES[message.encoding]).astype(np.float64), shape
    if hasattr(message, 'point_step') and message.point_step % 4 == 0:
        data = message.data.view(np.float32).astype(np.float64)
        return data, (message.height, message.width, message.point_step)
    numbers: list[float] = []
    texts: list = []
    for value in _leaves(message):
        (texts if isinstance(value, str) else numbers).append(value)
    return np.array(numbers, np.float64), tuple(texts)


def _leaves(value) -> Iterator:
    if isinstance(value, np.ndarray):
        yield from value.ravel().tolist()
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            if field.name != 'header' and not field.name.startswith('__'):
                yield from _leaves(getattr(value, field.name))
    else:
        yield value

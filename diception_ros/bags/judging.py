# SPDX-License-Identifier: Apache-2.0
"""What came back from the node, beside what was true: figures per output, and latencies."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from diception_ros.bags import rosbag2 as bags
from diception_ros.bags.live import NAMESPACE
from diception_ros.bags.source import ONCE
from diception_ros.ros.camera_info import camera_of
from diception_ros.tasks import DEFAULT_TASKS, task_named
from diception_ros.tasks.task import IMAGE
from diception_ros.tasks.truth import Person, Truth

DTYPES = {
    'mono8': np.uint8, 'rgb8': np.uint8, 'bgr8': np.uint8, 'mono16': np.uint16,
    '16UC1': np.uint16, '32FC1': np.float32, '32FC3': np.float32,
}


def picture(message) -> np.ndarray:
    """A sensor_msgs/Image as (H, W) or (H, W, C); only the encodings that we ourselves write."""
    values = message.data.view(DTYPES[message.encoding])
    channels = 3 if message.encoding in ('rgb8', 'bgr8', '32FC3') else 1
    shape = (message.height, message.width) + ((channels,) if channels > 1 else ())
    return values.reshape(shape)


@dataclass
class Frame:
    """What a bag has for one frame: its messages by topic, decoded when asked for."""

    stamp: int
    types: dict[str, str]
    data: dict[str, bytes] = field(default_factory=dict)

    def __contains__(self, topic: str) -> bool:
        return topic in self.data

    def message(self, topic: str):
        """The message, decoded."""
        return bags.decode(self.data[topic], self.types[topic])

    def picture(self, topic: str) -> np.ndarray:
        """The picture of an Image message."""
        return picture(self.message(topic))


def frames_of(path: Path, topics: Iterable[str] | None = None, window: int = 4) -> Iterator[Frame]:
    """The frames of a bag, by stamp, ascending; the messages of one frame are near each other.

    Only `window` frames are held at a time: a recording is larger than memory.
    """
    with bags.BagReader(path) as bag:
        types = {topic.name: topic.type for topic in bag.topics.values()}
        headed = {name for name, kind in types.items() if bags.has_header(kind)}
        waiting: dict[int, Frame] = {}
        done = -1
        for topic, _, data in bag.messages(headed if topics is None else headed & set(topics)):
            stamp = bags.stamp_of(data)
            if stamp <= done:
                continue
            waiting.setdefault(stamp, Frame(stamp, types)).data[topic] = data
            if len(waiting) > window:
                done = min(waiting)
                yield waiting.pop(done)
        for stamp in sorted(waiting):
            yield waiting[stamp]


def together(first: Iterator[Frame], second: Iterator[Frame]) -> Iterator[tuple[Frame, Frame]]:
    """Pairs of frames of one stamp; what only one side has is left out."""
    one, two = next(first, None), next(second, None)
    while one is not None and two is not None:
        if one.stamp == two.stamp:
            yield one, two
        stamp = min(one.stamp, two.stamp)
        one = next(first, None) if one.stamp == stamp else one
        two = next(second, None) if two.stamp == stamp else two


def truth_of(camera: Frame) -> Truth:
    """The truth that a made-up camera's bag holds for a frame."""
    labels = camera.picture('/truth/entities/labels').astype(np.int32)
    people = []
    for person in camera.message('/truth/poses').people:
        keypoints = [(k.x, k.y, 2 if k.visible else 1 if k.score else 0) for k in person.keypoints]
        places = [(k.position.x, k.position.y, k.position.z) for k in person.keypoints]
        people.append(Person(person.label, np.nan_to_num(np.float32(keypoints)),
                             np.float32(places)))
    return Truth(
        rgb=camera.picture('/camera/image_raw'),
        depth=camera.picture('/truth/depth'),
        normals=camera.picture('/truth/normals'),
        instances=labels,
        categories={e.label: e.category for e in camera.message('/truth/entities').entities},
        people=people,
        intrinsics=camera_of(camera.message('/camera/camera_info'), labels.shape[::-1])[0].K,
        camera_pose=np.eye(4),
    )


# --- accuracy ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judgement:
    """How an output is compared with the truth, and how its figures are told."""

    topic: str
    score: Callable[[Frame, Truth], dict[str, float]]
    tell: Callable[[dict[str, float]], str]


def _result(topic: str) -> str:
    return f'{NAMESPACE}/{topic}'


def _metric_depth(answers: Frame, truth: Truth) -> dict[str, float]:
    """No fit here: metres are metres. What the node does not know (NaN) does not count."""
    metres = answers.picture(_result('depth/image_raw'))
    known = np.isfinite(metres) & (metres > 0) & np.isfinite(truth.depth)
    if not known.any():
        return {}
    guess, true = metres[known], truth.depth[known]
    ratio = np.maximum(guess / true, true / guess)
    return {'absrel': float((np.abs(guess - true) / true).mean()),
            'delta1': float((ratio < 1.25).mean())}


def _judgement(task, clicked: Callable[[int], int | None]) -> Judgement:
    """How one task's output is compared with the truth."""
    def score(answers: Frame, truth: Truth) -> dict[str, float]:
        label = {}
        if task.needs_points:
            label = {'label': clicked(answers.stamp)}
            if label['label'] is None or not (truth.instances == label['label']).any():
                return {}
        topic = _result(task.panel.judged)
        message = (answers.picture if answers.types[topic] == IMAGE else answers.message)(topic)
        return task.score(task.result_of(message), truth, **label)

    return Judgement(task.panel.judged, score, task.summary)


METRIC_DEPTH = Judgement(
    'depth/image_raw', _metric_depth,
    lambda f: f'AbsRel {f["absrel"]:.3f}, δ1 {f["delta1"]:.0%} in metres, no fit')


def judgements(clicked: Callable[[int], int | None]) -> list[Judgement]:
    """All comparisons; `clicked(stamp)` is the instance that was clicked by then, or None."""
    tasks = [task_named(name) for name in DEFAULT_TASKS]
    return [METRIC_DEPTH, *(_judgement(task, clicked) for task in tasks if task.panel)]


def mean_of(figures: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each figure over the frames that have it."""
    names = {name for one in figures for name in one}
    mean = {}
    for name in names:
        values = [one[name] for one in figures if name in one and math.isfinite(one[name])]
        if values:
            mean[name] = float(np.mean(values))
    return mean


# --- latency ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class TopicReport:
    """One line of the table."""

    topic: str
    answered: int
    dropped: int
    median_ms: float
    p95_ms: float
    accuracy: str = ''


def latencies_ms(played) -> dict[str, dict[int, float]]:
    """Topic -> stamp -> milliseconds from sending the frame to hearing its answer."""
    found: dict[str, dict[int, float]] = {}
    for arrival in played.arrivals:
        if arrival.stamp in played.sent:
            late = (arrival.time - played.sent[arrival.stamp]) * 1000
            found.setdefault(arrival.topic, {})[arrival.stamp] = late
    return found


def report_topics(source, played, accuracy: dict[str, str]) -> Iterator[TopicReport]:
    """A line per output that answers frames, in the order of what is expected."""
    late = latencies_ms(played)
    for name in source.expected:
        if name in ONCE:
            continue
        values = np.array(sorted(late.get(f'{NAMESPACE}/{name}', {}).values()))
        yield TopicReport(
            name, len(values), len(played.sent) - len(values),
            float(np.median(values)) if len(values) else math.nan,
            float(np.percentile(values, 95)) if len(values) else math.nan,
            accuracy.get(name, ''),
        )

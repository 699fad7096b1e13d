# SPDX-License-Identifier: Apache-2.0
"""What the whole package knows of a task, in one place: `Task`, and what it is made of.

The pipeline, the node's topics and parameters, `diception run`, the demo's page, training,
evaluation and the reference pages all read it from here, by way of the registry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from diception_ros.tasks.conventions import Conventions

IMAGE = 'sensor_msgs/msg/Image'


@dataclass(frozen=True)
class Topic:
    """One topic of the node. Its message is an Image unless `type` says otherwise.

    image(result, frame) gives an Image's array, in the dtype and with the channels of `encoding`,
    or None where there is nothing to publish; frame is a `tasks.frame.FrameResults`, in the node a
    `ros.answer.Answer`. message names who makes any other message: 'module.function' of
    `ros.outputs`, called as function(result, answer).
    """

    name: str  # relative; 'adapters/<name>' is a topic for each member of a family
    meaning: str
    encoding: str = ''  # of an Image, as in sensor_msgs/image_encodings.hpp
    image: Callable[[Any, Any], np.ndarray | None] = lambda result, frame: result
    type: str = IMAGE
    message: str = ''
    latched: bool = False  # transient local, and published only when it changes
    metric: bool = False  # comes only where metres are known
    uses: tuple[str, ...] = ()  # kinds of other tasks that it makes use of where they are on
    group: str = ''  # topics of one group of a task are published together

    @property
    def per_member(self) -> bool:
        """Whether every member of the task's family has such a topic of its own."""
        return '<' in self.name

    def of(self, member: str) -> str:
        """The name of the topic that belongs to a member of the task's family."""
        return f'{self.name.partition("<")[0]}{member}' if self.per_member else self.name


@dataclass(frozen=True)
class Metric:
    """One figure of `Task.score` that is reported.

    ratio: two other figures of the score whose sums over all images are divided; else the mean
    over the images that have it. A family with a ratio has it for every member, and their mean.
    """

    key: str
    unit: str
    less_is_better: bool = False
    ratio: tuple[str, str] = ()


@dataclass(frozen=True)
class Panel:
    """A task's place on the demo's page: the image shown, and the topic compared with the truth."""

    title: str
    words: str
    topic: str
    judged: str


@dataclass(frozen=True)
class Published:
    """How the published model is asked: its prompt (a family's member follows it), the denoising
    steps and the guidance scale.

    One step without guidance is as good as 28 for depth and normals, 7 for segmentation; guidance
    does nothing for segmentation and pose (tables of arXiv 2502.17157). Of the others few-step
    figures are not published: they keep the 28 steps and guidance 2 of the published evaluation.
    """

    prompt: str
    num_inference_steps: int
    guidance_scale: float


class Task:
    """One task, or one member of a family of tasks such as 'semantic:person'.

    A subclass says what it is with the attributes below and brings
        encode(truth, rng=None, points=None) -> target image, float32 (H, W, 3) in [0, 1]
        decode(image) -> result; takes any float image (H, W, 3), never raises for its content
        score(result, truth) -> {figure: float}
        constant_baseline(truths) -> the best result of one who does not look: the baseline to beat
    """

    kind: str  # the task's name, or what comes before the colon
    family = ''  # what comes after it: 'category', 'mode', 'name'; '' = one task, not a family
    members = ()  # of a family, where they are fixed; () = any word
    field: str  # the attribute of `Perception` that holds the result
    field_type = 'np.ndarray'  # of that attribute, where it is not None
    collects = False  # whether a family's field is {member: result}; else one member per image
    meaning: str  # type, shape, unit and range of the result
    published: Published | None = None  # None = the published model does not know it
    default = ''  # its name among the tasks that run unless told otherwise; '' = it does not
    needs_points = False  # whether clicks are part of the question
    reading_order = 0  # what takes longer to decode, or needs other results, comes later
    after: tuple[str, ...] = ()  # tasks that are decoded before it where all of them are asked for
    topics: tuple[Topic, ...] = ()
    parameters = ()  # of the node (tasks.parameter.Parameter), beside steps and guidance
    inset = False  # whether the overlay shows it as a small image in a corner (see `color`)
    panel: Panel | None = None
    metrics: tuple[Metric, ...] = ()
    loss = ''  # how nano learns it: 'regression', 'mask', 'keypoints'; '' = it does not
    target_channels = 3  # 1 where all channels of its target are the same
    truth_field = 'instances'  # the field of Truth that `encode` cannot do without

    def __init__(self, member: str = '', conventions: Conventions = Conventions()):
        self.member = member
        self.name = self.prompt_key = f'{self.kind}:{member}' if self.family else self.kind
        self.published_prompt = self.published and ' '.join(
            filter(None, (self.published.prompt, member)))

    def decode_beside(self, image: np.ndarray, found) -> Any:
        """`decode`, with the Perception of what has been decoded before at hand."""
        return self.decode(image)

    def ideal(self, truth, **clicked) -> Any:
        """The result that is right; clicked: `label` or `points`, where they are needed."""
        return self.decode(self.encode(truth, **clicked))

    def result_of(self, message) -> Any:
        """The result again, as far as `score` needs it, from what `panel.judged` publishes: an
        Image's array, or the message."""
        return message

    def summary(self, figures: dict[str, float]) -> str:
        """The mean figures of `score` in words."""
        return ', '.join(f'{metric.key} {figures[metric.key]:.2f}' for metric in self.metrics)

    @classmethod
    def check_settings(cls, settings: dict) -> None:
        """Raise ValueError, one line, where values of `parameters` do not fit together."""

    @classmethod
    def result_in(cls, frame) -> Any:
        """The result that a frame publishes; None = nothing."""
        return getattr(frame.perception, cls.field)

    @staticmethod
    def color(result, frame) -> np.ndarray:
        """The result for eyes: uint8 RGB (H, W, 3)."""
        return result

    @classmethod
    def files(cls, result, frame) -> dict[str, np.ndarray]:
        """What `diception run` writes: {file name: uint8 or uint16 image}."""
        if cls.collects:
            return {f'{cls.kind}_{member}.png': cls.color(one, frame)
                    for member, one in result.items()}
        return {f'{cls.field}.png': cls.color(result, frame)}

    @classmethod
    def arrays(cls, result) -> dict[str, np.ndarray]:
        """What `diception run` puts into arrays.npz: {name: array}."""
        if cls.collects:
            return {f'{cls.kind}:{member}': one for member, one in result.items()}
        return {cls.field: result}

# SPDX-License-Identifier: Apache-2.0
"""Entities: every instance in a colour of its own, on black."""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from diception_ros.tasks import drawing
from diception_ros.tasks.conventions import Conventions
from diception_ros.tasks.depth import relative_disparity
from diception_ros.tasks.pictures import clean, resized_labels
from diception_ros.tasks.position_regions import STUFF_COLORS, is_soft, position_regions
from diception_ros.tasks.regions import color_regions
from diception_ros.tasks.task import Metric, Panel, Published, Task, Topic
from diception_ros.tasks.truth import STUFF

# A model that must answer in one step cannot guess a random colour: colours by 'position' are ones
# it can tell from what it sees. Stuff is dark, each kind in a fixed colour; a thing's blue is its
# kind.
_THING_BLUE = {'table': 0.35, 'box': 0.5, 'ball': 0.65, 'cylinder': 0.8, 'person': 1.0}
_READ_SIZE = 640 * 480
_SAMPLE = 160_000  # pixels of an image, at least, that a mean is taken of
_LEAST_AREA = 0.001  # of the image: what is smaller is not counted


@dataclass
class Instance:
    """One entity of an image."""

    label: int  # its value in the label image
    bbox: tuple  # x, y of the left upper pixel, width, height, in pixels
    area: int  # pixels
    centroid: tuple  # x, y in pixels
    color: tuple  # its mean colour in the model's image, r, g, b in [0, 1]
    category: str = ''  # '' where unknown
    score: float = 1.0  # in [0, 1]


@dataclass
class EntityMap:
    """All entities of an image; `valid` is False where the image was no answer at all."""

    labels: np.ndarray  # int32 (H, W), 0 = none
    instances: list
    valid: bool = True


def position_colors(truth):
    """Colours float32 (max label + 1, 3) that say where and what each instance is; row 0 is
    black."""
    height, width = truth.instances.shape
    labels = truth.instances.ravel()
    count = max(int(labels.max(initial=0)), max(truth.categories, default=0)) + 1
    area = np.maximum(np.bincount(labels, minlength=count), 1)
    columns = np.broadcast_to(np.arange(width, dtype=np.float64), (height, width)).ravel()
    x = np.bincount(labels, columns, count) / area / width
    near = np.bincount(labels, relative_disparity(truth.depth).ravel(), count) / area
    colors = np.zeros((count, 3), np.float32)
    for label, category in truth.categories.items():
        if category in STUFF:
            colors[label] = STUFF_COLORS[category]
        elif label > 0:
            colors[label] = (
                0.3 + 0.7 * x[label],
                0.3 + 0.7 * near[label],
                _THING_BLUE.get(category, 0.5),
            )
    return colors


def random_colors(count, rng, apart=45 / 255):
    """`count` random colours float32 (count, 3), `apart` from each other and from black if they
    fit."""
    colors = np.zeros((count + 1, 3), np.float32)
    for number in range(1, count + 1):
        tried = rng.random((32, 3), np.float32)
        distance = np.sqrt(((tried[:, None] - colors[None, :number]) ** 2).sum(axis=2)).min(axis=1)
        good = np.flatnonzero(distance >= apart)
        colors[number] = tried[good[0] if good.size else distance.argmax()]
    return colors[1:]


def colored(entities, frame):
    return drawing.labels(entities.labels)


class Entities(Task):
    """Result: EntityMap."""

    kind = field = default = 'entities'
    field_type = 'Any'
    meaning = ('.labels int32 (H, W), 0 = none; .instances: label, bbox, area, centroid, color, '
               'category, score')
    published = Published('[[image2entity]]', 28, 2.0)
    reading_order = 1  # people are told apart by it
    topics = (
        Topic('entities/labels', 'a label image, 0 = none; a label lasts from frame to frame',
              'mono16', lambda entities, _: entities.labels.astype(np.uint16)),
        # An entity's category comes from the semantic images: who listens wants them, too.
        Topic('entities', 'what each label is', type='diception_ros/msg/EntityArray',
              message='entities.entity_array', uses=('semantic',)),
        Topic('entities/color', 'the same for eyes', 'rgb8', colored),
    )
    panel = Panel('Entities', 'every thing a colour of its own', 'entities/color',
                  'entities/labels')
    metrics = (Metric('miou', ''),)
    loss = 'regression'
    color = staticmethod(colored)

    def __init__(self, member='', conventions=Conventions()):
        super().__init__(member, conventions)
        self.colors = conventions.entity_colors

    def encode(self, truth, rng=None, points=None):
        if self.colors == 'position':
            colors = position_colors(truth)
        else:
            present = np.flatnonzero(np.bincount(truth.instances.ravel()))
            present = present[present > 0]
            colors = np.zeros((int(present.max(initial=0)) + 1, 3), np.float32)
            colors[present] = random_colors(len(present), rng or np.random.default_rng(0))
        return colors[truth.instances]

    @classmethod
    def result_in(cls, frame):
        return frame.entities

    @classmethod
    def files(cls, result, frame):
        return {'entities.png': colored(result, frame),
                'entities_raw.png': result.labels.astype(np.uint16)}

    @classmethod
    def arrays(cls, result):
        return {'entities': result.labels}

    def ideal(self, truth, **clicked):
        return EntityMap(truth.instances, [])

    def result_of(self, message):
        return EntityMap(message.astype(np.int32), [])

    def summary(self, figures):
        return f'mIoU {figures["miou"]:.2f}'

    def decode(self, image, regions=None):
        """`regions`: what parts an image has; published_regions is the paper's own way. By default
        color_regions, or position_regions where colours say the position and are soft.

        An image much larger or smaller than 640x480 is read at about that size.
        """
        valid = float(np.isfinite(np.asarray(image, np.float32)).mean()) > 0.5
        image = clean(image)
        shape = image.shape[:2]
        if not valid:
            return EntityMap(np.zeros(shape, np.int32), [], False)
        ours = regions is None and min(shape) >= 32
        scale = np.sqrt(_READ_SIZE / (shape[0] * shape[1]))
        read = image
        if scale < 0.9 or (ours and scale > 1.5):
            size = max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))
            read = cv2.resize(
                image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            )
        if ours and self.colors == 'position' and is_soft(read):
            regions = position_regions
        labels = (regions or color_regions)(read)
        return described(resized_labels(labels, shape), image)

    def score(self, result, truth):
        """Mean over true instances (0.1 % of the image and more) of the IoU with their match.

        Matching is one to one, the best in total. `recall50`: share of instances matched over 0.5;
        `false`: number of regions of 0.1 % and more that lie on something known and are like
        nothing.
        """
        labels = resized_labels(result.labels, truth.instances.shape)
        overlap, true_area, guess_area = overlaps(truth.instances, labels)
        least = _LEAST_AREA * labels.size
        known = 1 + np.flatnonzero(true_area[1:] >= least)
        if known.size == 0:
            return {'miou': np.nan, 'recall50': np.nan, 'false': np.nan}
        union = true_area[known, None] + guess_area[None, 1:] - overlap[known, 1:]
        ious = overlap[known, 1:] / np.maximum(union, 1)
        rows, columns = linear_sum_assignment(-ious)
        matched = ious[rows, columns]
        # A region is false if it is like no true instance, however small, and lies on known ground.
        union = true_area[1:, None] + guess_area[None, 1:] - overlap[1:, 1:]
        like = (overlap[1:, 1:] / np.maximum(union, 1)).max(axis=0, initial=0) > 0.5
        false = (guess_area[1:] >= least) & (overlap[0, 1:] < 0.5 * guess_area[1:]) & ~like
        return {
            'miou': float(matched.sum() / known.size),
            'recall50': float((matched > 0.5).sum() / known.size),
            'false': float(np.count_nonzero(false)),
        }

    def constant_baseline(self, truths):
        """One entity over the whole image."""
        shape = truths[0].instances.shape
        return described(np.ones(shape, np.int32), np.ones((*shape, 3), np.float32))


def overlaps(a, b):
    """Pixels in common, int64 (max(a) + 1, max(b) + 1), of label images, and the areas of each."""
    rows, columns = int(a.max(initial=0)) + 1, int(b.max(initial=0)) + 1
    table = np.bincount(a.ravel().astype(np.int64) * columns + b.ravel(), minlength=rows * columns)
    table = table.reshape(rows, columns)
    return table, table.sum(axis=1), table.sum(axis=0)


def means(labels, images):
    """Mean of images (H, W) on each label of int32 (H, W): float64 (images, max label + 1), 0
    where a label is missing. Of what is large not every pixel is looked at."""
    count = int(labels.max(initial=0)) + 1
    every = (slice(None, None, max(1, int(np.sqrt(labels.size / _SAMPLE)))),) * 2
    some = labels[every].ravel().astype(np.intp)
    area = np.bincount(some, minlength=count)
    sums = np.stack([np.bincount(some, one[every].ravel(), count) for one in images])
    few = area < 16
    if few.any() and some.size < labels.size:
        all_of_few = few[labels]
        some = labels[all_of_few].astype(np.intp)
        area[few] = np.bincount(some, minlength=count)[few]
        for total, one in zip(sums, images, strict=True):
            total[few] = np.bincount(some, one[all_of_few], count)[few]
    return sums / np.maximum(area, 1)


def _spans(counts):
    """First and one after the last place where counts (K, N) are not 0, int (K,) each."""
    there = counts > 0
    return there.argmax(axis=1), counts.shape[1] - there[:, ::-1].argmax(axis=1)


def described(labels, image):
    """EntityMap of a label image int32 (H, W), with labels counted 1, 2, ... without holes."""
    present = np.flatnonzero(np.bincount(labels.ravel()))
    present = present[present > 0]
    compact = np.zeros(int(labels.max(initial=0)) + 1, np.int32)
    compact[present] = np.arange(1, present.size + 1)
    labels = compact[labels]
    (height, width), count = labels.shape, present.size + 1
    # Pixels of each label in every column and row: they tell its area, centre and box.
    columns = np.bincount((labels * width + np.arange(width)).ravel(), minlength=count * width)
    rows = np.bincount((labels * height + np.arange(height)[:, None]).ravel(),
                       minlength=count * height)
    columns, rows = columns.reshape(count, width), rows.reshape(count, height)
    area = np.maximum(columns.sum(axis=1), 1)
    x, y = columns @ np.arange(width) / area, rows @ np.arange(height) / area
    (left, right), (top, bottom) = _spans(columns), _spans(rows)
    color = means(labels, cv2.split(image))
    instances = [
        Instance(
            label,
            (int(left[label]), int(top[label]), int(right[label] - left[label]),
             int(bottom[label] - top[label])),
            int(area[label]),
            (float(x[label]), float(y[label])),
            tuple(map(float, color[:, label])),
        )
        for label in range(1, count)
    ]
    return EntityMap(labels, instances)

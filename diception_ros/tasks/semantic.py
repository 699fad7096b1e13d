# SPDX-License-Identifier: Apache-2.0
"""Semantic segmentation: everything of one category, one image a category.

Models paint it in two ways: all in white, or every instance in a random colour of its own
(arXiv 2502.17157). White says how sure the model is; colours say which instance is which.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from diception_ros.tasks import drawing
from diception_ros.tasks.conventions import Conventions
from diception_ros.tasks.entities import Entities, EntityMap
from diception_ros.tasks.pictures import brightest, clean, resized
from diception_ros.tasks.task import Metric, Panel, Published, Task, Topic

# How `in_colors` tells the two ways apart; brightness and chroma (brightest less darkest channel)
# in [0, 1]. White is grey to a few hundredths; of random colours 4 in 5 have more chroma than this.
_MIN_CHROMA = 0.2
_GROUND = 0.15  # what is darker is ground, blurred edges of instances aside
_MIN_COLORED = 0.05  # share of what is no ground: soft edges of white may be a little coloured
_MIN_AREA = 0.001  # of the image: less than this is no instance


@dataclass(frozen=True)
class SemanticMap:
    """What a semantic image of H x W pixels shows."""

    strength: np.ndarray  # float32 (H, W) in [0, 1]: over 0.5 the category is there
    instances: EntityMap | None  # None where the colours tell none apart

    @property
    def mask(self):
        """Where the category is, bool (H, W)."""
        return self.strength > 0.5


def in_colors(image):
    """Whether a semantic image, float32 (H, W, 3) in [0, 1], is painted in colours, not white:
    whether anything in it has a hue. Of grey nobody knows whether it is a colour or a doubt: it is
    read as white, unless something else in the image has a hue."""
    channels = cv2.split(cv2.blur(image, (5, 5)))  # single pixels of noise have any hue
    top = cv2.max(cv2.max(channels[0], channels[1]), channels[2])
    there = top > _GROUND
    if np.count_nonzero(there) < _MIN_AREA * there.size:
        return False
    chroma = top - cv2.min(cv2.min(channels[0], channels[1]), channels[2])
    return bool(np.mean(chroma[there] > _MIN_CHROMA) > _MIN_COLORED)


def strength(image):
    """How bright a semantic image (H, W, 3) is, float32 (H, W) in [0, 1]: its brightest
    channel."""
    return brightest(clean(image))


def colored(found, frame):
    return drawing.legend(drawing.labels(frame.semantic_labels), [
        (name, drawing.color_of(label)) for label, name in enumerate(frame.categories, 1)])


class Semantic(Task):
    """Result: bool (H, W), True where the category is.

    One label image shows all categories: labels count from 1 in the order of the parameter `tasks`;
    where categories overlap, the one that the model is surer of wins.
    """

    kind, family = 'semantic', 'category'
    field, collects = 'semantic', True
    field_type = 'dict[str, np.ndarray]'
    default = 'semantic:person'
    meaning = '{category: bool (H, W)}, True where the category is'
    published = Published('[[image2semantic]]', 28, 2.0)
    topics = (
        Topic('semantic/labels', 'the categories asked for, from 1 in the order of `tasks`, 0 = '
              'none', 'mono8', lambda _, frame: frame.semantic_labels),
        Topic('semantic/label_info', 'the name of each label', type='diception_ros/msg/LabelInfo',
              message='semantic.label_info', latched=True),
        Topic('semantic/color', 'the same for eyes', 'rgb8', colored),
    )
    panel = Panel('A named category', 'semantic:person', 'semantic/color', 'semantic/labels')
    metrics = (Metric('miou', 'IoU', ratio=('intersection', 'union')),)
    loss = 'mask'
    color = staticmethod(colored)

    def __init__(self, category, conventions=Conventions()):
        super().__init__(category, conventions)
        self.category = category
        self.painting = conventions.semantic_painting

    @classmethod
    def files(cls, result, frame):
        return {'semantic.png': colored(result, frame)}

    def result_of(self, message):
        return message == 1  # of a node that is asked for this category alone

    def summary(self, figures):
        return f'IoU {figures["miou"]:.2f} of {self.category}'

    def encode(self, truth, rng=None, points=None):
        labels = [
            label for label, category in truth.categories.items() if category == self.category
        ]
        mask = np.isin(truth.instances, labels)
        if self.painting == 'random':
            alone = replace(truth, instances=np.where(mask, truth.instances, 0))
            return Entities(conventions=Conventions(entity_colors='random')).encode(alone, rng)
        return np.repeat(mask.astype(np.float32)[..., None], 3, axis=2)

    def read(self, image):
        """SemanticMap of an image.

        White is where it is brighter than half. Of colours none is too dark: every part of one
        colour that is not the black ground is an instance, up to half way to its neighbour's.
        """
        image = clean(image)
        if self.painting == 'white' or (self.painting == 'auto' and not in_colors(image)):
            return SemanticMap(brightest(image), None)
        found = Entities(conventions=Conventions(entity_colors='random')).decode(image)
        named = [replace(one, category=self.category) for one in found.instances]
        return SemanticMap((found.labels > 0).astype(np.float32),
                           EntityMap(found.labels, named, found.valid))

    def decode(self, image):
        return self.read(image).mask

    def decode_beside(self, image, found):
        seen = found.semantic_maps[self.category] = self.read(image)
        return seen.mask

    def score(self, result, truth):
        """IoU of the category; NaN where it is neither seen nor there. Sums for pooling as well."""
        labels = [
            label for label, category in truth.categories.items() if category == self.category
        ]
        mask = np.isin(truth.instances, labels)
        guess = resized(result, mask.shape) > 0.5
        both, either = np.count_nonzero(guess & mask), np.count_nonzero(guess | mask)
        return {
            'miou': float(both / either) if either else np.nan,
            'intersection': float(both),
            'union': float(either),
        }

    def constant_baseline(self, truths):
        """The whole image."""
        return np.ones(truths[0].instances.shape, bool)

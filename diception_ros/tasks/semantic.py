# SPDX-License-Identifier: Apache-2.0
"""Semantic segmentation: everything of one category, one picture a category."""

import numpy as np

from diception_ros.tasks import drawing
from diception_ros.tasks.conventions import Conventions
from diception_ros.tasks.pictures import brightest, clean, resized
from diception_ros.tasks.task import Metric, Panel, Published, Task, Topic


def strength(picture):
    """How bright a semantic picture (H, W, 3) is, float32 (H, W) in [0, 1]: its brightest channel,
    since instances may be coloured."""
    return brightest(clean(picture))


def colored(found, frame):
    return drawing.legend(drawing.labels(frame.semantic_labels), [
        (name, drawing.color_of(label)) for label, name in enumerate(frame.categories, 1)])


class Semantic(Task):
    """Result: bool (H, W), True where the category is.

    One label image shows all categories: labels count from 1 in the order of the parameter `tasks`;
    where categories overlap, the one that the model painted brighter wins.
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
        mask = np.isin(truth.instances, labels).astype(np.float32)
        return np.repeat(mask[..., None], 3, axis=2)

    def decode(self, image):
        return strength(image) > 0.5

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

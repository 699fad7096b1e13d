# SPDX-License-Identifier: Apache-2.0
"""Semantic segmentation: everything of one category, one picture a category."""

import numpy as np

from diception_ros.tasks.pictures import brightest, clean, resized


def strength(picture):
    """How bright a semantic picture (H, W, 3) is, float32 (H, W) in [0, 1]: its brightest channel,
    since instances may be coloured."""
    return brightest(clean(picture))


class Semantic:
    """Result: bool (H, W), True where the category is."""

    needs_points = False

    def __init__(self, category):
        self.category = category
        self.name = self.prompt_key = f'semantic:{category}'
        self.published_prompt = f'[[image2semantic]] {category}'

    def encode(self, truth, rng=None, points=None):
        labels = [
            label for label, category in truth.categories.items() if category == self.category
        ]
        mask = np.isin(truth.instances, labels).astype(np.float32)
        return np.repeat(mask[..., None], 3, axis=2)

    def decode(self, picture):
        return strength(picture) > 0.5

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

    def constant(self, truths):
        """The whole picture."""
        return np.ones(truths[0].instances.shape, bool)

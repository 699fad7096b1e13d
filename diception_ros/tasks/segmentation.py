# SPDX-License-Identifier: Apache-2.0
"""Interactive segmentation: the clicked thing white on black, soft edges meaningful."""

import numpy as np

from diception_ros.tasks.pictures import clean, grey, resized


def iou(guess, mask):
    """Intersection over union of two bool masks (H, W); 1 when both are empty."""
    union = np.count_nonzero(guess | mask)
    return float(np.count_nonzero(guess & mask) / union) if union else 1.0


class Segmentation:
    """Result: float32 (H, W) in [0, 1]; the thing is where it is over 0.5."""

    name = 'segmentation'
    prompt_key = 'segmentation'
    published_prompt = '[[image2segmentation]]'
    needs_points = True

    def encode(self, truth, rng=None, points=None, label=None):
        """White on instance `label`, or on what lies under the first of `points`, (x, y) in [0,
        1]."""
        if label is None:
            label = label_at(truth, points)
        mask = (truth.instances == label).astype(np.float32)
        return np.repeat(mask[..., None], 3, axis=2)

    def decode(self, picture):
        return grey(clean(picture))

    def score(self, result, truth, label=None, points=None):
        if label is None:
            label = label_at(truth, points)
        mask = truth.instances == label
        return {'miou': iou(resized(result, mask.shape) > 0.5, mask)}

    def constant(self, truths):
        """The whole picture."""
        return np.ones(truths[0].instances.shape, np.float32)


def label_at(truth, points):
    """The instance under the first of `points`, (x, y) in [0, 1]."""
    if points is None or len(points) == 0:
        raise ValueError('segmentation needs a label or points')
    height, width = truth.instances.shape
    x, y = points[0]
    return int(truth.instances[min(int(y * height), height - 1), min(int(x * width), width - 1)])

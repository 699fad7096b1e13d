# SPDX-License-Identifier: Apache-2.0
"""A task of the user's own, learned from a few images: its image is its result."""

import numpy as np

from diception_ros.tasks.pictures import clean
from diception_ros.tasks.task import Task, Topic


class Adapter(Task):
    """Result: uint8 (H, W, 3). Targets come from the user's images, not from a truth."""

    kind, family = 'adapter', 'name'
    field, collects = 'adapters', True
    field_type = 'dict[str, np.ndarray]'
    meaning = '{name: uint8 (H, W, 3)}, the image of each few-shot adapter'
    topics = (Topic('adapters/<name>', 'the image of a few-shot adapter', 'rgb8'),)

    def encode(self, truth, rng=None, points=None):
        raise ValueError(
            f"'{self.name}' is taught by images: it has no target in a world's truth"
        )

    def decode(self, image):
        return np.rint(255 * clean(image)).astype(np.uint8)

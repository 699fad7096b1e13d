# SPDX-License-Identifier: Apache-2.0
"""A task of the user's own, learned from a few pictures: its picture is its result."""

import numpy as np

from diception_ros.tasks.pictures import clean


class Adapter:
    """Result: uint8 (H, W, 3). Targets come from the user's pictures, not from a truth."""

    needs_points = False
    published_prompt = None

    def __init__(self, name):
        self.name = self.prompt_key = f'adapter:{name}'

    def encode(self, truth, rng=None, points=None):
        raise ValueError(
            f"'{self.name}' is taught by pictures: it has no target in a world's truth"
        )

    def decode(self, picture):
        return np.rint(255 * clean(picture)).astype(np.uint8)

# SPDX-License-Identifier: Apache-2.0
"""One image and what was found in it: what topics, files and overlays are made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from diception_ros.tasks import drawing
from diception_ros.tasks.panoptic import label_image, with_categories
from diception_ros.tasks.registry import TASKS

# The node's defaults, where there is no node.
FOR_EYES = {'palette': 'viridis', 'overlay.opacity': 0.5}


@dataclass
class FrameResults:
    """One image of H x W pixels and the results of its tasks."""

    rgb: np.ndarray  # uint8 (H, W, 3)
    perception: Any  # results.Perception; None in a field = not asked for
    settings: dict  # the node's parameters: 'tasks', 'palette', 'overlay.opacity', ...
    points: list  # [(x, y)] in pixels, of the segmentation

    @property
    def categories(self) -> list[str]:
        """The categories asked for, in order: label 1, 2, ... of `semantic_labels`."""
        return [task.partition(':')[2] for task in self.settings['tasks']
                if task.startswith('semantic:')]

    @cached_property
    def semantic_labels(self) -> np.ndarray:
        """Label image uint8 (H, W): 1 + the index in `categories`, 0 = none; the brightest wins."""
        return label_image(self.perception.strengths, self.categories)

    @cached_property
    def entities(self):
        """The entities, each with its category and score where semantic images tell; or None."""
        found = self.perception.entities
        return found and with_categories(found, self.perception.strengths)

    def overlay_ground(self) -> np.ndarray:
        """What of the overlay lies under people, clicks, the legend and the small images."""
        return drawing.overlay_ground(self.rgb, self.perception, self._categories_seen(),
                                      self.settings['overlay.opacity'])

    def overlay(self, ground: np.ndarray | None = None) -> np.ndarray:
        """Everything that was found over the image, uint8 RGB (H, W, 3).

        ground: what `overlay_ground` gave of this frame, to be drawn on.
        """
        small = [(task.kind, result, lambda part, task=task: task.color(part, self))
                 for task in TASKS if task.inset
                 and (result := getattr(self.perception, task.field)) is not None]
        return drawing.overlay(self.overlay_ground() if ground is None else ground,
                               self.perception, self.points, self.categories,
                               self._categories_seen(), small)

    def _categories_seen(self):
        return self.semantic_labels if self.perception.semantic else None

# SPDX-License-Identifier: Apache-2.0
"""What an image was found to show: one result a task."""

from __future__ import annotations

from dataclasses import dataclass, field, make_dataclass
from typing import Any

import numpy as np

from diception_ros.tasks.panoptic import joined, labels_of, with_categories
from diception_ros.tasks.registry import TASKS, task_class
from diception_ros.tasks.semantic import SemanticMap, strength

_Results = make_dataclass('_Results', [
    (task.field, f'{task.field_type} | None' if task.field_type != 'Any' else 'Any', None)
    for task in TASKS])


@dataclass
class Perception(_Results):
    """What an image of H x W camera pixels was found to show.

    It has the `field` of every task of the registry, None where that was not asked for, in the type
    that its `meaning` says (docs/reference/tasks.md):
        depth           float32 (H, W), relative disparity in [0, 1], near = 1
        normals         float32 (H, W, 3), unit length, optical frame
        entities        .labels int32 (H, W), 0 = none; .instances
        segmentation    float32 (H, W) in [0, 1]
        semantic        {category: bool (H, W)}
        poses           list of people: .keypoints float32 (17, 3)
        restored        uint8 (H, W, 3)
        adapters        {name: uint8 (H, W, 3)}
    and beside them what the model predicted, by the names of the tasks.
    """

    pictures: dict[str, np.ndarray] = field(default_factory=dict)  # {task: float32 (H, W, 3), 0..1}

    def __post_init__(self):
        self.semantic_maps: dict[str, SemanticMap] = {}           # {category: how sure, and which}

    def add(self, name: str, result: Any) -> None:
        """Put the result of the task called `name` into its field."""
        task, member = task_class(name), name.partition(':')[2]
        if task.collects:
            result = {**(getattr(self, task.field) or {}), member: result}
        setattr(self, task.field, result)

    def result_of(self, name: str) -> Any:
        """The result of the task called `name`."""
        task, member = task_class(name), name.partition(':')[2]
        result = getattr(self, task.field)
        return result[member] if task.collects else result

    @property
    def strengths(self) -> dict[str, np.ndarray]:
        """How sure each category is: {category: float32 (H, W) in [0, 1]}, over 0.5 it is there."""
        for name in self.semantic or {}:
            if name not in self.semantic_maps:
                picture = self.pictures[f'semantic:{name}']
                self.semantic_maps[name] = SemanticMap(strength(picture), None)
        return {name: self.semantic_maps[name].strength for name in self.semantic or {}}

    @property
    def semantic_instances(self) -> dict[str, Any]:
        """{category: its instances, as `entities` has them} where the model paints a category's
        instances in colours of their own; a category in white is not in it."""
        return {name: one.instances for name, one in self.semantic_maps.items()
                if one.instances is not None}

    @property
    def panoptic(self) -> Any:
        """What is where and which one is it: the entities with their categories; without the task
        'entities', the instances of the categories that tell theirs apart; None without either."""
        if self.entities is not None:
            return with_categories(self.entities, self.strengths)
        return joined(self.semantic_instances, {
            name: self.pictures[f'semantic:{name}'] for name in self.semantic_instances})

    @property
    def people_labels(self) -> np.ndarray | None:
        """The label image of the entities that are people, int32 (H, W), 0 elsewhere; None where
        entities or 'semantic:person' were not asked for."""
        person = (self.semantic or {}).get('person')
        if self.entities is None or person is None:
            return None
        return labels_of(self.entities, person)

# SPDX-License-Identifier: Apache-2.0
"""What one model's target images look like where models differ; from `diception.json`."""

from dataclasses import dataclass

_AXES = {'left': 0, 'right': 0, 'up': 1, 'down': 1, 'back': 2, 'forward': 2}


@dataclass(frozen=True)
class Conventions:
    """How one model draws normals, joints, entities and categories.

    normal_axes: where channel 0, 1, 2 of the normals image point to, seen from the camera: one
        of left/right, up/down and back/forward ('back' is towards the camera) each, in any order.
    pose_encoding: 'typed' (a colour per joint) or 'discs' (every joint a red disc).
    entity_colors: 'random', or 'position' (a function of where the instance is).
    semantic_painting: 'white', 'random' (a random colour per instance), or 'auto', which is
        measured per image.
    """

    normal_axes: tuple = ('left', 'up', 'back')
    pose_encoding: str = 'typed'
    entity_colors: str = 'random'
    semantic_painting: str = 'white'

    def __post_init__(self):
        object.__setattr__(self, 'normal_axes', tuple(self.normal_axes))
        if sorted(_AXES.get(axis, -1) for axis in self.normal_axes) != [0, 1, 2]:
            raise ValueError(
                f'normal_axes {self.normal_axes}: one of left/right, up/down and back/forward each')
        if self.pose_encoding not in ('typed', 'discs'):
            raise ValueError(f"pose_encoding '{self.pose_encoding}': use 'typed' or 'discs'")
        if self.entity_colors not in ('random', 'position'):
            raise ValueError(f"entity_colors '{self.entity_colors}': use 'random' or 'position'")
        if self.semantic_painting not in ('white', 'random', 'auto'):
            raise ValueError(f"semantic_painting '{self.semantic_painting}': use 'white', 'random' "
                             "or 'auto'")

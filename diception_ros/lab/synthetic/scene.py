# SPDX-License-Identifier: Apache-2.0
"""What a world is: a room or open ground, solids, people, lights, and a place for the camera."""

import random
from dataclasses import dataclass, field

import numpy as np

from diception_ros.lab.synthetic.camera import Camera
from diception_ros.lab.synthetic.solids import Solids, stack

FLOOR, WALL, CEILING, SKY = 1, 2, 3, 4       # instance ids of stuff; things and people follow
LEVELS = {'easy': 0.0, 'full': 1.0}
SPLITS = ('train', 'validation', 'test')
PHOTO = 1000              # textures of paints from here on are photographs of the scene
OPEN = 1e6                                   # metres: walls and ceiling that are not there


@dataclass
class Figure:
    """A person as the truth needs it."""

    instance: int
    joints: np.ndarray       # float64 (17, 3), world, COCO order
    thickness: np.ndarray    # float64 (17,), metres of body in front of a joint


@dataclass
class Light:
    """A lamp or the sun; walls and ceiling do not stand in its way."""

    position: np.ndarray     # float64 (3,), world
    colour: tuple            # linear RGB where the camera stands
    size: float              # how soft its shadows are: their blur in metres; 0: none are thrown


@dataclass
class Scene:
    """A world with one place to look at it from. The room is the box from `low` to `high`."""

    low: np.ndarray          # float64 (3,), low[2] = 0 is the floor; -OPEN and OPEN: nothing there
    high: np.ndarray         # float64 (3,)
    faces: list              # rows of paints: walls at low x, high x, low y, high y, floor, ceiling
    solids: Solids
    paints: np.ndarray       # float32 (P, 9): colour, second colour, texture, tiles / m, gloss
    categories: dict         # instance id -> category
    figures: list
    lights: list
    ambient: tuple           # linear RGB
    view: dict               # arguments of Camera.at
    mirror: float = 0.0      # how much of what is above it the floor reflects, 0 to 1
    sky: tuple = ((.3, .5, .9), (.8, .9, 1.0), .5)    # colour above, at the horizon, clouds
    haze: float = 0.0        # 1/m
    boards: list = field(default_factory=list)      # Billboards
    phantoms: Solids | None = None    # shadows of billboards: not seen themselves
    photos: np.ndarray | None = None  # uint8 (K, assets.TEXELS, 3); paints' textures PHOTO + k
    panorama: np.ndarray | None = None    # float (H, 2 H, 3), linear: the sky, and all light but
    turn: float = 0.0        # that of lamps; turned by this, radians
    nooks: float = 0.0       # how much darker it is close behind and beside things, 0 to 1
    backdrop: np.ndarray | None = None    # uint8 (H, W, 3), sRGB: a photograph without people in
    #                          place of room and sky, of which then nothing else is known
    unsure: dict = field(default_factory=dict)    # instance id -> categories that it may be of

    def casters(self):
        """Solids that throw shadows."""
        return self.solids if self.phantoms is None else stack([self.solids, self.phantoms])

    def camera(self, size=(128, 128), **changes):
        """The scene's own camera; a square picture may be squashed from a wider sensor."""
        view = {**self.view, **changes}
        aspect = view.pop('aspect')
        return Camera.at(size=size, aspect=aspect if size[0] == size[1] else None, **view)


@dataclass
class Paints:
    """Collects the rows of Scene.paints, each once."""

    rows: dict = field(default_factory=dict)

    def __call__(self, colour, texture=0, second=None, scale=2.0, gloss=0.0):
        """A paint's row: linear RGB, a pattern towards a second one of `scale` tiles per metre."""
        row = (*colour, *(second or colour), texture, scale, gloss)
        return self.rows.setdefault(row, len(self.rows))

    def table(self):
        return np.array(list(self.rows), np.float32)


def level_of(worlds):
    """0 (easy) to 1 (full)."""
    level = LEVELS.get(worlds, worlds)
    if isinstance(level, str) or not 0 <= level <= 1:
        raise ValueError(f"worlds={worlds!r}: use 'easy', 'full' or a number from 0 to 1")
    return float(level)


def dice_for(seed, split, purpose='scene'):
    """A random.Random that no other split and purpose shares."""
    if split not in SPLITS:
        raise ValueError(f'split={split!r}: use one of {", ".join(SPLITS)}')
    return random.Random(f'{purpose}/{split}/{int(seed)}')

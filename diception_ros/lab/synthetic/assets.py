# SPDX-License-Identifier: Apache-2.0
"""Real images for scenes: cut-outs, photographs as textures, panoramas as light. None is shipped;
`diception_ros.lab.datasets.assets` collects them."""

import json
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

SIDE = 128                     # texels of a texture's side
TEXELS = sum((SIDE >> level) ** 2 for level in range(8))
PANORAMA = 128                 # rows of a panorama


class Assets:
    """Real images in a folder that `diception_ros.lab.datasets.assets` made; or none at all.

    It holds paths only until something is asked for, so it may travel to other processes.
    """

    def __init__(self, folder=None, split='train'):
        self.folder, self.split = folder and Path(folder), split
        if folder and not (self.folder / 'assets.json').is_file():
            raise FileNotFoundError(f'{self.folder}/assets.json: no assets; make them with '
                                    '`python -m diception_ros.lab.datasets.assets`')

    def __reduce__(self):
        return Assets, (self.folder, self.split)

    @cached_property
    def about(self):
        """assets.json: `cutouts`, a folder, and `kinds`: {kind: [first, last + 1] texture}."""
        return json.loads((self.folder / 'assets.json').read_text()) if self.folder else {}

    @cached_property
    def cutouts(self):
        """A Cutouts, or None."""
        from diception_ros.lab.datasets.cutouts import Cutouts
        folder = self.about.get('cutouts')
        return Cutouts(self.folder / folder, self.split) if folder else None

    @cached_property
    def textures(self):
        """uint8 (N, TEXELS, 3): pyramids of photographs, sRGB."""
        return np.load(self.folder / 'textures.npy', mmap_mode='r')

    @cached_property
    def panoramas(self):
        """float16 (N, PANORAMA, 2 * PANORAMA, 3), linear, the mean of each is 1."""
        return np.load(self.folder / 'panoramas.npy', mmap_mode='r')

    def random_texture(self, rng, kind):
        """The number of a texture of a kind, None where there is none. `rng`: random.Random."""
        first, end = self.about.get('kinds', {}).get(kind, (0, 0))
        return rng.randrange(first, end) if end > first else None

    def random_panorama(self, rng):
        """The number of a panorama, None where there is none."""
        count = self.about.get('panoramas', 0)
        return rng.randrange(count) if count else None


def pyramid(square):
    """uint8 (TEXELS, 3) of uint8 (SIDE, SIDE, 3): all sizes, each half of the one before."""
    levels = []
    while True:
        levels.append(square.reshape(-1, 3))
        if len(square) == 1:
            return np.concatenate(levels)
        square = cv2.resize(square, (len(square) // 2,) * 2, interpolation=cv2.INTER_AREA)
        square = square.reshape(len(square), -1, 3)


_OFFSETS = np.cumsum([0] + [(SIDE >> level) ** 2 for level in range(7)])


def sample(photos, which, u, v, footprint):
    """Linear colours float32 (3, P) of textures, mirrored at their edges.

    photos uint8 (K, TEXELS, 3); which int (P,) < K; u, v float32 (P,) in tiles; footprint (P,):
    what a pixel covers, in tiles.
    """
    level = np.log2(np.maximum(footprint * SIDE, 1)) + .2
    level = np.minimum(level.astype(np.intp), 7)
    side = SIDE >> level
    wide = side.astype(np.float32)

    def texels(t):
        t = np.abs((t * np.float32(.5) - np.floor(t * np.float32(.5))) * 2 - 1) * wide - .5
        t = np.clip(t, 0, wide - 1)
        first = t.astype(np.intp)
        return first, np.minimum(first + 1, side - 1), (t - first).astype(np.float32)

    left, right, across = texels(u)
    upper, lower, down = texels(v)
    start = which * TEXELS + _OFFSETS[level]
    flat = photos.reshape(-1, 3)
    upper, lower = start + upper * side, start + lower * side
    across, down = across[:, None], down[:, None]
    above = flat[upper + left] * (1 - across) + flat[upper + right] * across
    below = flat[lower + left] * (1 - across) + flat[lower + right] * across
    colour = ((above + (below - above) * down) * np.float32(1 / 255)).T
    return colour * colour * (np.float32(.8) + np.float32(.2) * colour)        # about ** 2.2


def irradiance(panorama, turn):
    """float64 (4, 3): light on a surface as c0 + c1..3 . normal (world x, y, z), by the first
    spherical harmonics (Ramamoorthi and Hanrahan 2001), of a panorama turned by `turn` radians."""
    small = cv2.resize(panorama.astype(np.float32), (64, 32), interpolation=cv2.INTER_AREA)
    azimuth, down = (np.arange(64) + .5) / 64 * 2 * np.pi + turn, (np.arange(32) + .5) / 32 * np.pi
    weight = np.repeat(np.sin(down)[:, None], 64, axis=1)
    weight /= weight.sum()
    way = np.stack([np.sin(down)[:, None] * np.cos(azimuth), np.sin(down)[:, None]
                    * np.sin(azimuth), np.repeat(np.cos(down)[:, None], 64, axis=1)])
    mean = (small * weight[..., None]).sum(axis=(0, 1))
    slope = np.einsum('khw,hwc,hw->kc', way, small, weight) * 2
    return np.concatenate([mean[None], slope])


def look_up(panorama, direction, turn):
    """Colours float32 (3, P) of a panorama float (H, 2 H, 3) in world directions (3, P)."""
    height = len(panorama)
    x, y, z = direction
    column = ((np.arctan2(y, x) - turn) / (2 * np.pi)) % 1 * (2 * height) - .5
    row = np.arccos(z / np.sqrt(x * x + y * y + z * z)) / np.pi * height - .5
    row = np.clip(row, 0, height - 1)          # azimuth goes round, poles do not
    image = cv2.remap(panorama, np.float32(column)[None], np.float32(row)[None], cv2.INTER_LINEAR,
                      borderMode=cv2.BORDER_WRAP)
    return np.ascontiguousarray(image[0].T)

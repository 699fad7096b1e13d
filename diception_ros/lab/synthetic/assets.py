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

    @cached_property
    def backdrops(self):
        """uint8 (N, H, W, 3): photographs without people, sRGB."""
        return np.load(self.folder / 'backdrops.npy', mmap_mode='r')

    def random_backdrop(self, rng):
        """The number of a backdrop, None where there is none. `rng`: random.Random."""
        count = self.about.get('backdrops', 0)
        return rng.randrange(count) if count else None

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
    level = np.minimum(level.astype(np.intp), len(_OFFSETS) - 1)
    colour = np.empty((len(u), 3), np.float32)
    key = which * len(_OFFSETS) + level
    for number in np.flatnonzero(np.bincount(key)):      # a picture at one of its sizes
        rows = np.flatnonzero(key == number)
        photo, size = divmod(number, len(_OFFSETS))
        side = SIDE >> size
        image = photos[photo, _OFFSETS[size]:_OFFSETS[size] + side * side]
        colour[rows] = look_at(image.reshape(side, side, 3), _mirrored(u[rows]) * side - .5,
                               _mirrored(v[rows]) * side - .5)
    colour *= np.float32(1 / 255)
    colour *= colour * (np.float32(.8) + np.float32(.2) * colour)        # about ** 2.2
    return colour.T


def _mirrored(t):
    """Tiles as places in [0, 1] of the one picture, every other tile backwards."""
    return 1 - np.abs((t * np.float32(.5) - np.floor(t * np.float32(.5))) * 2 - 1)


def look_at(image, column, row):
    """Colours (P, 3) of a picture (H, W, 3) at columns and rows (P,), between its pixels."""
    count = len(column)
    places = np.zeros((2, -(-count // 512) * 512), np.float32)      # OpenCV wants a picture of them
    places[:, :count] = column, row
    column, row = places.reshape(2, -1, 512)
    found = cv2.remap(image, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found.reshape(-1, 3)[:count]


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
    column = column % (2 * height)
    row = np.arccos(z / np.sqrt(x * x + y * y + z * z)) / np.pi * height - .5
    row = np.clip(row, 0, height - 1)          # azimuth goes round, poles do not
    wide = np.concatenate([panorama, panorama[:, :1]], axis=1)          # round and round
    return np.ascontiguousarray(look_at(wide, column, row).T)

# SPDX-License-Identifier: Apache-2.0
"""Patterns: pyramids of tileable grey pictures; 0 is a paint's first colour, 1 its second."""

from functools import cache

import cv2
import numpy as np

SIDE = 256
NAMES = ('plain', 'checker', 'stripes', 'tiles', 'planks', 'bricks', 'cloudy', 'speckles', 'grain',
         'dots', 'weave', 'waves', 'plaid', 'fractal', 'marble', 'print')


def _noise(rng, smooth):
    """Tileable noise in [0, 1] of one scale; `smooth`: standard deviation in texels."""
    picture = rng.standard_normal((SIDE, SIDE)).astype(np.float32)
    wide = np.tile(picture, (3, 3))
    blurred = cv2.GaussianBlur(wide, (0, 0), smooth)[SIDE:2 * SIDE, SIDE:2 * SIDE]
    blurred = (blurred - blurred.mean()) / blurred.std()
    return np.clip(blurred * .25 + .5, 0, 1)


def _pattern(name, rng):
    v, u = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    fine, coarse = _noise(rng, 2), _noise(rng, 14)
    if name == 'checker':
        return ((u * 4).astype(int) + (v * 4).astype(int)) % 2 * 1.0
    if name == 'stripes':
        return (u * 8).astype(int) % 2 * 1.0
    if name == 'tiles':
        joint = (np.abs(u * 4 % 1 - .5) > .46) | (np.abs(v * 4 % 1 - .5) > .46)
        tone = rng.random((4, 4))[(v * 4).astype(int), (u * 4).astype(int)]
        return np.where(joint, 1, tone * .2 + fine * .1)
    if name == 'planks':
        row = (v * 8).astype(int)
        shift = rng.random(8)[row]
        board = ((u + shift) * 2 % 2).astype(int)
        joint = (v * 8 % 1 < .05) | ((u + shift) * 2 % 1 < .008)
        tone = rng.random((8, 2))[row, board]
        wide = np.tile(rng.standard_normal((SIDE, SIDE)).astype(np.float32), (1, 3))
        streaks = cv2.GaussianBlur(wide, (0, 0), 20, sigmaY=.7)[:, SIDE:2 * SIDE]
        streaks = streaks / streaks.std()
        return np.where(joint, 1, tone * .5 + np.clip(streaks * .12 + .2, 0, .5))
    if name == 'bricks':
        row = (v * 8).astype(int)
        column = u * 4 + row % 2 * .5
        joint = (v * 8 % 1 < .12) | (column % 1 < .06)
        tone = rng.random((8, 4))[row, column.astype(int) % 4]
        return np.where(joint, 1, tone * .45 + fine * .15)
    if name == 'cloudy':
        return coarse * .7 + fine * .3
    if name == 'speckles':
        return (_noise(rng, 1.2) > .68) * 1.0
    if name == 'grain':
        wide = np.tile(rng.standard_normal((SIDE, SIDE)).astype(np.float32), (3, 3))
        lines = cv2.GaussianBlur(wide, (0, 0), 24, sigmaY=1.2)[SIDE:2 * SIDE, SIDE:2 * SIDE]
        return np.clip(lines / lines.std() * .25 + .5, 0, 1)
    if name == 'dots':
        return (np.hypot(u * 6 % 1 - .5, v * 6 % 1 - .5) < .25) * 1.0
    if name == 'weave':
        return .5 + .25 * np.sin(u * 2 * np.pi * 24) * np.sin(v * 2 * np.pi * 24) + .3 * (fine - .5)
    if name == 'waves':
        return .5 + .5 * np.sin(2 * np.pi * (v * 6 + .25 * np.sin(2 * np.pi * u * 2)))
    if name == 'plaid':
        return ((u * 4 % 1 < .35) * .5 + (v * 4 % 1 < .35) * .5)
    if name == 'fractal':
        octaves = [_noise(rng, smooth) - .5 for smooth in (20, 9, 4, 2, 1)]
        return np.clip(.5 + 1.1 * (octaves[0] + .8 * octaves[1] + .6 * octaves[2] + .5 * octaves[3]
                                   + .4 * octaves[4]), 0, 1)
    if name == 'marble':
        return 1 - np.abs(np.sin(2 * np.pi * (u * 2 + v + 1.6 * coarse + .08 * fine))) ** .35
    if name == 'print':      # a poster: blocks and lines of something
        sheet = np.zeros((SIDE, SIDE), np.float32)
        for _ in range(160):
            x, y = (int(c) for c in rng.integers(0, SIDE, 2))
            w, h = (int(c) for c in rng.choice([3, 6, 12, 30, 60], 2))
            sheet[y:y + h, x:x + w] = rng.random()
        return sheet
    return np.zeros((SIDE, SIDE))


@cache
def atlas():
    """All pyramids in one array: texels float32 (N,), offsets of the levels, texels per texture."""
    rng = np.random.default_rng(20)
    texels, offsets = [], []
    for name in NAMES:
        picture = _pattern(name, rng).astype(np.float32)
        position = 0
        offsets = []
        while True:
            texels.append(picture.ravel())
            offsets.append(position)
            position += picture.size
            if picture.shape[0] == 1:
                break
            picture = cv2.resize(picture, None, fx=.5, fy=.5, interpolation=cv2.INTER_AREA).reshape(
                picture.shape[0] // 2, -1)
    return np.concatenate(texels), np.array(offsets), position


def sample(texture, u, v, footprint):
    """Values in [0, 1], float32 (P,). `texture` int (P,); `u`, `v` float32 (P,) in tiles;
    `footprint` (P,): what a pixel covers, in tiles."""
    texels, offsets, stride = atlas()
    level = np.log2(np.maximum(footprint * SIDE, 1)) + .2
    level = np.minimum(level.astype(np.intp), len(offsets) - 1)
    side = (SIDE >> np.arange(len(offsets)))[level]
    wide = side.astype(np.float32)
    u, v = u * wide - np.float32(.5), v * wide - np.float32(.5)
    left, top = np.floor(u), np.floor(v)
    u -= left
    v -= top
    mask = side - 1
    left, top = left.astype(np.intp), top.astype(np.intp)
    start = texture * stride + offsets[level]
    right = (left + 1) & mask
    left &= mask
    upper = start + (top & mask) * side
    lower = start + ((top + 1) & mask) * side
    above, below = texels[upper + left], texels[lower + left]
    above += (texels[upper + right] - above) * u
    below += (texels[lower + right] - below) * u
    return above + (below - above) * v

# SPDX-License-Identifier: Apache-2.0
"""What lens, sensor and file format do to the light: exposure, colour, blur, noise, JPEG."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np


@dataclass
class Photo:
    """One photograph's circumstances; sizes in pixels of a picture 128 high."""

    key: float = .42                     # mean brightness that the exposure aims at, of 1, after gamma
    gamma: float = 2.2
    balance: tuple = (1.0, 1.0, 1.0)     # channel gains
    saturation: float = 1.0
    contrast: float = 1.0
    blur: float = .45                    # standard deviation
    motion: tuple = (0.0, 0.0)           # length of the smear in x and y
    vignette: float = 0.0                # loss in the corners
    shift: float = 0.0                   # how far red and blue part in the corners
    noise: float = .01                   # standard deviation of 1
    blotches: float = 0.0                # noise of several pixels' size
    dirt: int = 0                        # spots on the lens
    jpeg: int = 0                        # quality, 0 = none
    seed: int = 0


def random_photo(dice, level):
    """Circumstances from little (level 0) to everything (level 1)."""
    def upto(easy, full):
        return dice.random() * (easy + (full - easy) * level)

    def chance(easy, full):
        return dice.random() < easy + (full - easy) * level

    motion = (0.0, 0.0)
    if chance(0, .25):
        angle, length = dice.uniform(0, 6.3), dice.uniform(.5, 5)
        motion = (length * np.cos(angle), length * np.sin(angle) * .5)
    warm = dice.gauss(0, .05 + .05 * level)
    return Photo(
        key=dice.uniform(.4 - .16 * level, .6 + .1 * level), gamma=dice.uniform(2.0, 2.4),
        balance=(1 + warm, 1.0, 1 - warm), saturation=dice.uniform(.8 - .3 * level, 1.2 + .1 * level),
        contrast=dice.uniform(.92 - .12 * level, 1.1 + .1 * level),
        blur=dice.uniform(.35, .6 + .5 * level * dice.random()), motion=motion,
        vignette=upto(.1, .4), shift=upto(0, 1.0) if chance(0, .3) else 0.0,
        noise=.002 + upto(.012, .05), blotches=upto(0, .03) if chance(0, .3) else 0.0,
        dirt=dice.randint(1, 4) if chance(0, .12) else 0,
        jpeg=dice.randint(30, 95) if chance(0, .5) else 0, seed=dice.getrandbits(30))


@cache
def _noise():
    return np.random.default_rng(5).standard_normal(1 << 21, dtype=np.float32)


def develop(colour, photo=None):
    """uint8 (H, W, 3) from linear light float32 (3, H, W)."""
    photo = photo or Photo(noise=0.0)
    height, width = colour.shape[1:]
    unit = height / 128
    brightness = float(colour[1].mean()) + 1e-6
    gain = photo.key ** 2.2 / brightness
    picture = np.empty((height, width, 3), np.float32)
    for i in range(3):
        np.multiply(colour[i], np.float32(gain * photo.balance[i]), out=picture[..., i])
    length = max(abs(photo.motion[0]), abs(photo.motion[1])) * unit
    if length > .7:
        picture = cv2.filter2D(picture, -1, _smear(photo.motion, unit))
    if photo.blur * unit > .2:
        picture = cv2.GaussianBlur(picture, (0, 0), photo.blur * unit)
    if photo.vignette > .01:
        picture *= _falloff(height, width, round(photo.vignette, 2))[..., None]
    if photo.saturation != 1:
        grey = cv2.transform(picture, np.array([[.3, .59, .11]], np.float32))
        cv2.addWeighted(picture, photo.saturation, cv2.merge([grey] * 3), 1 - photo.saturation, 0, dst=picture)
    np.maximum(picture, 0, out=picture)
    picture = cv2.pow(picture, 1 / photo.gamma)
    if photo.contrast != 1:
        picture = (picture - photo.key) * np.float32(photo.contrast) + np.float32(photo.key)
    # highlights roll off instead of clipping hard
    bright = np.maximum(picture - .8, 0)
    picture -= bright * bright * np.float32(.45)
    if photo.noise:
        count = picture.size
        bank = _noise()
        start = photo.seed * 7919 % max(1, len(bank) - count)
        grain = bank[start:start + count] if count <= len(bank) else np.resize(bank, count)
        picture += grain.reshape(picture.shape) * np.float32(photo.noise)
    picture *= 255
    picture += .5
    return np.clip(picture, 0, 255).astype(np.uint8)


def _smear(motion, unit):
    reach = int(np.ceil(max(abs(motion[0]), abs(motion[1])) * unit / 2))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for t in np.linspace(-.5, .5, 4 * reach + 3):
        kernel[round(reach + t * motion[1] * unit), round(reach + t * motion[0] * unit)] += 1
    return kernel / kernel.sum()


@cache
def _falloff(height, width, amount):
    y, x = np.mgrid[-1:1:height * 1j, -1:1:width * 1j]
    return (1 - amount * (x * x + y * y) / 2).astype(np.float32)

# SPDX-License-Identifier: Apache-2.0
"""What lens, sensor and file format do to the light: exposure, colour, blur, noise, JPEG."""

import math
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np


@dataclass
class Photo:
    """One photograph's circumstances; sizes are in pixels of a picture 128 high."""

    key: float = .42                     # mean brightness the exposure aims at, of 1, after gamma
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
    green: float = 1.0                   # gain of green: light of lamps that the camera misjudges
    sharpen: float = 0.0                 # halos of a cheap camera's sharpening, 1 = strong
    rows: float = 0.0                    # noise that all pixels of a row share, standard deviation
    coarse: float = 1.0                  # shrunk to this share, then enlarged again
    curve: float = 0.0                   # how much an S-shaped curve takes from both ends, 0 to 1


def random_photo(dice, level):
    """Circumstances from little (level 0) to everything (level 1)."""
    def chance(easy, full):
        return dice.random() < easy + (full - easy) * level

    motion = (0.0, 0.0)
    if chance(0, .22):
        angle, length = dice.uniform(0, 6.3), dice.uniform(.5, 4.5)
        motion = (length * math.cos(angle), length * math.sin(angle) * .5)
    warm = dice.gauss(0, .05 + .05 * level)
    key = dice.uniform(.42 - .1 * level, .64 + .06 * level)
    if chance(0, .08):      # far too dark, or too bright
        key *= dice.choice((.5, .6, 1.35))
    return Photo(
        key=key, gamma=dice.uniform(2.0, 2.4), balance=(1 + warm, 1.0, 1 - warm),
        saturation=0.0 if chance(0, .04) else dice.uniform(.8 - .3 * level, 1.3 + .2 * level),
        contrast=dice.uniform(.92 - .12 * level, 1.2 + .15 * level),
        blur=dice.uniform(.25, .55 + .6 * level * dice.random() ** 2), motion=motion,
        vignette=dice.random() * (.1 + .3 * level), shift=dice.random() if chance(0, .25) else 0.0,
        noise=.001 + dice.random() * .008 + dice.random() ** 3 * .04 * level,
        blotches=dice.uniform(.004, .02) if chance(0, .25) else 0.0,
        dirt=dice.randint(1, 4) if chance(0, .12) else 0,
        jpeg=dice.randint(30, 95) if chance(0, .45) else 0, seed=dice.getrandbits(30))


def random_camera(dice, level):
    """Circumstances as those of real cameras, in real rooms: odder than `random_photo`'s."""
    photo = random_photo(dice, max(level, .5))
    warm = dice.gauss(0, .13)
    photo.balance = (1 + warm, 1.0, 1 - warm)
    photo.green = 1 + dice.gauss(0, .04)
    photo.key = min(.8, max(.15, dice.gauss(.48, .11)))
    photo.contrast = dice.uniform(.93, 1.4)
    photo.blur *= .8
    photo.noise *= .7
    if dice.random() < .5:
        photo.sharpen = dice.uniform(.2, 1.2)
    if dice.random() < .1:
        photo.rows = dice.uniform(.002, .012)
    if dice.random() < .3:
        photo.coarse = dice.uniform(.45, .9)
    if dice.random() < .6:
        photo.curve = dice.uniform(.1, .8)
    if dice.random() < .08:          # out of focus
        photo.blur += dice.uniform(.5, 1.6)
    return photo


@cache
def _noise():
    return np.random.default_rng(5).standard_normal(1 << 21, dtype=np.float32)


def develop(colour, photo=None):
    """uint8 (H, W, 3) from linear light float32 (3, H, W); `photo` None: a clean picture."""
    photo = photo or Photo(noise=0.0)
    height, width = colour.shape[1:]
    unit = height / 128
    # the exposure meters without the lamps and windows
    brightness = float(np.minimum(colour[1], 2.5 * colour[1].mean()).mean()) + 1e-6
    gain = photo.key ** 2.2 / brightness
    gains = gain * np.array(photo.balance) * (1, photo.green, 1)
    picture = cv2.merge([colour[i] * np.float32(gains[i]) for i in range(3)])
    if max(abs(photo.motion[0]), abs(photo.motion[1])) * unit > .7:
        picture = cv2.filter2D(picture, -1, _smear(photo.motion, unit))
    # A large picture is sharper than a small one enlarged, and its noise is finer.
    if photo.blur * unit ** .5 > .2:
        picture = cv2.GaussianBlur(picture, (0, 0), photo.blur * unit ** .5)
    if photo.shift:
        _part(picture, photo.shift * unit)
    if photo.vignette > .01:
        picture *= _falloff(height, width, round(photo.vignette, 2))
    if photo.dirt:
        _soil(picture, photo, unit)
    if photo.saturation != 1:
        grey = np.array([.3, .59, .11]) * (1 - photo.saturation)
        picture = cv2.transform(picture, np.eye(3) * photo.saturation + grey)
    np.maximum(picture, 0, out=picture)
    picture = cv2.pow(picture, 1 / photo.gamma)
    if photo.contrast != 1:
        picture -= np.float32(photo.key)
        picture *= np.float32(photo.contrast)
        picture += np.float32(photo.key)
    if photo.curve:
        smooth = np.clip(picture, 0, 1)
        smooth *= smooth * (3 - 2 * smooth)
        picture += (smooth - picture) * np.float32(photo.curve)
    # highlights roll off instead of clipping hard
    if picture.max() > .8:
        bright = np.clip(picture - .8, 0, .8)
        picture -= bright * bright * np.float32(.45)
    if photo.coarse < 1:
        small = cv2.resize(picture, None, fx=photo.coarse, fy=photo.coarse,
                           interpolation=cv2.INTER_AREA)
        picture = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    if photo.sharpen:
        soft = cv2.GaussianBlur(picture, (0, 0), 1.0)
        picture += (picture - soft) * np.float32(photo.sharpen)
    if photo.noise:
        picture += _grain(picture.shape, photo.seed) * np.float32(photo.noise * unit ** .5)
    if photo.blotches:
        small = _grain((max(2, height // 5), max(2, width // 5), 3), photo.seed + 17)
        picture += cv2.resize(small, (width, height)) * np.float32(photo.blotches)
    if photo.rows:
        picture += _grain((height, 1, 1), photo.seed + 5) * np.float32(photo.rows)
    picture *= 255
    picture += .5
    picture = np.clip(picture, 0, 255, out=picture).astype(np.uint8)
    if photo.jpeg:
        _, file = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, photo.jpeg])
        picture = cv2.imdecode(file, cv2.IMREAD_COLOR)
    return picture


def _grain(shape, seed):
    """Fixed noise (shape) of standard deviation 1, from a place in the bank that the seed picks."""
    bank, count = _noise(), int(np.prod(shape))
    if count > len(bank):
        return np.resize(bank, shape)
    start = seed * 7919 % (len(bank) - count + 1)
    return bank[start:start + count].reshape(shape)


def _part(picture, amount):
    """Red a little larger than green, blue a little smaller; in place."""
    height, width = picture.shape[:2]
    for channel, sign in ((0, 1), (2, -1)):
        scale = 1 + sign * amount / (width / 2)
        move = np.array([[scale, 0, (1 - scale) * (width - 1) / 2],
                         [0, scale, (1 - scale) * (height - 1) / 2]])
        picture[..., channel] = cv2.warpAffine(np.ascontiguousarray(picture[..., channel]), move,
                                               (width, height), borderMode=cv2.BORDER_REPLICATE)


def _soil(picture, photo, unit):
    """Spots of dirt on the lens, dark or milky, in place."""
    rng = np.random.default_rng(photo.seed)
    height, width = picture.shape[:2]
    veil = np.zeros((height, width), np.float32)
    for _ in range(photo.dirt):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(veil, centre, int(rng.uniform(2, 11) * unit), float(rng.uniform(.15, .6)), -1)
    veil = cv2.GaussianBlur(veil, (0, 0), 2.5 * unit)[..., None]
    tone = rng.choice([.1, .8]) * picture.mean()
    picture += (np.float32(tone) - picture) * veil


def _smear(motion, unit):
    reach = int(np.ceil(max(abs(motion[0]), abs(motion[1])) * unit / 2))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for t in np.linspace(-.5, .5, 4 * reach + 3):
        kernel[round(reach + t * motion[1] * unit), round(reach + t * motion[0] * unit)] += 1
    return kernel / kernel.sum()


@cache
def _falloff(height, width, amount):
    y, x = np.mgrid[-1:1:height * 1j, -1:1:width * 1j]
    return np.repeat((1 - amount * (x * x + y * y) / 2).astype(np.float32)[..., None], 3, axis=2)

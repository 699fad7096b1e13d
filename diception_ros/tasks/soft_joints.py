# SPDX-License-Identifier: Apache-2.0
"""People from a typed skeleton image that a small model painted without an edge.

Such an image is the mean of all skeletons that may be there: joints lie in each other's glow, left
and right are mixed. A small net reads the joints of one person from it, and how like one person
it looks at all; so people whose glows touch are cut apart where both sides are more like a person
than the whole is. `diception_ros.lab.training.soft_joints` taught it; here it runs in numpy.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np

SIDE = 24  # pixels of the square that the net sees
PRESENT, SPREAD, LIKENESS = slice(34, 51), slice(51, 68), 68  # of its answers, after 17 places
SPREADS = (-4.6, 1.0)  # logarithms, in squares
NEAR = 0.1  # of the square: a joint's score is the chance that it is so near
_ROWS = 128  # soft images hold no more
_WIDEST = 8  # times as wide as high; wider ones show nobody, and would be blown up for nothing
_DIM, _BRIGHT = 0.2, 0.3  # of a person, everything is brighter, and something is
_LEAST_AREA = 0.002  # of the image
_MOST = 20  # parts that are looked at, the largest
_CUTS, _DEEPEST = 7, 3  # places where a part may be cut; cuts one after the other
_LEAST_LIKENESS = 0.4


@dataclass
class Piece:
    """A part of an image that may be one person, and where it lies."""

    image: np.ndarray  # float32 (h, w, 3), black where it is not; as small as it can be
    corner: np.ndarray  # x, y of its left upper pixel


@dataclass
class Reading:
    """What the net makes of a piece."""

    likeness: float  # to one whole person, 0 to 1
    joints: np.ndarray  # float32 (17, 3): x, y, score; NaN, NaN, 0 where missing


def people(image):
    """Keypoints float32 (K, 17, 3) of K people: x, y, score; NaN, NaN, 0 where missing.

    The score is the chance, as the net sees it, that the joint is within a tenth of the person's
    size.
    """
    small, grown = shrunk(image)
    found = []
    for part in parts(small):
        for reading in _divided(part, _readings([part])[0]):
            if reading.likeness < _LEAST_LIKENESS or np.count_nonzero(reading.joints[:, 2]) < 3:
                continue
            reading.joints[:, :2] = (reading.joints[:, :2] + 0.5) * grown - 0.5
            found.append(reading.joints)
    return np.array(found, np.float32).reshape(-1, 17, 3)


def shrunk(image):
    """The image float32 (h, w, 3) at the size in which it is read, and (2,) how many of its
    pixels one of those is wide and high."""
    height, width = image.shape[:2]
    shrink = min(_ROWS / height, _WIDEST * _ROWS / width)
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    way = cv2.INTER_AREA if shrink < 1 else cv2.INTER_LINEAR
    small = cv2.GaussianBlur(cv2.resize(image, size, interpolation=way), (0, 0), 1)
    return small, np.array((width / size[0], height / size[1]))


def parts(small):
    """Pieces of an image that are bright and hang together, the largest first."""
    bright = small.max(axis=2)
    count, labels, stats, _ = cv2.connectedComponentsWithStats((bright > _DIM).astype(np.uint8))
    found = []
    for label in np.argsort(-stats[:, cv2.CC_STAT_AREA]):
        x, y, w, h, area = stats[label]
        window = np.s_[y : y + h, x : x + w]
        inside = labels[window] == label
        if label == 0 or area < _LEAST_AREA * bright.size:
            continue
        if bright[window][inside].max() > _BRIGHT and len(found) < _MOST:
            found.append(Piece(np.where(inside[..., None], small[window], 0), np.array((x, y))))
    return found


def columns(piece):
    """Where a piece may be cut, in its own pixels."""
    width = piece.image.shape[1]
    if width < 8:
        return []
    return np.unique(np.rint(width * np.linspace(0.15, 0.85, _CUTS)).astype(int))


def cut(piece, column):
    """The pieces left and right of a column; none where only one would have something in it."""
    halves = []
    for begin, part in ((0, piece.image[:, :column]), (column, piece.image[:, column:])):
        x, y, w, h = cv2.boundingRect((part.max(axis=2) > 0).astype(np.uint8))
        if min(w, h) < 3:
            return []
        halves.append(Piece(part[y : y + h, x : x + w], piece.corner + (begin + x, y)))
    return halves


def square(piece, shift=(0.0, 0.0), larger=1.0):
    """What the net sees of a piece: float32 (SIDE * SIDE * 3,), the square's left upper corner
    (2,) and its side, in pixels. shift (in squares), larger: another square than the right one."""
    height, width = piece.image.shape[:2]
    side = int(np.ceil(1.1 * larger * max(height, width)))
    left, top = np.rint((np.array((side - width, side - height)) / 2) + np.multiply(shift, side))
    canvas = np.zeros((side, side, 3), np.float32)
    left, top = int(left), int(top)
    x, y = max(0, -left), max(0, -top)
    part = piece.image[y : side - top, x : side - left]
    canvas[top + y : top + y + part.shape[0], left + x : left + x + part.shape[1]] = part
    seen = cv2.resize(canvas, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return seen.ravel(), piece.corner - (left, top), side


@cache
def _weights():
    with np.load(Path(__file__).with_name('soft_joints.npz')) as file:
        return {name: file[name].astype(np.float32) for name in file.files}


def _readings(pieces):
    squares = [square(piece) for piece in pieces]
    net = _weights()
    x = np.stack([seen for seen, _, _ in squares]) - net['mean']
    for layer in '12':
        x = np.maximum(x @ net[f'weight{layer}'] + net[f'bias{layer}'], 0)
    answers = x @ net['weight3'] + net['bias3']
    found = []
    for answer, (_, corner, side) in zip(answers, squares, strict=True):
        joints = np.empty((17, 3), np.float32)
        joints[:, :2] = answer[:34].reshape(17, 2) * side + corner - 0.5
        ratio = NEAR / np.exp(answer[SPREAD].clip(*SPREADS))
        joints[:, 2] = (1 - (1 + ratio) * np.exp(-ratio)) / (1 + np.exp(-answer[PRESENT]))
        joints[answer[PRESENT] < 0] = np.nan, np.nan, 0
        found.append(Reading(float(1 / (1 + np.exp(-answer[LIKENESS]))), joints))
    return found


def _divided(piece, reading, deepest=_DEEPEST):
    """Readings of the people that a piece holds."""
    pairs = [pair for column in columns(piece) if (pair := cut(piece, column))] if deepest else []
    if pairs:
        readings = _readings([half for pair in pairs for half in pair])
        likeness = np.reshape([one.likeness for one in readings], (-1, 2)).mean(axis=1)
        best = int(likeness.argmax())
        if likeness[best] > reading.likeness:
            halves = zip(pairs[best], readings[2 * best : 2 * best + 2], strict=True)
            return [one for half, read in halves for one in _divided(half, read, deepest - 1)]
    return [reading]

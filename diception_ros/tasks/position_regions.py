# SPDX-License-Identifier: Apache-2.0
"""Entities from an image whose colours say what and where they are ('position'), however blurred.

Stuff (floor, wall, ceiling, sky) is dark in four fixed colours; a thing's red and green are at
least 0.3. A small model paints that softly: what is a thing is told by brightness, then things
that touch are told apart by colour.
"""

import cv2
import numpy as np

from diception_ros.tasks.regions import color_regions, gradient, noise_level

STUFF_COLORS = {
    'floor': (0, 0, 0.3),
    'wall': (0.3, 0, 0),
    'ceiling': (0, 0.3, 0),
    'sky': (0, 0.15, 0.3),
}
_ROWS = 128  # small models paint no more; finer noise makes parts of its own
_LEAST = 0.001  # share of the image: smaller things are dropped
_APART = 0.14  # colours of touching things differ by this in one channel at least
_SAME = 0.05  # colours of parts of one thing that do not touch differ by less


def is_soft(image, steep=40, least=0.2):
    """True if of an image of about 480 rows hardly an edge is steep: a small model's painting.

    steep: the step (0..255) over two pixels that is steep; least: the share of edges that are.
    """
    levels = np.rint(255 * image).astype(np.uint8)
    steps = gradient(levels)
    edges = np.count_nonzero(steps > 8)
    if edges == 0 or noise_level(levels) > 1:
        return False
    return np.count_nonzero(steps > steep) < least * edges


def position_regions(image):
    """Label image int32 (H, W), 0 = nothing, of an image float32 (H, W, 3) in [0, 1].

    A soft image says no more at full size than at _ROWS rows: it is read there, and the borders
    are drawn smoothly at its own size.
    """
    height, width = image.shape[:2]
    if height > 1.2 * _ROWS:
        size = max(8, round(width * _ROWS / height)), _ROWS
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return _enlarged(_regions(small), (height, width))
    return _regions(image)


def _regions(image):
    height = image.shape[0]
    smooth = cv2.GaussianBlur(image, (0, 0), max(0.5, height / 480))
    red, green, _ = cv2.split(smooth)
    # 1. Where there are things: more than half as bright as the brightest around, since edges are
    # soft.
    bright = cv2.min(red, green)
    around = np.ones((2 * max(1, round(height / 60)) + 1,) * 2, np.uint8)
    things = (bright > np.maximum(0.13, 0.45 * cv2.dilate(bright, around))).astype(np.uint8)
    # 2. Stuff, as if no thing were there.
    kind = _stuff(smooth, things)
    # 3. Things.
    labels = _things(smooth, things)
    labels = np.where(labels > 0, labels + len(STUFF_COLORS), kind)
    return labels.astype(np.int32)


def _enlarged(labels, shape):
    """A label image (h, w) at `shape` (H, W), its borders as smooth as an image's would be."""
    best, label = np.zeros(shape, np.uint8), np.zeros(shape, np.int32)
    for number in np.flatnonzero(np.bincount(labels.ravel())):
        mask = 255 * (labels == number).astype(np.uint8)
        share = cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_LINEAR)
        cv2.copyTo(np.full(shape, number, np.int32), cv2.compare(share, best, cv2.CMP_GT), label)
        best = cv2.max(share, best)
    return label


def _stuff(smooth, things):
    """1 + the number of the nearest stuff colour, 0 where it is as near to black, int32 (H, W)."""
    colors = np.array([(0, 0, 0), *STUFF_COLORS.values()], np.float32)
    distance = np.stack([((smooth - color) ** 2).sum(axis=2) for color in colors])
    kind = distance.argmin(axis=0).astype(np.uint8)
    # Soft edges of things pass through any colour: they take what is beyond them.
    grown = cv2.dilate(things, np.ones((3, 3), np.uint8), iterations=max(1, len(kind) // 120))
    kind[grown > 0] = 255
    if (kind == 255).all():
        return np.zeros(kind.shape, np.int32)
    _, index = cv2.distanceTransformWithLabels(
        (kind == 255).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner = np.zeros(int(index.max()) + 1, np.uint8)
    sure = kind != 255
    owner[index[sure]] = kind[sure]
    kind = cv2.medianBlur(owner[index], 5)
    # Specks of one kind of stuff in another are edges as well.
    share = np.bincount(kind.ravel()) / kind.size
    for number in np.flatnonzero(share):
        if share[number] < 0.004:
            kind[kind == number] = np.bincount(kind.ravel()).argmax()
    return kind.astype(np.int32)


def _things(smooth, things):
    """Labels int32 (H, W) of things, 0 elsewhere."""
    inside = cv2.erode(things, np.ones((3, 3), np.uint8))
    count, parts = cv2.connectedComponents(things, connectivity=4)
    if count == 1:
        return np.zeros(things.shape, np.int32)
    # Touching things: parts of one colour, of which those too like to be two are joined.
    shade = np.where(things[..., None] > 0, smooth, 0)
    pieces = color_regions(shade)
    number = np.where(things > 0, parts * (int(pieces.max()) + 1) + pieces, 0)
    there = np.bincount(number.ravel()) > 0
    there[0] = False
    labels = (np.cumsum(there) * there).astype(np.int32)[number]
    labels = _joined(labels, smooth, inside)
    area = np.bincount(labels.ravel())
    small = area < _LEAST * labels.size
    return np.where(small[labels], 0, labels)


def _joined(labels, smooth, inside):
    """Joins neighbours of like colours, the most alike first, and specks to any neighbour."""
    count = int(labels.max()) + 1
    flat = labels.ravel()
    weight = np.where(inside.ravel() > 0, 1.0, 0.05)  # edges have not the thing's own colour
    mass = np.bincount(flat, weight, count)
    area = np.bincount(flat, minlength=count).astype(np.float64)
    channels = cv2.split(smooth)
    total = np.stack([np.bincount(flat, weight * one.ravel(), count) for one in channels], axis=1)
    width = labels.shape[1]
    x = np.bincount(flat, np.tile(np.arange(width, dtype=np.float64), len(labels)), count)
    touch = np.zeros((count, count), bool)
    for a, b in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
        touch[a[a != b], b[a != b]] = True
    touch |= touch.T
    touch[0] = touch[:, 0] = False
    name = np.arange(count)
    least = 3 * _LEAST * labels.size
    while True:
        mean = total / np.maximum(mass, 1e-9)[:, None]
        apart = np.abs(mean[:, None] - mean[None]).max(axis=2)
        # What is small, or hardly more than an edge, is part of a neighbour.
        little = (area < least) | (mass < 0.4 * area)
        little = little[:, None] | little[None]
        cost = np.where(touch, np.where(little, 0.25 * apart, apart), np.inf)
        # Parts that do not touch are one thing if their colour says that it is between them.
        centre = x / np.maximum(area, 1)
        told = (mean[:, 0] - 0.3) / 0.7 * width
        both = (x[:, None] + x[None]) / np.maximum(area[:, None] + area[None], 1)
        alone = np.minimum(np.abs(centre - told)[:, None], np.abs(centre - told)[None])
        between = np.abs(both - (told[:, None] + told[None]) / 2) < alone
        far = (apart < _SAME) & between & ~touch & (area > 0)[:, None] & (area > 0)[None]
        far[0] = far[:, 0] = False
        cost = np.where(far, apart + 1e-3, cost)
        np.fill_diagonal(cost, np.inf)
        a, b = np.unravel_index(int(cost.argmin()), cost.shape)
        if not cost[a, b] < _APART:
            return name[labels].astype(np.int32)
        total[a] += total[b]
        mass[a] += mass[b]
        area[a] += area[b]
        x[a] += x[b]
        mass[b] = area[b] = x[b] = 0
        total[b] = 0
        touch[a] |= touch[b]
        touch[:, a] |= touch[:, b]
        touch[b] = touch[:, b] = False
        touch[a, a] = False
        name[name == b] = a

# SPDX-License-Identifier: Apache-2.0
"""People from a typed skeleton picture that a small model painted without an edge.

Such a model does not know left from right: it paints the mixture of both colours. So each pair of
joints is looked for as one, in any mixture of its colours; the places are those that fit each other
by the lengths of limbs (dynamic programming over the skeleton's tree); how the mixture leans tells
left and right apart as far as it can.
"""

import cv2
import numpy as np

from diception_ros.tasks.skeleton import JOINT_COLORS

# The joints of each node (left, right), and parent, child, and length over the person's height.
_NODES = ((0, 0), (1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16))
_TREE = (
    (3, 0, 0.2), (0, 1, 0.03), (1, 2, 0.05), (3, 4, 0.17), (4, 5, 0.145), (3, 6, 0.29),
    (6, 7, 0.245), (7, 8, 0.24),
)  # fmt: skip
_ROWS = 128  # soft pictures hold no more
_WIDEST = 8  # times as wide as high; wider ones show nobody, and would be blown up for nothing
_PEAKS = 8  # of a node
_BRIGHT = 0.3  # the brightest spot of a person is brighter
_MISSING = -3.0  # what a node without a peak costs, in the units of log evidence
_TOO_LONG, _TOO_SHORT = 12.0, 10.0  # what a limb costs that is off by a person's height
_SHARP = 0.35  # how far a colour may be from a node's mixtures
_SPREAD = 0.08  # of the height: how far left and right are looked for around a node


def people(picture):
    """Keypoints float32 (K, 17, 3) of K people: x, y, score; NaN, NaN, 0 where missing."""
    height, width = picture.shape[:2]
    shrink = min(_ROWS / height, _WIDEST * _ROWS / width)
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    way = cv2.INTER_AREA if shrink < 1 else cv2.INTER_LINEAR
    small = cv2.GaussianBlur(cv2.resize(picture, size, interpolation=way), (0, 0), 1)
    bright = small.max(axis=2)
    count, parts, stats, _ = cv2.connectedComponentsWithStats(
        (bright > 0.4 * _BRIGHT).astype(np.uint8)
    )
    found = []
    for part in range(1, count):
        x, y, w, h, area = stats[part]
        window = np.s_[y : y + h, x : x + w]
        inside = parts[window] == part
        if area < 0.002 * bright.size or bright[window][inside].max() < _BRIGHT:
            continue
        for one in _side_by_side(bright[window], inside):
            columns, rows = np.flatnonzero(one.any(axis=0)), np.flatnonzero(one.any(axis=1))
            tall = float(max(np.ptp(columns), np.ptp(rows)) + 1)
            person = _fitted(np.where(one[..., None], small[window], 0), tall)
            if person is not None:
                grown = np.array((width / size[0], height / size[1]))
                person[:, :2] = (person[:, :2] + (x, y) + 0.5) * grown - 0.5
                found.append(person)
    return np.array(found, np.float32).reshape(-1, 17, 3)


def _side_by_side(bright, inside):
    """Masks (H, W) of the people of one part: of those that stand side by side, each has a core of
    its own as tall as half the part, and what is between the cores goes to the nearest."""
    height = bright.shape[0]
    for level in (0.6, 0.8, 1.1):
        cores = ((bright > level * _BRIGHT) & inside).astype(np.uint8)
        count, labels, stats, centres = cv2.connectedComponentsWithStats(cores)
        tall = [n for n in range(1, count) if stats[n, cv2.CC_STAT_HEIGHT] > 0.5 * height]
        tall.sort(key=lambda n: centres[n, 0])
        gaps = np.diff([centres[n, 0] for n in tall])
        if len(tall) > 1 and (gaps > 0.12 * height).all():
            away = [cv2.distanceTransform((labels != n).astype(np.uint8), cv2.DIST_L2, 3)
                    for n in tall]
            nearest = np.argmin(away, axis=0)
            return [inside & (nearest == n) for n in range(len(tall))]
    return [inside]


def _hill(colors, bright, left, right):
    """How much a node is painted where, and how far towards its left colour, both (H, W)."""
    least, lean = np.full(bright.shape, np.inf, np.float32), np.zeros(bright.shape, np.float32)
    for share in (0, 0.25, 0.5, 0.75, 1):
        mixture = share * JOINT_COLORS[left] + (1 - share) * JOINT_COLORS[right]
        away = ((colors - mixture / np.linalg.norm(mixture)) ** 2).sum(axis=2)
        lean[away < least] = share
        least = np.minimum(least, away)
    return bright * np.exp(-least / (2 * _SHARP**2)), lean


def _fitted(small, tall):
    """The best joints of one person: float32 (17, 3), or None."""
    bright = small.max(axis=2)
    colors = small / np.maximum(np.linalg.norm(small, axis=2, keepdims=True), 1e-6)
    hills, places, values = [], [], []
    for left, right in _NODES:
        hill, lean = _hill(colors, bright, left, right)
        smooth = cv2.GaussianBlur(hill, (0, 0), max(0.5, 0.02 * tall))
        rows, columns = np.nonzero(
            (smooth >= cv2.dilate(smooth, np.ones((3, 3), np.uint8))) & (smooth > 0.03)
        )
        best = np.argsort(-smooth[rows, columns])[:_PEAKS]
        spots = np.stack([columns[best], rows[best]], axis=1).astype(np.float32)
        hills.append((hill, lean))
        places.append(np.concatenate([spots, [(np.nan, np.nan)]]))
        values.append(np.concatenate([3 * smooth[rows, columns][best], [_MISSING]]))
    total, choice = list(values), {}
    for parent, child, part in reversed(_TREE):
        length = np.linalg.norm(places[parent][:, None] - places[child][None], axis=2) / tall
        cost = _TOO_LONG * np.maximum(length - 1.15 * part, 0)
        cost += _TOO_SHORT * np.maximum(0.6 * part - length, 0)
        gain = total[child][None] - np.nan_to_num(cost)
        choice[child] = gain.argmax(axis=1)
        total[parent] = total[parent] + gain.max(axis=1)
    picked = {3: int(total[3].argmax())}
    for parent, child, _ in _TREE:
        picked[child] = int(choice[child][picked[parent]])
    person = np.full((17, 3), np.nan, np.float32)
    person[:, 2] = 0
    grid_x, grid_y = np.arange(bright.shape[1]), np.arange(bright.shape[0])[:, None]
    for node, number in picked.items():
        x, y = places[node][number]
        if not np.isfinite(x):
            continue
        hill, lean = hills[node]
        spots = _both(places[node][:-1], values[node][:-1], number, tall)
        left, right = (
            [_around(hill * (share**2 + 0.02), spot, tall) for spot in spots]
            for share in (lean, 1 - lean)
        )
        # Left and right have a hill each, or share one; who faces us has left on the right.
        if len(spots) == 2:
            order = float(left[0].sum() + right[1].sum() - left[1].sum() - right[0].sum())
            straight = order > 0 if abs(order) > 1e-6 else spots[0][0] > spots[1][0]
            left, right = (left, right[::-1]) if straight else (left[::-1], right)
        for joint, (weight, *_) in zip(_NODES[node], (left, right), strict=True):
            total_weight = float(weight.sum()) + 1e-9
            person[joint] = (
                (weight * grid_x).sum() / total_weight,
                (weight * grid_y).sum() / total_weight,
                min(1.0, max(float(values[node][number]) / 3, 1e-3)),
            )
    return person if (person[:, 2] > 0).sum() >= 3 else None


def _both(spots, values, number, tall):
    """The chosen spot of a node, and a second one of like strength at like height if there is."""
    away = np.abs(spots - spots[number]) / tall
    other = (away[:, 1] < 0.12) & (away[:, 0] > 0.04) & (away[:, 0] < 0.5)
    other &= values > 0.6 * values[number]
    if not other.any():
        return spots[number : number + 1]
    second = np.flatnonzero(other)[values[other].argmax()]
    return spots[[number, second]]


def _around(hill, spot, tall):
    """The hill's squared height near a spot, (H, W)."""
    columns, rows = np.arange(hill.shape[1]), np.arange(hill.shape[0])[:, None]
    gap = (columns - spot[0]) ** 2 + (rows - spot[1]) ** 2
    return hill**2 * np.exp(-gap / (2 * (_SPREAD * tall) ** 2))

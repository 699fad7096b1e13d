# SPDX-License-Identifier: Apache-2.0
"""People from the published model's skeleton images: red discs of unknown type on coloured limbs.

Discs are found and overlapping ones split, told apart by person, and typed by a learned prior.
"""

import cv2
import numpy as np

from diception_ros.tasks import joint_types
from diception_ros.tasks.regions import noise_level
from diception_ros.tasks.skeleton import JOINTS

_RED = 0.45  # red over the other channels, from which on a pixel is a disc's
_LEAST_RED = 0.25  # however pale the discs are
_MOST_BLOBS = 200
_ROUND = 1.1  # a blob longer than this is more than one disc
_MOST_IN_BLOB, _MOST_HIDDEN, _MOST_MOVES = 8, 2, 3
_MOST_FITTED = 30  # blobs of an image
_WORTH = 0.2  # squared difference over a disc's radius squared that one more disc must mend
_GUESSED = 0.5  # score of a disc that no border votes for


def disc_radius(keypoints, shape):
    """Radius in pixels of a person's discs; `keypoints` (K, 2) are those drawn. Made to be like the
    published images', where it is not known exactly: 4 % of the person, 4 to 7 px at 480 rows."""
    size = float(np.ptp(keypoints, axis=0).max()) if len(keypoints) else 0.0
    scale = min(shape) / 480
    return max(1.5, float(np.clip(0.04 * size, 4 * scale, 7 * scale)))


def find_discs(image):
    """Centres, radius and score of discs, float32 (K, 4), of an image float32 (H, W, 3) in [0,
    1]."""
    red, green, blue = cv2.split(image)
    redness = np.clip(red - cv2.max(green, blue), 0, 1)
    sigma = noise_level(np.rint(255 * redness).astype(np.uint8))
    redness = cv2.GaussianBlur(redness, (0, 0), 0.7 if sigma < 4 else 1.2)
    # Small discs lose their red to blur: less is needed where the reddest around is less.
    around = cv2.dilate(redness, np.ones((11, 11), np.uint8))
    needed = np.maximum(_LEAST_RED, _RED * np.minimum(1, 1.1 * around))
    mask = (redness > needed).astype(np.uint8)
    count, blobs, stats, centroids = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count == 1:
        return np.zeros((0, 4), np.float32)
    area = stats[:, cv2.CC_STAT_AREA].astype(np.float64)
    wide, high = stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]
    # 1. The radii there are: those of blobs that are round and as full as a disc.
    fill = area / np.maximum(wide * high, 1)
    single = (np.abs(wide - high) <= 1 + 0.1 * wide) & (np.abs(fill - np.pi / 4) < 0.09)
    single &= area >= 7
    single[0] = False
    for blob in np.flatnonzero(single):
        x, y, w, h = stats[blob, :4]
        single[blob] = _longish(blobs[y : y + h, x : x + w] == blob) < _ROUND
    known = np.sqrt(area[single] / np.pi)
    if known.size == 0:
        known = np.array([max(2.0, float(cv2.distanceTransform(mask, cv2.DIST_L2, 5).max()))])
    usual = float(np.median(known))
    found, several = [], 0
    order = 1 + np.argsort(-area[1:])[:_MOST_BLOBS]
    for blob in order:
        if area[blob] < 0.2 * np.pi * usual**2:
            continue
        x, y, w, h = stats[blob, :4]
        if single[blob]:
            found.append((*centroids[blob], np.sqrt(area[blob] / np.pi), 1.0))
            continue
        # 2. A blob of several: with the radius of each of the nearest single discs, the best cover.
        centre = centroids[blob]
        singles = np.flatnonzero(single)
        if singles.size:
            near = singles[np.argsort(np.linalg.norm(centroids[singles] - centre, axis=1))[:5]]
            radii = np.unique(np.round(np.sqrt(area[near] / np.pi) * 2) / 2)
        else:
            radii = np.unique(np.round(usual * np.array((0.8, 0.9, 1.0)) * 2) / 2)
        margin = 3
        top, left = max(0, y - margin), max(0, x - margin)
        window = np.s_[top : y + h + margin, left : x + w + margin]
        part = blobs[window] == blob
        _, radius, spots, scores = min(
            (_split(part, radius) for radius in radii), key=lambda split: split[0]
        )
        several += 1
        # What is larger is no skeleton's.
        if several <= _MOST_FITTED and area[blob] < _MOST_IN_BLOB * np.pi * radius**2:
            spots, scores = _refined(part, radius, spots, scores)
        found += [(cx + left, cy + top, radius, score)
                  for (cx, cy), score in zip(spots, scores, strict=True)]
    return np.array(found, np.float32).reshape(-1, 4)


def _longish(mask):
    """How much longer than wide a blob is: the ratio of its second moments, 1 for a disc."""
    rows, columns = np.nonzero(mask)
    across, down = columns.var(), rows.var()
    both = ((columns - columns.mean()) * (rows - rows.mean())).mean()
    half, root = (across + down) / 2, np.hypot((across - down) / 2, both)
    return (half + root) / max(half - root, 1e-6)


def _split(mask, radius):
    """Discs of one radius that cover a blob: how many pixels stay wrong, the radius, their centres
    (N, 2) and scores."""
    height, width = mask.shape
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.0)
    # 1. Every border pixel votes for the place one radius inwards.
    across, down = cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)
    steep = np.hypot(across, down)
    rows, columns = np.nonzero(
        mask
        & (cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0) == 0)
        & (steep > 1e-3)
    )
    votes = np.zeros(mask.shape, np.float32)
    if rows.size:
        inward = np.stack([across, down], axis=2)[rows, columns] / steep[rows, columns][:, None]
        for reach in (radius - 0.5, radius, radius + 0.5):
            x = np.rint(columns + (reach - 0.5) * inward[:, 0]).astype(int)
            y = np.rint(rows + (reach - 0.5) * inward[:, 1]).astype(int)
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            np.add.at(votes, (y[inside], x[inside]), 1)
    votes = cv2.GaussianBlur(votes, (0, 0), 1.0)
    distance = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    votes[(distance < 0.75 * radius) | ~mask] = 0
    kernel = np.ones((3, 3), np.uint8)
    rows, columns = np.nonzero((votes == cv2.dilate(votes, kernel)) & (votes > 0.15))
    if rows.size == 0:
        rows, columns = np.unravel_index([int(distance.argmax())], mask.shape)
    strength = votes[rows, columns]
    keep = np.argsort(-strength)[:40]
    rows, columns, strength = rows[keep], columns[keep], strength[keep]
    # The peak between pixels.
    spots = np.array([_peak(votes, row, column) for row, column in zip(rows, columns, strict=True)])
    # 2. The discs that are needed to explain the blob, the most useful first.
    drawn = _away(soft, spots) <= (radius + 0.3) ** 2
    covered, chosen = np.zeros(mask.shape, bool), []
    least = 0.12 * np.pi * radius**2
    while True:
        fresh = drawn & ~covered
        gain = (fresh & mask).sum(axis=(1, 2)) - 1.0 * (fresh & ~mask).sum(axis=(1, 2))
        gain = gain + 0.3 * strength
        gain[chosen] = -np.inf
        best = int(gain.argmax())
        if gain[best] < least or len(chosen) == len(spots):
            break
        chosen.append(best)
        covered |= drawn[best]
    if not chosen:
        chosen = [int(strength.argmax())]
        covered = drawn[chosen[0]]
    wrong = np.count_nonzero(covered != mask) + 6.0 * len(chosen)
    scores = np.clip(strength[chosen] / max(strength.max(), 1e-6), 0.1, 1)
    return wrong, radius, spots[chosen], scores


def _refined(mask, radius, spots, scores):
    """Centres (N, 2) and scores of discs moved to where they explain a blob best, with some more
    where those explain it much better: discs that nearly lie on others."""
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.0)
    most = len(spots) + _MOST_HIDDEN
    spots, wrong = _fitted(soft, spots, radius)
    while len(spots) < most:
        bare = cv2.GaussianBlur(soft - _cover(_away(soft, spots).min(axis=0), radius), (0, 0), 1.0)
        row, column = np.unravel_index(int(bare.argmax()), bare.shape)
        more, left = _fitted(soft, np.vstack([spots, (column, row)]), radius)
        if left > wrong - _WORTH * radius**2:
            break
        spots, wrong = more, left
        scores = np.append(scores, _GUESSED)
    return spots, scores


def _away(soft, spots):
    """Squared distance of each pixel of a window (H, W) from spots (N, 2), float32 (N, H, W)."""
    x, y = np.float32(spots).T[..., None, None]
    height, width = soft.shape
    rows = np.arange(height, dtype=np.float32)[:, None]
    return (np.arange(width, dtype=np.float32) - x) ** 2 + (rows - y) ** 2


def _cover(away, radius):
    """How much discs cover pixels (H, W), `away` being the squared distance from the nearest
    centre; their edge is as soft as that of a mask blurred by 1 px."""
    return np.clip(0.5 + (radius - np.sqrt(away)) / 3, 0, 1)


def _difference(soft, away, radius):
    """How unlike a blob discs are, squared."""
    return float(((_cover(away, radius) - soft) ** 2).sum())


def _fitted(soft, spots, radius):
    """Spots (N, 2) moved by half pixels to where discs are most like the blob, and the squared
    difference that is left."""
    spots = np.array(spots, np.float32)
    away = _away(soft, spots)
    best = _difference(soft, away.min(axis=0), radius)
    for step in (1.0, 0.5):
        for _ in range(_MOST_MOVES):
            before = best
            for one in range(len(spots)):
                others = np.delete(away, one, axis=0).min(axis=0, initial=np.inf)
                for move in ((step, 0), (-step, 0), (0, step), (0, -step)):
                    (mine,) = _away(soft, [spots[one] + move])
                    now = _difference(soft, np.minimum(others, mine), radius)
                    if now < best:
                        best, away[one] = now, mine
                        spots[one] += move
            if best == before:
                break
    return spots, best


def _peak(votes, row, column):
    top, left = max(0, row - 1), max(0, column - 1)
    window = votes[top : row + 2, left : column + 2]
    total = float(window.sum())
    if total <= 0:
        return float(column), float(row)
    return (
        float((window.sum(axis=0) @ np.arange(window.shape[1])) / total + left),
        float((window.sum(axis=1) @ np.arange(window.shape[0])) / total + top),
    )


def painted_parts(image):
    """Where a skeleton image is not black, uint8 (H, W)."""
    red, green, blue = cv2.split(image)
    bright = cv2.max(cv2.max(red, green), blue)
    return (cv2.GaussianBlur(bright, (0, 0), 0.7) > 0.25).astype(np.uint8)


def painted_ways(spots, painted):
    """Share of the way between each two of spots (N, 2) that is painted, (N, N). `painted`: (H,
    W)."""
    height, width = painted.shape
    share = np.linspace(0.1, 0.9, 9)[:, None, None, None]
    way = np.rint(spots[:, None] + share * (spots[None] - spots[:, None])).astype(int)
    x, y = np.clip(way[..., 0], 0, width - 1), np.clip(way[..., 1], 0, height - 1)
    return painted[y, x].mean(axis=0)


def grouped(discs, painted, masks=None):
    """Person of each disc, int (N,), 0 = none, counted from 1.

    masks: label image of the people (H, W), 0 = nobody, if known: a disc belongs to the person it
    lies on, or the nearest one in reach. Else, or elsewhere: what is painted in one piece is one
    person.
    """
    count, pieces = cv2.connectedComponents(painted, connectivity=8)
    height, width = painted.shape
    x = np.clip(np.rint(discs[:, 0]).astype(int), 0, width - 1)
    y = np.clip(np.rint(discs[:, 1]).astype(int), 0, height - 1)
    people = np.zeros(len(discs), int)
    if masks is not None and masks.any():
        gap, nearest = _nearest_person(masks)
        reach = np.maximum(3 * discs[:, 2], 8)
        people = np.where(gap[y, x] <= reach, nearest[y, x], 0)
        _rescue_strays(people, discs, painted)
    start = int(people.max(initial=0))
    for piece in range(1, count):
        here = (pieces[y, x] == piece) & (people == 0)
        if not here.any():
            continue
        among = people[(pieces[y, x] == piece) & (people > 0)]
        if among.size:
            people[here] = np.bincount(among).argmax()
        else:
            start += 1
            people[here] = start
    return _merged(people, discs) if masks is None else people


def _nearest_person(masks):
    """Distance (H, W) to the nearest person's pixel, and who that is (H, W)."""
    gap, index = cv2.distanceTransformWithLabels(
        (masks == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner = np.zeros(int(index.max()) + 1, masks.dtype)
    owner[index[masks > 0]] = masks[masks > 0]
    return gap, owner[index]


def _rescue_strays(people, discs, painted):
    """A disc whose limbs all lead to other people's discs lies on the wrong one: it goes to
    them."""
    if len(discs) < 3:
        return
    cover = painted_ways(discs[:, :2], painted)
    apart = np.linalg.norm(discs[:, None, :2] - discs[None, :, :2], axis=2)
    linked = (cover > 0.99) & ~np.eye(len(discs), dtype=bool)
    for disc in np.flatnonzero(people > 0):
        near = np.flatnonzero(linked[disc])
        near = near[np.argsort(apart[disc, near])[:3]]
        if (
            near.size
            and (people[near] != people[disc]).all()
            and np.ptp(people[near]) == 0
            and people[near[0]] > 0
        ):
            people[disc] = people[near[0]]


def _merged(people, discs):
    """Pieces that together are no more than one person and stand close are one person."""
    while True:
        numbers, sizes = np.unique(people, return_counts=True)
        best, pair = 0.6, None
        for i, a in enumerate(numbers):
            for j in range(i):
                b = numbers[j]
                if sizes[i] + sizes[j] > len(JOINTS):
                    continue
                one, two = discs[people == a], discs[people == b]
                size = max(
                    np.ptp(one[:, :2], axis=0).max(),
                    np.ptp(two[:, :2], axis=0).max(),
                    20 * one[0, 2] / 4,
                )
                gap = np.linalg.norm(one[:, None, :2] - two[None, :, :2], axis=2).min() / size
                if gap < best and min(sizes[i], sizes[j]) < 6:
                    best, pair = gap, (a, b)
        if pair is None:
            return people
        people[people == pair[0]] = pair[1]


def people(image, masks=None):
    """People of an image: [(keypoints float32 (17, 3), left and right sure, person's label in
    masks)]."""
    discs = find_discs(image)
    if len(discs) == 0:
        return []
    painted = painted_parts(image)
    owners = grouped(discs, painted, masks)
    found = []
    for owner in np.unique(owners):
        mine = discs[owners == owner]
        mine = mine[np.argsort(-mine[:, 3])[: len(JOINTS)]]
        keypoints = np.full((17, 3), np.nan, np.float32)
        keypoints[:, 2] = 0
        cover = painted_ways(mine[:, :2], painted)
        types, sure, sides = joint_types.typed(
            mine[:, :2].astype(np.float32), cover.astype(np.float32)
        )
        for joint, disc, chance in zip(types, mine, sure, strict=True):
            keypoints[joint] = (*disc[:2], max(chance, 1e-3))
        label = int(owner) if masks is not None and (masks == owner).any() else 0
        found.append((keypoints, sides, label))
    return found

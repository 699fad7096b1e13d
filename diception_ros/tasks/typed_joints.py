# SPDX-License-Identifier: Apache-2.0
"""People from a skeleton image whose joints are discs in a colour of their own on grey limbs.

Every pixel votes for the joint whose colour its own is a dim version of; blobs of one joint's
pixels are candidates; candidates are joined to people along limbs.
"""

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from diception_ros.tasks.pictures import brightest
from diception_ros.tasks.regions import noise_level
from diception_ros.tasks.skeleton import JOINT_HUES, LIMB_LENGTHS, LIMBS, REACHES

_DARK = 0.10  # brightness below which a pixel says nothing
_SMALLEST = 2.5  # pixels: the radius of the discs of small people
_MOST = 400  # blobs
_MOST_OF_JOINT = 60  # blobs of one joint
_MOST_GROUPS = 80  # people and fragments of people
_MOST_COMPARED = 12  # people, each with each other
_MOST_LIT = 0.6  # share of an image: skeletons leave more of the ground black
_STRETCH = 1.3  # times as far apart as joints of one person can be, discs of other sizes added
_UNLIKE = 0.5  # of that, for discs whose sizes are a factor e apart
_SIZES = 3.0  # strain of a whole disc whose area is a factor e off its person's, up to a tenth
_GAIN = 0.2  # strain that two people must lose for parts of them to be exchanged
# What may have gone to the wrong one of two people who overlap: a head, a limb, its end, a joint.
_PARTS = ((0, 1, 2, 3, 4), (5, 7, 9), (6, 8, 10), (11, 13, 15), (12, 14, 16), (7, 9), (8, 10),
          (13, 15), (14, 16), *((joint,) for joint in range(17)))
# Which joint has the hue k / 17.
_JOINT_OF_STEP = np.argsort(JOINT_HUES).astype(np.uint8)


def candidates(image):
    """Blobs that may be joints, float32 (K, 7): joint, x, y, score, weight, radius in pixels,
    whether they are whole discs.

    image: float32 (H, W, 3) in [0, 1]. The score in [0, 1] is the blob's brightness times how
    purely it has the joint's colour.
    """
    bright = brightest(image)
    lit = cv2.findNonZero((bright > _DARK).astype(np.uint8))
    if lit is None:
        return np.zeros((0, 7), np.float32)
    left, top, width, height = cv2.boundingRect(lit)
    image = image[top : top + height, left : left + width]
    bright = bright[top : top + height, left : left + width]
    # 1. Which joint's hue each pixel has, and how much of it: 17 is grey (limbs) and dark.
    hue, colorful, _ = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))
    weights = bright * colorful
    kinds = _JOINT_OF_STEP[np.rint(hue * (17 / 360)).astype(np.uint8) % 17]
    kinds[weights < _DARK] = 17
    present = np.flatnonzero(np.bincount(kinds.ravel(), minlength=18)[:17])
    # 2. Blobs of each joint.
    found = []
    for joint in present:
        count, blobs, stats, _ = cv2.connectedComponentsWithStats(
            (kinds == joint).astype(np.uint8), connectivity=8
        )
        largest = 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind='stable')[:_MOST_OF_JOINT]
        for blob in largest:
            x, y, w, h, area = stats[blob]
            window = np.s_[y : y + h, x : x + w]
            mine = np.where(blobs[window] == blob, weights[window], 0)
            weight = float(mine.sum())
            if weight <= 0:
                continue
            found.append(
                (
                    joint,
                    left + x + (mine.sum(axis=0) @ np.arange(w)) / weight,
                    top + y + (mine.sum(axis=1) @ np.arange(h)) / weight,
                    float(
                        np.partition(mine.ravel(), -max(1, area // 4))[-max(1, area // 4) :].mean()
                    ),
                    weight,
                    max(w, h) / 2,
                    abs(w - h) < 2 and w > 6 and 0.7 < area / (w * h) < 0.85,
                )
            )
    return np.array(found, np.float32).reshape(-1, 7)


def people(image):
    """Keypoints float32 (K, 17, 3) of the K people of an image: x, y, score; NaN, NaN, 0 if
    missing."""
    sigma = noise_level(np.rint(255 * image).astype(np.uint8))
    if sigma > 1:
        image = cv2.GaussianBlur(cv2.medianBlur(image, 5), (0, 0), 0.8)
    if (brightest(image) > 2 * _DARK).mean() > _MOST_LIT:
        return np.zeros((0, 17, 3), np.float32)
    found = candidates(image)
    # More than this is noise; the heaviest are looked at.
    found = found[np.argsort(-found[:, 4], kind='stable')[:_MOST]]
    if len(found) == 0:
        return np.zeros((0, 17, 3), np.float32)
    # Where the edges of discs mix, specks of a third hue appear: they count only where a joint is
    # missing after all.
    near = np.linalg.norm(found[:, None, 1:3] - found[None, :, 1:3], axis=2)
    near = near < 2 * found[None, :, 5] + 3
    strong = found[:, 4] >= 0.25 * np.where(near, found[None, :, 4], 0).max(axis=1)
    strong |= (found[:, 6] > 0) & (found[:, 3] > 0.9)
    weak, found = found[~strong], found[strong]
    painted = cv2.dilate((brightest(image) > _DARK).astype(np.uint8), np.ones((3, 3), np.uint8))
    groups = _grouped(found, painted)
    result = [_person(found, members) for members in groups]
    for person in result:
        _complete(person, weak)
    _exchange(result, painted)
    return np.array(result, np.float32).reshape(-1, 17, 4)[..., :3]


def _complete(person, weak):
    """Gives a person's missing joints the heaviest specks within reach of all the joints it has."""
    height = _height(person)
    for blob in weak[np.argsort(-weak[:, 4])]:
        joint, known = int(blob[0]), np.flatnonzero(person[:, 2] > 0)
        if joint in known or known.size < 3:
            continue
        distance = np.linalg.norm(person[known, :2] - blob[1:3], axis=1)
        # Of a disc that others cover, what is left to see is up to its radius away.
        slack = max(2.0, float(blob[5]))
        if (distance <= 1.1 * REACHES[joint, known] * height + slack).all():
            person[joint, :3] = blob[1:4]


def _height(person):
    """The person's standing height in pixels as the least foreshortened limbs tell it."""
    lengths = (
        np.linalg.norm(person[LIMBS[:, 0], :2] - person[LIMBS[:, 1], :2], axis=1) / LIMB_LENGTHS
    )
    lengths = np.sort(lengths[np.isfinite(lengths)])
    return lengths[int(0.8 * lengths.size)] if lengths.size else 0.0


def _exchange(people, painted):
    """Gives parts of the body back that two people who overlap have of each other."""
    heights = [_height(person) for person in people]
    people = people[:_MOST_COMPARED]
    for one, mine in enumerate(people):
        for other, theirs in enumerate(people[:one]):
            common = (mine[:, 2] > 0) & (theirs[:, 2] > 0)
            if not common.any():
                continue
            # Who stands apart has nothing of the other.
            apart = np.linalg.norm((mine[common, :2] - theirs[common, :2]).mean(axis=0))
            if apart > max(heights[one], heights[other]):
                continue
            both = heights[one], heights[other]
            cost = _strain(mine, both[0], painted) + _strain(theirs, both[1], painted)
            for part in 2 * _PARTS:
                part = [joint for joint in part if mine[joint, 2] > 0 and theirs[joint, 2] > 0]
                mine[part], theirs[part] = theirs[part], mine[part]
                now = _strain(mine, both[0], painted) + _strain(theirs, both[1], painted)
                if now < cost - _GAIN:
                    cost = now
                else:
                    mine[part], theirs[part] = theirs[part], mine[part]


def _strain(person, height, painted):
    """How little a person's limbs are like limbs of a person of that height, painted all along,
    and its whole discs of one size."""
    starts, ends = person[LIMBS[:, 0], :2], person[LIMBS[:, 1], :2]
    there = np.isfinite(starts).all(axis=1) & np.isfinite(ends).all(axis=1)
    starts, ends, lengths = starts[there], ends[there], LIMB_LENGTHS[there]
    stretch = np.linalg.norm(starts - ends, axis=1) / np.maximum(lengths * height, 1e-6)
    bare = 1 - _coverage(starts, ends, painted)
    sizes = person[np.isfinite(person[:, 3]), 3]
    unlike = np.abs(np.log(sizes / np.median(sizes))) if sizes.size else np.zeros(1)
    return (
        float((np.maximum(stretch - 1, 0) + 2 * bare).sum())
        + 0.3 * np.count_nonzero(~there)
        + _SIZES * float(np.minimum(unlike, 0.1).sum())
    )


def _grouped(found, painted):
    """Lists of candidates' numbers, one list a person: joined along limbs, the likeliest first."""
    owner = list(range(len(found)))
    members = [[number] for number in owner]
    kinds = [{int(joint)} for joint in found[:, 0]]
    size = [0.0] * len(found)
    edges = []
    share = np.clip(found[:, 4] / np.median(found[:, 4]), 0.1, 1) if len(found) else None
    for (a, b), length in zip(LIMBS, LIMB_LENGTHS, strict=True):
        first, second = np.flatnonzero(found[:, 0] == a), np.flatnonzero(found[:, 0] == b)
        if not (first.size and second.size):
            continue
        starts, ends = found[first, 1:3][:, None], found[second, 1:3][None]
        height = np.linalg.norm(starts - ends, axis=2) / length
        bare = 1 - _coverage(starts, ends, painted)                            # (N, M)
        # A disc is 4 % of its person: limbs that are as long as that tells, between discs of one
        # size, painted all the way, are likeliest. Light blobs are likelier to be no joint.
        one, two = found[first, 5][:, None], found[second, 5][None]
        tall = height / (25 * (one + two) / 2)
        unlike = np.abs(np.log(one / two))
        light = np.minimum(share[first][:, None], share[second][None])
        # The smallest discs tell nothing of their person's size: then the nearer the likelier.
        short = np.where(one + two > 2 * _SMALLEST + 2, np.maximum(0.8 - tall, 0), 0.7 * tall)
        cost = 0.3 + short + np.maximum(tall - 1.2, 0)
        cost = cost * (1 + 3 * bare) * (1 + 3 * unlike) / light
        for i, j in zip(*linear_sum_assignment(cost), strict=True):
            if bare[i, j] < 0.5:
                edges.append((cost[i, j], height[i, j], int(first[i]), int(second[j])))
    for _, height, i, j in sorted(edges):
        a, b = owner[i], owner[j]
        if a == b or kinds[a] & kinds[b]:
            continue
        typical = max(size[a], size[b])
        if min(len(members[a]), len(members[b])) > 2 and height > 2.5 * typical:
            continue
        size[a] = max(typical, height)
        members[a] += members[b]
        kinds[a] |= kinds[b]
        for member in members[b]:
            owner[member] = a
        members[b] = []
    return _gathered([group for group in members if group], found)


def _coverage(starts, ends, painted):
    """Share of the way between points (..., 2) that is painted, (...)."""
    height, width = painted.shape
    share = np.linspace(0.1, 0.9, 9).reshape(9, *[1] * np.broadcast(starts, ends).ndim)
    way = np.rint(starts + share * (ends - starts)).astype(int)
    x, y = np.clip(way[..., 0], 0, width - 1), np.clip(way[..., 1], 0, height - 1)
    return painted[y, x].mean(axis=0)


def _gathered(groups, found):
    """Joins fragments that one person can be made of; drops lonely weak specks."""
    kept = []  # members, their joints, height
    for group in sorted(groups, key=lambda group: -found[group, 4].sum())[:_MOST_GROUPS]:
        kinds, tall = set(found[group, 0].astype(int)), _height(_person(found, group))
        best, where = np.inf, None
        for other in kept:
            height = max(tall, other[2])
            if height == 0 or kinds & other[1]:
                continue
            unlike = abs(np.log(_disc(found, group) / _disc(found, other[0])))
            reach = REACHES[found[group, 0].astype(int)][:, found[other[0], 0].astype(int)]
            apart = np.linalg.norm(found[group, None, 1:3] - found[None, other[0], 1:3], axis=2)
            stretch = max((apart / (height * reach)).max(), 1) + _UNLIKE * np.nan_to_num(unlike)
            cost = stretch + apart.min() / height
            if stretch < _STRETCH and cost < best:
                best, where = cost, other
        if where is not None:
            where[0] += group
            where[1] |= kinds
            where[2] = _height(_person(found, where[0]))
        elif len(group) > 2 or found[group, 3].max() > 0.4:
            kept.append([list(group), kinds, tall])
    return [members for members, _, _ in kept]


def _disc(found, members):
    """The radius of a person's whole discs, which are all of one size; NaN if there are none."""
    whole = found[members, 6] > 0
    return np.median(found[members, 5][whole]) if whole.any() else np.nan


def _person(found, members):
    """The joints (17, 4) of one person: x, y, score, and the weight of those that are whole discs;
    NaN, NaN, 0, NaN for the others."""
    person = np.full((17, 4), np.nan, np.float32)
    person[:, 2] = 0
    for member in members:
        person[int(found[member, 0]), :3] = found[member, 1:4]
        if found[member, 6]:
            person[int(found[member, 0]), 3] = found[member, 4]
    return person

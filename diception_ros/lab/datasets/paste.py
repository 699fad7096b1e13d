# SPDX-License-Identifier: Apache-2.0
"""Cut-outs pasted into photographs: exact masks to click and exact people, in real surroundings."""

from dataclasses import replace

import cv2
import numpy as np

from diception_ros.lab.datasets.cutouts import category_of, unsure_of
from diception_ros.tasks import CATEGORIES, Person
from diception_ros.tasks.registry import trained_names
from diception_ros.tasks.skeleton import MIRROR

MAX_PASTED = 4
PEOPLE_SHARE = .3                # of what is pasted
LEAST_SHOWN = .35                # of a cut-out's area: no mask is asked for of what is covered more
SURE_REACH = .1                  # of a person's height: where a known joint decides about poses

def paste(truth, cutouts, rng, count=None):
    """A Truth with 1 to MAX_PASTED cut-outs pasted into a photograph, or `count` of them.

    truth: any Truth, of which `known` may be None; cutouts: a Cutouts; rng: numpy's Generator.
    What is pasted covers what was there: its instance and category are exact, its depth and normals
    are unknown, and so are entities, unless all were known. A person's joints are known where the
    cut-out's are. Clicks are known everywhere but on instances that the photograph came with.
    """
    shape = truth.rgb.shape[:2]
    rgb = truth.rgb.astype(np.float32)
    instances = np.zeros(shape, np.int32) if truth.instances is None else truth.instances.copy()
    old = instances > 0
    known = {} if truth.known is None else {t: m.copy() for t, m in truth.known.items()}
    if truth.known is None:
        known = {task: mask.copy() for task in trained_names(CATEGORIES)
                 if (mask := truth.where_known(task)) is not None}
    categories = dict(truth.categories)
    people = None if truth.people is None else [replace(p, keypoints=p.keypoints.copy())
                                                for p in truth.people]
    depth = None if truth.depth is None else truth.depth.copy()
    normals = None if truth.normals is None else truth.normals.copy()
    number = count or int(rng.integers(1, MAX_PASTED + 1))
    pasted = {}
    for _ in range(number):
        entry = draw(cutouts, rng)
        found = _placed(cutouts.image(entry), entry, shape, rng)
        if found is None:
            continue
        rgba, (left, top), flip = found
        part, image = _visible(rgba, left, top, shape)
        if image is None:
            continue
        alpha = image[..., 3:] / 255
        mask = alpha[..., 0] > .5
        if mask.sum() < .002 * mask.size or mask.sum() < 30:
            continue
        colour = harmonised(image, rgb[part], rng)
        _shadow(rgb, rgba[..., 3], left, top, rng)
        rgb[part] += (colour - rgb[part]) * alpha
        label = 1 + max(categories, default=0)
        categories[label] = category_of(entry)
        instances[part][mask] = label
        pasted[label] = int((rgba[..., 3] > 127).sum())
        if depth is not None:
            depth[part][mask] = 0
            for task in ('depth', 'normals'):
                if task in known:
                    known[task][part][mask] = False
        _cover(people, left, top, mask, part)
        if 'pose' in known:
            known['pose'][part][mask] = entry['kind'] != 'person'
        if entry['kind'] == 'person' and people is not None:
            person = _person(entry, rgba, left, top, flip, label, shape)
            people.append(person)
            _know_pose(known, person, instances == label, rgba.shape[0])
        for task in known:
            if task.startswith('semantic:'):
                known[task][part][mask] = task.partition(':')[2] not in unsure_of(entry)
    area = np.bincount(instances.ravel(), minlength=1 + max(categories, default=0))
    whole = truth.where_known('segmentation')
    known['segmentation'] = ~old if whole is None else whole | ~old
    known['segmentation'] |= np.isin(instances, list(pasted))
    for label, full in pasted.items():
        if area[label] < LEAST_SHOWN * full:
            known['segmentation'] &= instances != label
    if truth.where_known('entities') is None:
        known.pop('entities', None)
    return replace(truth, rgb=np.clip(np.rint(rgb), 0, 255).astype(np.uint8), instances=instances,
                   categories=categories, people=people, depth=depth, normals=normals, known=known)


def draw(cutouts, rng, people=PEOPLE_SHARE):
    """An entry: a person in `people` of all cases, each source of things as often as another."""
    if cutouts.people and (not cutouts.things or rng.random() < people):
        return cutouts.people[rng.integers(len(cutouts.people))]
    return cutouts.thing(rng.random())


def resized(rgba, height):
    """RGBA uint8 at a height in pixels, colours of the rim kept from what is transparent."""
    height = max(4, round(height))
    size = max(3, round(rgba.shape[1] * height / rgba.shape[0])), height
    shrinks = height < rgba.shape[0]
    return cv2.resize(rgba, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def harmonised(image, around, rng):
    """Colours float32 (H, W, 3) of RGBA (H, W, 4), moved half way towards the brightness, contrast
    and tint of its surroundings (H, W, 3), as the same camera would have shown it."""
    colour = image[..., :3].astype(np.float32)
    alpha = image[..., 3] > 127
    if not alpha.any():
        return colour
    own, there = colour[alpha].mean(axis=0), around.reshape(-1, 3).mean(axis=0)
    much = rng.uniform(0, .6)
    gain = ((there.mean() + 40) / (own.mean() + 40)) ** much
    tint = ((there + 40) / (there.mean() + 40)) ** (much * .7)
    return np.clip(colour * gain * tint, 0, 255)


def _placed(rgba, entry, shape, rng):
    """A cut-out at a size, its corner (left, top) and whether it is mirrored; lower is larger."""
    height, width = shape
    flip = bool(rng.random() < .5)
    if flip:
        rgba = rgba[:, ::-1]
    person = entry['kind'] == 'person'
    low, high = (.3, 1.05) if person else (.1, .55)
    share = np.exp(rng.uniform(np.log(low), np.log(high)))
    scale = share * min(shape) / (rgba.shape[0] if person else max(rgba.shape[:2]))
    if person and entry['metres'] < 1.2:
        scale *= entry['metres'] / 1.2 + .3
    if not person and (entry['flat'] or rng.random() < .2):
        angle = rng.uniform(-180, 180) if entry['flat'] else rng.uniform(-25, 25)
        rgba = _turned(rgba, angle)
    if scale > 1.6:
        scale = 1.6               # it would be a blur
    rgba = resized(np.ascontiguousarray(rgba), rgba.shape[0] * scale)
    if rng.random() < .3:
        rgba = cv2.GaussianBlur(rgba, (0, 0), rng.uniform(.4, .8))
    high, wide = rgba.shape[:2]
    left = int(rng.integers(-wide // 4, max(1, width - 3 * wide // 4)))
    # what stands on the floor is seen from above the more, the lower it is
    low_edge = rng.uniform(.45, 1.02) if rng.random() < .8 else rng.uniform(.2, .6)
    top = int(low_edge * height - high)
    cut = [c if c not in ('left', 'right') or not flip else {'left': 'right', 'right': 'left'}[c]
           for c in entry['cut']]
    if 'bottom' in cut:
        top = height - high + int(rng.uniform(0, .1) * high)
    if 'left' in cut:
        left = -int(rng.uniform(0, .1) * wide)
    elif 'right' in cut:
        left = width - wide + int(rng.uniform(0, .1) * wide)
    if 'top' in cut:
        top = -int(rng.uniform(0, .1) * high)
    return rgba, (left, top), flip


def _turned(rgba, angle):
    """RGBA turned by degrees about its middle, in a frame that holds all of it."""
    high, wide = rgba.shape[:2]
    move = cv2.getRotationMatrix2D(((wide - 1) / 2, (high - 1) / 2), angle, 1)
    size = np.ceil(np.abs(move[:, :2]) @ (wide, high)).astype(int)
    move[:, 2] += (size - (wide, high)) / 2
    return cv2.warpAffine(np.ascontiguousarray(rgba), move, size.tolist())


def _visible(rgba, left, top, shape):
    """The part of a picture that a cut-out covers, and the cut-out's part that covers it."""
    rows = slice(max(0, top), min(shape[0], top + rgba.shape[0]))
    columns = slice(max(0, left), min(shape[1], left + rgba.shape[1]))
    if rows.stop <= rows.start or columns.stop <= columns.start:
        return None, None
    return (rows, columns), rgba[rows.start - top:rows.stop - top,
                                 columns.start - left:columns.stop - left]


def _shadow(rgb, alpha, left, top, rng):
    """Darkens `rgb` float32 (H, W, 3), in place, under and beside what is pasted there."""
    if rng.random() < .25:
        return
    high, wide = alpha.shape
    # squeezed towards its lower edge, and moved aside
    flat = rng.uniform(.1, .5)
    shift = rng.uniform(-.25, .25) * wide
    move = np.float32([[1, shift / high * flat - shift / high, left + shift],
                       [0, flat, top + high * (1 - flat) + rng.uniform(0, .04) * high]])
    shadow = cv2.warpAffine(alpha, move, rgb.shape[1::-1])
    shadow = cv2.GaussianBlur(shadow, (0, 0), max(1, .04 * wide))
    rgb *= 1 - shadow[..., None] * np.float32(rng.uniform(.15, .5) / 255)


def _cover(people, left, top, mask, part):
    """Joints that are covered now are hidden ones."""
    for person in people or ():
        x, y = np.rint(person.keypoints[:, :2]).astype(int).T
        rows, columns = part
        inside = ((x >= columns.start) & (x < columns.stop) & (y >= rows.start) & (y < rows.stop)
                  & (person.keypoints[:, 2] == 2))
        joints = np.flatnonzero(inside)
        covered = joints[mask[y[joints] - rows.start, x[joints] - columns.start]]
        person.keypoints[covered, 2] = 1


def _person(entry, rgba, left, top, flip, label, shape):
    """A pasted Person; joints that leave the picture or are not known are 0."""
    keypoints = np.array(entry['keypoints'], np.float32)
    width, height = entry['size']
    if flip:
        keypoints = keypoints[MIRROR]
        keypoints[:, 0] = width - 1 - keypoints[:, 0]
    grown = rgba.shape[1] / width, rgba.shape[0] / height
    keypoints[:, :2] = (keypoints[:, :2] + .5) * grown - .5 + (left, top)
    outside = ((keypoints[:, :2] < -.5)
               | (keypoints[:, :2] >= np.array(shape[::-1]) - .5)).any(axis=1)
    keypoints[outside, 2] = 0
    keypoints[keypoints[:, 2] == 0, :2] = 0
    return Person(label, keypoints, np.zeros((17, 3), np.float32))


def _know_pose(known, person, own, height):
    """Poses are known near a person's known joints, and not on the rest of it."""
    if 'pose' not in known:
        return
    sure = np.zeros(own.shape, np.uint8)
    reach = max(2, round(SURE_REACH * height))
    for x, y, seen in person.keypoints:
        if seen:
            cv2.circle(sure, (round(float(x)), round(float(y))), reach, 1, -1)
    known['pose'][own] = sure[own] > 0

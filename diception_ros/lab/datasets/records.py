# SPDX-License-Identifier: Apache-2.0
"""Training records of labelled photographs: a random crop, turned into what a step learns from.

A record holds uint8 arrays, channels first, and says what is known; the same for a synthetic scene,
of which everything is:
    rgb (3, kH, kW)      k = `rgb_scale`
    depth (1, H, W), normals (3, H, W), entities (3, H, W), pose (3, H, W)
                         target pictures, 0 where a task is not known
    instances (1, H, W)  label image, 0 = nothing known; ids below MAX_INSTANCES
    categories (MAX_INSTANCES,)  instance -> index in CATEGORIES, or NOTHING
    clickable (MAX_INSTANCES,)   1: this instance's mask is whole and exact, a target for clicks
    known (len(KNOWN),)  1: the task of KNOWN has a truth here (for a category: also that it is
                         absent)
    ignore (1, H, W)     bits of IGNORE: where a known task has no truth all the same
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from diception_ros.tasks import CATEGORIES, Conventions, Person, Truth, task_class, task_named
from diception_ros.tasks.pictures import resized_labels
from diception_ros.tasks.registry import trained_kinds, trained_names
from diception_ros.tasks.skeleton import MIRROR

CONVENTIONS = Conventions(pose_encoding='typed', entity_colors='position')
MAX_INSTANCES = 64
NOTHING = 255                      # in `categories`: no such instance
# The tasks whose targets a record holds; masks are drawn from `instances`.
PAINTED = trained_kinds('regression', 'keypoints')
KNOWN = tuple(trained_names(CATEGORIES))
# A bit for each task, one for people, and one for all other categories.
IGNORE = {name: 1 << bit for bit, name in enumerate((
    *(name for name in KNOWN if ':' not in name), 'semantic:person', 'semantic'))}
LEAST_KNOWN = 0.02                 # of the picture: a task that is known on less teaches nothing
LEAST_CLICKED = 0.002              # of the picture: smaller instances are not clicked


def ignore_bit(task: str) -> int:
    """The bit of `ignore` that belongs to a task of KNOWN."""
    return IGNORE.get(task) or IGNORE[task.partition(':')[0]]


def record(truth: Truth) -> dict[str, np.ndarray]:
    """The training record of a picture at the size it has; instances beyond the last id are 0."""
    height, width = truth.shape
    known = np.zeros(len(KNOWN), np.uint8)
    ignore = np.zeros((height, width), np.uint8)
    for index, task in enumerate(KNOWN):
        mask = truth.where_known(task)
        if mask is not None and mask.mean() >= LEAST_KNOWN:
            known[index] = 1
            ignore[~mask] |= ignore_bit(task)
    fields = {'rgb': truth.rgb}
    for name in PAINTED:
        channels = task_class(name).target_channels
        if known[KNOWN.index(name)]:
            picture = task_named(name, CONVENTIONS).encode(truth)[..., :channels]
            fields[name] = np.rint(255 * picture).astype(np.uint8)
        else:
            fields[name] = np.zeros((height, width, channels), np.uint8)
    labels = np.zeros((height, width), np.uint8)
    if truth.instances is not None:
        labels = np.where(truth.instances < MAX_INSTANCES, truth.instances, 0).astype(np.uint8)
    fields['instances'] = labels[..., None]
    fields['ignore'] = ignore[..., None]
    fields = {name: np.ascontiguousarray(field.transpose(2, 0, 1))
              for name, field in fields.items()}
    fields['categories'] = np.full(MAX_INSTANCES, NOTHING, np.uint8)
    fields['clickable'] = np.zeros(MAX_INSTANCES, np.uint8)
    area = np.bincount(labels.ravel(), minlength=MAX_INSTANCES)
    exact = truth.where_known('segmentation')
    for label, category in truth.categories.items():
        if 0 < label < MAX_INSTANCES:
            if category in CATEGORIES:
                fields['categories'][label] = CATEGORIES.index(category)
            if exact is not None and area[label] >= LEAST_CLICKED * labels.size:
                fields['clickable'][label] = exact[labels == label].all()
    fields['known'] = known
    return fields


def cropped(truth: Truth, box: tuple[int, int, int, int], size: tuple[int, int],
            flip: bool = False) -> Truth:
    """The part `box` (x, y, width, height in whole pixels) of a picture at `size` (width, height),
    mirrored where `flip`: left joints become right ones, normals turn round. Aspect is not kept."""
    x, y, wide, high = box
    part = (slice(y, y + high), slice(x, x + wide))
    shape = (size[1], size[0])
    back = slice(None, None, -1 if flip else 1)

    def nearest(values):
        return None if values is None else np.ascontiguousarray(
            resized_labels(values[part], shape)[:, back])

    normals = nearest(truth.normals)
    if flip and normals is not None:
        normals *= np.float32((-1, 1, 1))
    grown = np.array((size[0] / wide, size[1] / high))
    people = truth.people and [_moved(p, (x, y), grown, size, flip) for p in truth.people]
    intrinsics = truth.intrinsics
    if intrinsics is not None:
        intrinsics = intrinsics.copy()
        intrinsics[:2] *= grown[:, None]
        intrinsics[:2, 2] = (truth.intrinsics[:2, 2] + 0.5 - (x, y)) * grown - 0.5
        if flip:
            intrinsics[0, 2] = size[0] - 1 - intrinsics[0, 2]
    known = truth.known and {task: nearest(mask) for task, mask in truth.known.items()}
    return replace(truth, rgb=resized_rgb(truth.rgb[part], size)[:, back],
                   depth=nearest(truth.depth), normals=normals,
                   instances=nearest(truth.instances), people=people, intrinsics=intrinsics,
                   known=known)


def _moved(person: Person, corner, grown, size, flip: bool) -> Person:
    keypoints = person.keypoints.copy()
    keypoints[:, :2] = (keypoints[:, :2] + 0.5 - corner) * grown - 0.5
    outside = ((keypoints[:, :2] < -0.5) | (keypoints[:, :2] > np.array(size) - 0.5)).any(axis=1)
    keypoints[outside, 2] = 0
    if flip:
        keypoints = keypoints[MIRROR]
        keypoints[:, 0] = size[0] - 1 - keypoints[:, 0]
    return replace(person, keypoints=keypoints)


def resized_rgb(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 (h, w, 3) at `size` (width, height): areas where it shrinks, else linear."""
    shrinks = size[0] * size[1] < rgb.shape[0] * rgb.shape[1]
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def random_box(rng: np.random.Generator, width: int, height: int,
               least: float) -> tuple[int, int, int, int]:
    """A box x, y, width, height of a picture: its area from `least` of the picture to all of it,
    its aspect from 3:4 to 16:9, as cameras are squashed to a model's square."""
    for _ in range(10):
        area = rng.uniform(least, 1) * width * height
        aspect = np.exp(rng.uniform(np.log(0.75), np.log(1.78)))
        wide, high = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        if 0 < wide <= width and 0 < high <= height:
            break
    else:
        wide, high = width, height
    x, y = rng.integers(width - wide + 1), rng.integers(height - high + 1)
    return int(x), int(y), int(wide), int(high)


def photometric(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What another camera would have made of uint8 (H, W, 3): exposure, contrast, gamma, white
    balance, saturation; now and then blur, noise, JPEG, grey."""
    levels = np.arange(256, dtype=np.float32) / 255
    gains = np.exp(rng.normal(0, 0.18) + rng.normal(0, 0.07, 3))
    contrast, gamma = np.exp(rng.normal(0, 0.15)), np.exp(rng.normal(0, 0.2))
    curves = np.clip(0.5 + contrast * (levels[:, None] ** gamma * gains - 0.5), 0, 1)
    rgb = cv2.LUT(rgb, np.rint(255 * curves).astype(np.uint8)[:, None])
    saturation = 0.0 if rng.random() < 0.03 else np.exp(rng.normal(0, 0.3))
    grey = np.float32((0.299, 0.587, 0.114))
    mixing = saturation * np.eye(3, dtype=np.float32) + (1 - saturation) * grey
    rgb = cv2.transform(rgb, mixing)
    if rng.random() < 0.2:
        rgb = cv2.GaussianBlur(rgb, (0, 0), rng.uniform(0.4, 1.5))
    if rng.random() < 0.3:
        noise = np.empty((rgb.shape[0], rgb.shape[1], 3), np.int16)
        cv2.setRNGSeed(int(rng.integers(2**31)))
        cv2.randn(noise, 0, rng.uniform(1, 10))
        rgb = cv2.add(rgb, noise, dtype=cv2.CV_8U)
    if rng.random() < 0.2:
        quality = int(rng.integers(25, 80))
        rgb = cv2.imdecode(cv2.imencode('.jpg', rgb, (cv2.IMWRITE_JPEG_QUALITY, quality))[1],
                           cv2.IMREAD_COLOR)
    return rgb


class Records:
    """Training records by number, the same for the same seed, whatever was asked before.

    records[n] is drawn with `seed` and n: a source by its weight, one of its pictures, a crop.
    Safe to be used by forked processes. Pictures stay compressed on the disk.
    """

    def __init__(self, config: Mapping[str, Any], split: str, size: tuple[int, int],
                 seed: int = 0):
        """config:
            data        folder of a data set (see `diception_ros.lab.datasets`), or a list of them
            sources     {source: weight} of those to be used; default: by number of pictures all
                        that are labelled, and with `cutouts` the others as well
            cutouts     folder of cut-outs (`lab.datasets.cutouts`) to paste into the pictures
            pasted      share of the pictures that they are pasted into, besides those of which
                        nothing is known; default 0.5
            people      share of the records whose picture shows somebody; default: as it comes
            rgb_scale   1, or 2: the camera picture at twice the size of the targets
            least_area  of a crop, as a share of its picture; default 0.35
            photometric  false shows the pictures as they are
        split: 'train', 'validation' or 'test'. size: (width, height) of the targets. ValueError,
        one line, where a folder holds no data set or nothing is left to draw from.
        """
        from diception_ros.lab.datasets import open_dataset
        from diception_ros.lab.datasets.cutouts import Cutouts
        data = config['data']
        folders = [data] if isinstance(data, (str, Path)) else list(data)
        self._pictures: dict[str, list] = {}
        for folder in folders:
            dataset = open_dataset(folder)
            for name in dataset.names:
                if dataset.split(name) == split and (
                        dataset.is_labelled(name) or config.get('cutouts')
                        or dataset.source(name) in (config.get('sources') or ())):
                    self._pictures.setdefault(dataset.source(name), []).append((dataset, name))
        if not self._pictures:
            where = ', '.join(map(str, folders))
            raise ValueError(f'data: no picture of split {split!r} in {where}')
        weights = config.get('sources') or {s: len(p) for s, p in self._pictures.items()}
        missing = sorted(set(weights) - set(self._pictures))
        if missing:
            raise ValueError(f'sources: {missing[0]!r} has no picture of split {split!r}; use '
                             f'{", ".join(sorted(self._pictures))}')
        self.sources = sorted(weights)
        total = np.array([weights[source] for source in self.sources], np.float64)
        self._shares = np.cumsum(total / total.sum())
        self._size, self._seed, self._split = tuple(size), seed, split
        self._scale = int(config.get('rgb_scale', 1))
        self._least = float(config.get('least_area', 0.35))
        self._people = config.get('people')
        self._peopled = {source: [one for one in self._pictures[source]
                                  if one[0].shows_people(one[1])] for source in self.sources}
        peopled = total * [len(self._peopled[source]) > 0 for source in self.sources]
        if self._people and not peopled.any():
            raise ValueError(f'people: no picture of split {split!r} shows anybody')
        self._people_shares = np.cumsum(peopled / max(peopled.sum(), 1e-9))
        self._photometric = bool(config.get('photometric', True))
        self._cutouts = Cutouts(config['cutouts'], split) if config.get('cutouts') else None
        self._pasted = float(config.get('pasted', 0.5)) if self._cutouts else 0.0

    def __len__(self) -> int:
        """How many different pictures there are."""
        return sum(len(self._pictures[source]) for source in self.sources)

    def truth(self, number: int) -> tuple[str, Truth, np.ndarray]:
        """The name of a record's picture, its crop, and the crop's camera picture uint8 (kH, kW,
        3)."""
        from diception_ros.lab.datasets.paste import paste
        rng = np.random.default_rng((self._seed, number, 77))
        chance, pick = rng.random(2)
        peopled = bool(self._people) and chance < self._people
        shares = self._people_shares if peopled else self._shares
        source = self.sources[min(int(np.searchsorted(shares, pick, 'right')),
                                  len(self.sources) - 1)]
        pictures = (self._peopled if peopled else self._pictures)[source]
        dataset, name = pictures[rng.integers(len(pictures))]
        whole = dataset.truth(name)
        pasted = rng.random() < self._pasted
        if self._pasted and (pasted or whole.known == {}):     # else it would teach nothing
            whole = paste(whole, self._cutouts, rng)
        height, width = whole.rgb.shape[:2]
        box = random_box(rng, width, height, self._least)
        flip = bool(rng.random() < 0.5)
        truth = cropped(whole, box, self._size, flip)
        rgb = truth.rgb
        if self._scale > 1:
            x, y, wide, high = box
            large = tuple(self._scale * side for side in self._size)
            rgb = resized_rgb(whole.rgb[y:y + high, x:x + wide], large)
            rgb = rgb[:, ::-1] if flip else rgb
        rgb = np.ascontiguousarray(rgb)
        return name, truth, photometric(rgb, rng) if self._photometric else rgb

    def __getitem__(self, number: int) -> dict[str, np.ndarray]:
        _, truth, rgb = self.truth(number)
        found = record(truth)
        found['rgb'] = np.ascontiguousarray(rgb.transpose(2, 0, 1))
        return found

# SPDX-License-Identifier: Apache-2.0
"""COCO's annotations (instances_*.json, person_keypoints_*.json): https://cocodataset.org/#format-data
"""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from diception_ros.lab.datasets.dataset import Dataset
from diception_ros.lab.datasets.folder import OURS, read_rgb
from diception_ros.lab.datasets.splits import split_of
from diception_ros.tasks import Person, Truth


class Coco(Dataset):
    """The pictures of one annotation file: instances, categories of which all are labelled (but for
    crowds), joints if the file, or person_keypoints_* beside it, has them.

    Images are looked for beside the file, and in `images` and the folder named as the end of the
    file's name ('val2017') there and one level up. Raises ValueError, one line, for what cannot be
    read.
    """

    def __init__(self, file: str | Path):
        self.file = Path(file)
        given = _read(self.file)
        self._categories = {one['id']: OURS.get(one['name'], one['name'])
                            for one in given['categories']}
        self._images = {one['file_name']: one['id'] for one in given['images']}
        self._annotations: dict[int, list[dict]] = {}
        for one in given['annotations']:
            self._annotations.setdefault(one['image_id'], []).append(one)
        self._joints = {one['id']: one['keypoints'] for one in given['annotations']
                        if 'keypoints' in one}
        beside = self.file.with_name(self.file.name.replace('instances_', 'person_keypoints_'))
        if not self._joints and beside != self.file and beside.is_file():
            self._joints = {one['id']: one['keypoints'] for one in _read(beside)['annotations']}
        self._folder = self._images_folder()
        self.names = sorted(name for name in self._images if (self._folder / name).is_file())

    def _images_folder(self) -> Path:
        ends, parents = self.file.stem.rpartition('_')[2], (self.file.parent,
                                                            self.file.parent.parent)
        tried = [parent / part for part in ('', 'images', ends) for parent in parents]
        for folder in tried:
            if any((folder / name).is_file() for name in self._images):
                return folder
        raise ValueError(f'{self.file}: none of its {len(self._images)} images in '
                         f'{", ".join(map(str, dict.fromkeys(tried)))}')

    def source(self, name: str) -> str:
        return self.file.stem

    def split(self, name: str) -> str:
        return split_of(self.file.stem, name)

    def _of(self, name: str) -> list[dict]:
        return self._annotations.get(self._images[name], [])

    def shows_people(self, name: str) -> bool:
        return any(self._categories[one['category_id']] == 'person' for one in self._of(name))

    def truth(self, name: str) -> Truth:
        rgb = read_rgb(self._folder / name)
        shape = rgb.shape[:2]
        instances, crowd = np.zeros(shape, np.int32), np.zeros(shape, bool)
        doubtful = np.zeros(shape, bool)
        categories, people = {}, []
        for one in sorted(self._of(name), key=lambda one: -one.get('area', 0)):
            mask = self._mask(one, shape)
            if one.get('iscrowd'):
                crowd |= mask
                continue
            label = 1 + len(categories)
            instances[mask], categories[label] = label, self._categories[one['category_id']]
            if categories[label] == 'person' and self._joints:
                keypoints = np.array(self._joints.get(one['id'], [0] * 51), np.float32)
                keypoints = keypoints.reshape(17, 3)
                if (keypoints[:, 2] > 0).any():
                    # COCO's 1 is labelled but hidden, as here.
                    people.append(Person(label, keypoints, np.zeros((17, 3), np.float32)))
                else:
                    doubtful |= mask
        crowd &= instances == 0
        known = {'segmentation': ~crowd}
        known |= {f'semantic:{category}': ~crowd for category in self._categories.values()}
        if self._joints:
            known['pose'] = ~(crowd | doubtful)
        return Truth(rgb, None, None, instances, categories, people if self._joints else None,
                     known=known)

    def _mask(self, one: dict[str, Any], shape: tuple[int, int]) -> np.ndarray:
        given = one['segmentation']
        if isinstance(given, list):                                  # polygons
            mask = np.zeros(shape, np.uint8)
            corners = [np.rint(np.reshape(part, (-1, 2)) - 0.5).astype(np.int32) for part in given]
            cv2.fillPoly(mask, corners, 1)
        elif isinstance(given['counts'], list):    # run lengths, column by column, 0s first
            counts = np.array(given['counts'])
            flat = np.repeat(np.arange(len(counts)) % 2, counts).astype(np.uint8)
            mask = flat.reshape(given['size'][::-1]).T
        else:
            try:
                from pycocotools import mask as coco
            except ImportError:
                raise ValueError(f'{self.file}: compressed masks need pycocotools: pip install '
                                 f'pycocotools') from None
            mask = coco.decode(given)
        if mask.shape != shape:
            raise ValueError(f'{self.file}: annotation {one["id"]} is of a picture of '
                             f'{mask.shape[1]}x{mask.shape[0]}, its image has '
                             f'{shape[1]}x{shape[0]} pixels')
        return mask.astype(bool)


def _read(file: Path) -> dict:
    try:
        given = json.loads(file.read_text())
        for part in ('images', 'annotations', 'categories'):
            if not isinstance(given[part], list):
                raise ValueError
    except (ValueError, KeyError, TypeError):
        raise ValueError(f'{file}: not an annotation file of COCO: it needs images, annotations '
                         f'and categories') from None
    return given

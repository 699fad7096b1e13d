# SPDX-License-Identifier: Apache-2.0
"""The folder format of the package's docstring: reading and writing it."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from diception_ros.lab.datasets.dataset import Dataset
from diception_ros.lab.datasets.splits import split_of
from diception_ros.tasks import Person, Truth

# COCO's names of what is called otherwise here.
OURS = {'couch': 'sofa', 'dining table': 'table', 'potted plant': 'plant'}
THING = 'thing'                    # the category of an instance that nobody named
NOT_KNOWN = {'uint8': 255, 'uint16': 65535}


class Folder(Dataset):
    """A data set in a folder. Raises ValueError, one line, for what cannot be read."""

    INSTANCES = 'instances'

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.names = sorted(file.name for file in (self.folder / 'rgb').glob('*')
                            if file.suffix in ('.jpg', '.jpeg', '.png'))
        if not self.names:
            raise ValueError(f'{self.folder}/rgb: no .jpg, .jpeg or .png in it')
        about = _json(self.folder / 'dataset.json')
        self.splits = about.get('splits', {})
        self._labelled = labelled = any((self.folder / part).exists() for part in (
            'depth', 'normals', self.INSTANCES, 'categories', 'labels.jsonl'))
        if self.splits or not labelled:
            self.measured = ('test',) if labelled else ()
        self.complete = about.get('complete', [])
        self.category_names = about.get('categories', [])
        self._intrinsics: dict[str, Any] = {}
        self.lines: dict[str, dict] = {}
        if (self.folder / 'labels.jsonl').is_file():
            text = (self.folder / 'labels.jsonl').read_text()
            for number, line in enumerate(text.splitlines(), 1):
                try:
                    row = json.loads(line)
                    self.lines[Path(row['file']).stem] = row
                except (ValueError, KeyError, TypeError):
                    raise ValueError(f'{self.folder}/labels.jsonl, line {number}: must be a JSON '
                                     f'object with "file"') from None

    def source(self, name: str) -> str:
        return self.folder.name

    def split(self, name: str) -> str:
        """As dataset.json says, else `splits.split_of`."""
        for split, names in self.splits.items():
            if names == 'all' or name in names or Path(name).stem in names:
                return split
        return split_of(self.folder.name, name)

    def is_labelled(self, name: str) -> bool:
        return self._labelled

    def shows_people(self, name: str) -> bool:
        line = self.lines.get(Path(name).stem, {})
        return bool(line.get('people')) or 'person' in line.get('instances', {}).values()

    def truth(self, name: str) -> Truth:
        """A picture at its own size, and all that is known about it."""
        rgb = read_rgb(self.folder / 'rgb' / name)
        shape, stem = rgb.shape[:2], Path(name).stem
        line = self.lines.get(stem, {})
        known: dict[str, np.ndarray] = {}
        depth = self._image('depth', stem, shape, ('uint16',))
        if depth is not None:
            depth = depth.astype(np.float32) / 1000
            known['depth'] = depth > 0
        normals = self._image('normals', stem, shape, ('uint8',), 3)
        if normals is not None:
            known['normals'] = normals.any(axis=2)
            normals = normals.astype(np.float32) / 127.5 - 1
            length = np.linalg.norm(normals, axis=2, keepdims=True)
            normals = np.where(known['normals'][..., None], normals / np.maximum(length, 0.1), 0)
        instances, categories = self._labels(stem, shape, line, known)
        people = self._people(line, shape, known)
        K = line.get('K') or self._intrinsics.get(stem)
        return Truth(rgb, depth, normals, instances, categories, people, _matrix(K), known=known)

    def _labels(self, stem, shape, line, known) -> tuple[np.ndarray | None, dict[int, str]]:
        labels = self._image(self.INSTANCES, stem, shape, NOT_KNOWN)
        classes = self._image('categories', stem, shape, ('uint8',))
        unsure = np.zeros(shape, bool)
        for x0, y0, x1, y1 in line.get('unsure', []):
            unsure[max(0, int(y0)):max(0, int(y1) + 1), max(0, int(x0)):max(0, int(x1) + 1)] = True
        complete = {*self.complete, *line.get('complete', [])}
        instances, categories = None, {}
        clear = ~unsure
        if labels is not None:
            void = labels == NOT_KNOWN[str(labels.dtype)]
            instances = np.where(void, 0, labels).astype(np.int32)
            known['segmentation'] = ~void
            clear &= ~void
            named = line.get('instances', {})
            for label in np.unique(instances[instances > 0]):
                name = named.get(str(label), THING)
                categories[int(label)] = OURS.get(name, name)
            # Between the instances there may be others: entities are known on those given only,
            # and colours say how near an instance is, so their depth as well.
            if 'depth' in known:
                known['entities'] = (instances > 0) & ~void
        if classes is not None:
            void = classes == NOT_KNOWN['uint8']
            clear &= ~void
            if instances is None:
                instances = np.zeros(shape, np.int32)
            for index in np.unique(classes[(classes > 0) & ~void]):
                if index > len(self.category_names):
                    raise ValueError(f'{self.folder}/categories/{stem}.png: {index} has no name in '
                                     f"dataset.json's categories")
                members = (classes == index) & (instances == 0)
                label = 1 + max(categories, default=0)
                name = self.category_names[index - 1]
                instances[members], categories[label] = label, OURS.get(name, name)
                if 'segmentation' in known:
                    known['segmentation'] &= ~members
            complete |= set(self.category_names)
        for name in complete:
            known[f'semantic:{OURS.get(name, name)}'] = clear
        if complete and instances is None:
            instances = np.zeros(shape, np.int32)
        return instances, categories

    def _people(self, line, shape, known) -> list[Person] | None:
        if 'people' not in line:
            return None
        known['pose'] = np.ones(shape, bool)
        for x0, y0, x1, y1 in line.get('unsure', []):
            known['pose'][max(0, int(y0)):max(0, int(y1) + 1),
                          max(0, int(x0)):max(0, int(x1) + 1)] = False
        people = []
        for person in line['people']:
            keypoints = np.array(person, np.float32).reshape(-1, 3)
            if keypoints.shape != (17, 3):
                raise ValueError(f'{self.folder}/labels.jsonl, {line["file"]}: a person has 17 '
                                 f'joints of x, y and 0, 1 or 2')
            people.append(Person(0, keypoints, np.zeros((17, 3), np.float32)))
        return people

    def _image(self, kind, stem, shape, dtypes, channels=1) -> np.ndarray | None:
        file = self.folder / kind / f'{stem}.png'
        if not file.is_file():
            return None
        flags = cv2.IMREAD_UNCHANGED if channels == 1 else cv2.IMREAD_COLOR_RGB
        image = cv2.imread(str(file), flags)
        if image is None:
            raise ValueError(f'{file}: not an image that can be read; mend or remove it')
        if image.shape[:2] != shape or image.ndim != 2 + (channels > 1) or (
                str(image.dtype) not in dtypes):
            raise ValueError(f'{file}: {image.dtype} {image.shape}; must be {" or ".join(dtypes)} '
                             f'of the size of its rgb, {shape}')
        return image


def _json(file: Path) -> dict:
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f'{file}: not JSON: {error}') from None
    if not isinstance(found, dict):
        raise ValueError(f'{file}: must be a JSON object')
    return found


def _matrix(K) -> np.ndarray | None:
    """The camera matrix of {'fx', 'fy', 'cx', 'cy'} or of such a list."""
    if K is None:
        return None
    fx, fy, cx, cy = (K[k] for k in ('fx', 'fy', 'cx', 'cy')) if isinstance(K, dict) else K
    return np.array(((fx, 0, cx), (0, fy, cy), (0, 0, 1)), np.float64)


def read_rgb(file: Path) -> np.ndarray:
    """uint8 (H, W, 3); ValueError, one line, where the file is not an image."""
    image = cv2.imread(str(file), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise ValueError(f'{file}: not an image that can be read; mend or remove it')
    return image

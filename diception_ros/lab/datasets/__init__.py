# SPDX-License-Identifier: Apache-2.0
"""Data sets of real pictures, labelled in part; the pictures themselves stay outside the project.

The format, a folder with images of one size per NAME and any of the rest:
    rgb/NAME.jpg (.jpeg, .png)  the pictures
    depth/NAME.png         uint16 (H, W), millimetres along Z as REP 118 has it; 0 = not known
    normals/NAME.png       uint8 (H, W, 3), 127.5 * (n + 1) of unit normals in the optical frame
                           (x right, y down, z forward), facing us; black = not known
    instances/NAME.png     uint8 or uint16 (H, W): the instance each pixel belongs to; 0 = none of
                           those that are labelled, 255 (65535) = not known
    categories/NAME.png    uint8 (H, W): 1 + the index in dataset.json's categories; 0 = none of
                           them, 255 = not known
    labels.jsonl           one JSON object a picture:
        file               its name in rgb/
        instances          {"1": "cup", ...}: what the instances are; the rest is 'thing'
        people             [17 x [x, y, v]] each, COCO's joints and v (2 visible, 1 hidden, 0 not
                           labelled); an empty list says that nobody is there
        unsure             [[x0, y0, x1, y1], ...] where people and categories are not known
        complete           ["person", ...]: what is not labelled with these is not of them
        K                  [fx, fy, cx, cy] in pixels
    dataset.json           categories: names; complete: as above, for every picture; splits:
                           {"test": [names] or "all", ...}
`open_dataset` reads it, COCO's annotations, sequences of TUM RGB-D, and folders of several sources,
where photographs may have teachers' labels.
What a data set can be asked: `dataset.Dataset`.
"""
from __future__ import annotations

from pathlib import Path

from diception_ros.lab.datasets.coco import Coco
from diception_ros.lab.datasets.dataset import Dataset
from diception_ros.lab.datasets.folder import Folder
from diception_ros.lab.datasets.photographs import source_in
from diception_ros.lab.datasets.records import IGNORE, KNOWN, Records, record
from diception_ros.lab.datasets.tum import Tum

__all__ = ['Coco', 'Dataset', 'Folder', 'IGNORE', 'KNOWN', 'Records', 'Tum', 'Union',
           'open_dataset', 'record']


class Union(Dataset):
    """Several data sets as one; names are 'source/name'."""

    def __init__(self, parts: list):
        self._of = {f'{part.source(name)}/{name}': (part, name)
                    for part in parts for name in part.names}
        self.names = sorted(self._of)

    def is_labelled(self, name: str) -> bool:
        part, own = self._of[name]
        return part.is_labelled(own)

    def is_measured(self, name: str) -> bool:
        part, own = self._of[name]
        return part.is_measured(own)

    def truth(self, name: str):
        part, own = self._of[name]
        return part.truth(own)

    def split(self, name: str) -> str:
        part, own = self._of[name]
        return part.split(own)

    def shows_people(self, name: str) -> bool:
        part, own = self._of[name]
        return part.shows_people(own)

    def source(self, name: str) -> str:
        part, own = self._of[name]
        return part.source(own)


def open_dataset(folder: str | Path):
    """The data set in a folder, or of an annotation file of COCO; ValueError, one line, where there
    is none."""
    folder = Path(folder)
    if folder.suffix == '.json' and folder.is_file():
        return Coco(folder)
    if not folder.is_dir():
        raise ValueError(f'{folder}: no such folder')
    if (folder / 'rgb').is_dir():
        return dataset_in(folder)
    parts = [dataset_in(part) for part in sorted([*folder.iterdir(), *folder.glob('*/*')])
             if (part / 'rgb').is_dir()]
    if not parts:
        raise ValueError(f'{folder}: no data set: it needs rgb/ with images, or folders that have '
                         f'(see docs/datasets.md)')
    return Union(parts)


def dataset_in(folder: Path):
    """The data set in a folder with rgb/."""
    if (folder / 'rgb.txt').is_file() and (folder / 'depth.txt').is_file():
        return Tum(folder)
    return source_in(folder) or Folder(folder)

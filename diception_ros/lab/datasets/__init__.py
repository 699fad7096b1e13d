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
`open_dataset` reads it, and photographs with teachers' labels, several sources in one folder.
A data set has `names`, `truth(name)` (a tasks.Truth), `split(name)`, `source(name)` and
`shows_people(name)`.
"""
from __future__ import annotations

from pathlib import Path

from diception_ros.lab.datasets.folder import Folder
from diception_ros.lab.datasets.photographs import TeacherLabels, photographs
from diception_ros.lab.datasets.records import IGNORE, KNOWN, Records, record

__all__ = ['Folder', 'IGNORE', 'KNOWN', 'Records', 'Union', 'open_dataset', 'record']


class Union:
    """Several data sets as one; names are 'source/name'."""

    def __init__(self, parts: list):
        self._of = {f'{part.source(name)}/{name}': (part, name)
                    for part in parts for name in part.names}
        self.names = sorted(self._of)

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
    """The data set in a folder; ValueError, one line, where there is none."""
    folder = Path(folder)
    if (folder / 'rgb').is_dir():
        labelled = (folder / 'teacher.jsonl').is_file()
        return TeacherLabels(folder) if labelled else Folder(folder)
    if not folder.is_dir():
        raise ValueError(f'{folder}: no such folder')
    parts = photographs(folder)
    if not parts:
        raise ValueError(f'{folder}: no data set: it needs rgb/ with images, or folders that have '
                         f'(see docs/datasets.md)')
    return Union(parts)

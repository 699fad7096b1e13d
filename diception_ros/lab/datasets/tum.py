# SPDX-License-Identifier: Apache-2.0
"""A sequence of the TUM RGB-D benchmark, or of a recorder that writes its folders:
https://cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats
"""
from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from diception_ros.lab.datasets.dataset import Dataset
from diception_ros.lab.datasets.folder import read_rgb
from diception_ros.lab.datasets.splits import split_of
from diception_ros.tasks import Truth

UNITS = 5000                # of a depth image in a metre
TOGETHER = 0.02             # seconds between a picture and its depth, at most
# fx, fy, cx, cy of the benchmark's three cameras, from its page.
CAMERAS = {'freiburg1': (517.3, 516.5, 318.6, 255.3), 'freiburg2': (520.9, 521.0, 325.1, 249.7),
           'freiburg3': (535.4, 539.2, 320.1, 247.6)}


class Tum(Dataset):
    """Pictures with depth; the frames of a sequence are of one split. Raises ValueError, one line,
    for what cannot be read."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        stamps, files = _listed(self.folder / 'rgb.txt')
        depth_stamps, depth_files = _listed(self.folder / 'depth.txt')
        nearest = np.abs(depth_stamps[None] - stamps[:, None]).argmin(axis=1)
        together = np.abs(depth_stamps[nearest] - stamps) <= TOGETHER
        self._depth = {file: depth_files[nearest[i]] for i, file in enumerate(files)
                       if together[i]}
        self.names = sorted(self._depth)
        if not self.names:
            raise ValueError(f'{self.folder}: no picture of rgb.txt has a depth of depth.txt '
                             f'within {1000 * TOGETHER:.0f} ms')

    def source(self, name: str) -> str:
        return self.folder.name

    def split(self, name: str) -> str:
        return split_of(self.folder.name, 'sequence')

    def truth(self, name: str) -> Truth:
        rgb = read_rgb(self.folder / name)
        file = self.folder / self._depth[name]
        image = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        if image is None or image.dtype != np.uint16 or image.shape != rgb.shape[:2]:
            raise ValueError(f'{file}: must be a uint16 image of the size of {name}')
        depth = image.astype(np.float32) / UNITS
        cameras = [given for part, given in CAMERAS.items() if part in self.folder.name]
        intrinsics = None
        if cameras:
            fx, fy, cx, cy = cameras[0]
            intrinsics = np.array(((fx, 0, cx), (0, fy, cy), (0, 0, 1)))
        return Truth(rgb, depth, None, None, {}, None, intrinsics, known={'depth': depth > 0})


def _listed(file: Path) -> tuple[np.ndarray, list[str]]:
    """The stamps, float64 (N,), and files of a list."""
    try:
        rows = [line.split() for line in file.read_text().splitlines()
                if line.strip() and not line.startswith('#')]
        return np.array([float(row[0]) for row in rows]), [row[1] for row in rows]
    except (OSError, ValueError, IndexError):
        raise ValueError(f'{file}: must list "stamp file" line by line') from None

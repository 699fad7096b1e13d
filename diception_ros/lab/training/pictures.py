# SPDX-License-Identifier: Apache-2.0
"""Records of synthetic scenes: rendered on the fly, or once into a file for a GPU."""
from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from diception_ros.lab.datasets.records import PAINTED, record
from diception_ros.lab.synthetic import random_view

FIELDS = ('rgb', *PAINTED, 'instances', 'ignore', 'categories', 'clickable', 'known')
CHUNK = 64                         # records that one process makes at a time


def rendered(seed: int, size: tuple[int, int], worlds, assets=None,
             rgb_scale: int = 1) -> dict[str, np.ndarray]:
    """The record of one training scene; `assets` and `rgb_scale` as in `random_view`."""
    return record(random_view(seed, size=size, worlds=worlds, split='train', assets=assets,
                              rgb_scale=rgb_scale))


def batch_of(records: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Records stacked: (N, ...) each."""
    return {name: np.stack([r[name] for r in records]) for name in records[0]}


class Scenes:
    """Records of synthetic scenes by number, each as difficult as it draws from `worlds` (low,
    high); the rest as in `rendered`. May travel to other processes."""

    def __init__(self, size: tuple[int, int], worlds: tuple[float, float], assets=None,
                 rgb_scale: int = 1):
        self.size, self.worlds, self.assets, self.scale = size, worlds, assets, rgb_scale

    def __getitem__(self, number: int) -> dict[str, np.ndarray]:
        return rendered(number, self.size, difficulty(self.worlds, number), self.assets, self.scale)


def write_store(folder: Path, source, count: int, processes: int = 1) -> Iterator[int]:
    """The records 0 to `count` of `source` (Scenes, or lab.datasets.Records) into one .npy file per
    field in `folder`; yields how many are done."""
    folder.mkdir(parents=True, exist_ok=True)
    one = source[0]
    files = {name: np.lib.format.open_memmap(folder / f'{name}.npy', mode='w+', dtype=np.uint8,
                                             shape=(count, *one[name].shape)) for name in FIELDS}
    chunks = [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
    fork = multiprocessing.get_context('fork')         # the source is inherited, not copied
    with ProcessPoolExecutor(processes, fork, _hold, (source,)) as pool:
        done = 0
        for batch in pool.map(_chunk, chunks):
            n = len(batch['rgb'])
            for name, file in files.items():
                file[done:done + n] = batch[name]
            done += n
            yield done
    for file in files.values():
        file.flush()


def _hold(source) -> None:
    global _source
    _source = source


def _chunk(numbers: range) -> dict[str, np.ndarray]:
    return batch_of([_source[number] for number in numbers])


def difficulty(worlds, seed: int) -> float:
    """One difficulty in [0, 1] from a number or a pair (low, high), the same for the same seed."""
    low, high = worlds if isinstance(worlds, (list, tuple)) else (worlds, worlds)
    return float(low + (high - low) * np.random.default_rng((seed, 1)).random())

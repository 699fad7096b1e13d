# SPDX-License-Identifier: Apache-2.0
"""Records of synthetic scenes: rendered on the fly, or once into a file for a GPU."""
from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from diception_ros.lab.datasets.records import record
from diception_ros.lab.synthetic import random_view

FIELDS = ('rgb', 'depth', 'normals', 'entities', 'pose', 'instances', 'ignore', 'categories',
          'clickable', 'known')


def rendered(seed: int, size: tuple[int, int], worlds, assets=None,
             rgb_scale: int = 1) -> dict[str, np.ndarray]:
    """The record of one training scene; `assets` and `rgb_scale` as in `random_view`."""
    return record(random_view(seed, size=size, worlds=worlds, split='train', assets=assets,
                              rgb_scale=rgb_scale))


def batch_of(records: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Records stacked: (N, ...) each."""
    return {name: np.stack([r[name] for r in records]) for name in records[0]}


def write_store(folder: Path, count: int, size: tuple[int, int], worlds, first_seed: int = 0,
                processes: int = 1, assets=None, rgb_scale: int = 1) -> Iterator[int]:
    """Render `count` scenes into one .npy file per field in `folder`; yields how many are done.

    `worlds`: a difficulty in [0, 1], or a pair (low, high) from which each scene draws its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    one = rendered(first_seed, size, difficulty(worlds, first_seed), assets, rgb_scale)
    files = {name: np.lib.format.open_memmap(folder / f'{name}.npy', mode='w+', dtype=np.uint8,
                                             shape=(count, *one[name].shape)) for name in FIELDS}
    chunk = 64
    jobs = [(first_seed + start, min(chunk, count - start), size, worlds, assets, rgb_scale)
            for start in range(0, count, chunk)]
    with ProcessPoolExecutor(processes) as pool:
        done = 0
        for batch in pool.map(_render_chunk, jobs):
            n = len(batch['rgb'])
            for name, file in files.items():
                file[done:done + n] = batch[name]
            done += n
            yield done
    for file in files.values():
        file.flush()


def _render_chunk(job) -> dict[str, np.ndarray]:
    first, count, size, worlds, assets, rgb_scale = job
    return batch_of([rendered(seed, size, difficulty(worlds, seed), assets, rgb_scale)
                     for seed in range(first, first + count)])


def difficulty(worlds, seed: int) -> float:
    """One difficulty in [0, 1] from a number or a pair (low, high), the same for the same seed."""
    low, high = worlds if isinstance(worlds, (list, tuple)) else (worlds, worlds)
    return float(low + (high - low) * np.random.default_rng((seed, 1)).random())

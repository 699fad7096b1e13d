# SPDX-License-Identifier: Apache-2.0
"""Training pictures as compact records: rendered on the fly, or once into a file for a GPU.

A record holds, in uint8, the camera picture and the target pictures of all tasks whose target does
not depend on a question; masks are cut out of `instances` on the device (see `targets.py`).
"""
from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from diception_ros.lab.synthetic import random_view
from diception_ros.tasks import CATEGORIES, Conventions, Truth, task_named

CONVENTIONS = Conventions(pose_encoding='typed', entity_colors='position')
MAX_INSTANCES = 64
NOTHING = 255                      # in `categories`: no such instance
FIELDS = {'rgb': 3, 'depth': 1, 'normals': 3, 'entities': 3, 'pose': 3, 'instances': 1}


def record(truth: Truth) -> dict[str, np.ndarray]:
    """uint8 (channels, H, W) for every field, and `categories` (MAX_INSTANCES,): instance -> index
    in tasks.CATEGORIES. Instances beyond the last are 0, nothing known."""
    paint = {name: task_named(name, CONVENTIONS).encode(truth)
             for name in ('depth', 'normals', 'entities', 'pose')}
    paint['depth'] = paint['depth'][..., :1]
    fields = {name: np.rint(255 * picture).astype(np.uint8) for name, picture in paint.items()}
    fields['rgb'] = truth.rgb
    known = np.where(truth.instances < MAX_INSTANCES, truth.instances, 0)
    fields['instances'] = known.astype(np.uint8)[..., None]
    fields = {name: np.ascontiguousarray(fields[name].transpose(2, 0, 1)) for name in FIELDS}
    fields['categories'] = np.full(MAX_INSTANCES, NOTHING, np.uint8)
    for label, category in truth.categories.items():
        if 0 < label < MAX_INSTANCES and category in CATEGORIES:     # not of a thing unnamed
            fields['categories'][label] = CATEGORIES.index(category)
    return fields


def rendered(seed: int, size: tuple[int, int], worlds) -> dict[str, np.ndarray]:
    """The record of one training picture."""
    return record(random_view(seed, size=size, worlds=worlds, split='train'))


def batch_of(records: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Records stacked: (N, ...) each."""
    return {name: np.stack([r[name] for r in records]) for name in records[0]}


def write_store(folder: Path, count: int, size: tuple[int, int], worlds, first_seed: int = 0,
                processes: int = 1) -> Iterator[int]:
    """Render `count` pictures into one .npy file per field in `folder`; yields how many are done.

    `worlds`: a difficulty in [0, 1], or a pair (low, high) from which each picture draws its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    width, height = size
    shapes = {name: (count, channels, height, width) for name, channels in FIELDS.items()}
    shapes['categories'] = (count, MAX_INSTANCES)
    files = {name: np.lib.format.open_memmap(folder / f'{name}.npy', mode='w+', dtype=np.uint8,
                                             shape=shape) for name, shape in shapes.items()}
    chunk = 64
    jobs = [(first_seed + start, min(chunk, count - start), size, worlds)
            for start in range(0, count, chunk)]
    with ProcessPoolExecutor(processes) as pool:
        done = 0
        for batch in pool.map(_render_chunk, jobs):
            n = len(batch['rgb'])
            for name, file in files.items():
                file[done:done + n] = batch[name]
            done += n
            yield done


def _render_chunk(job) -> dict[str, np.ndarray]:
    first, count, size, worlds = job
    return batch_of([rendered(seed, size, difficulty(worlds, seed))
                     for seed in range(first, first + count)])


def difficulty(worlds, seed: int) -> float:
    """One difficulty in [0, 1] from a number or a pair (low, high), the same for the same seed."""
    low, high = worlds if isinstance(worlds, (list, tuple)) else (worlds, worlds)
    return float(low + (high - low) * np.random.default_rng((seed, 1)).random())

# SPDX-License-Identifier: Apache-2.0
"""Which of its two slots does a model read as x? Settled on labelled pictures, not by argument.

The published code stores points as (row, column) in one place and as (x, y) in another. Whoever has
the weights clicks into labelled things both ways: the right order gives the better masks.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

ORDERS = ('yx', 'xy')
SURE = 0.05                                   # a difference in mIoU that is no accident
SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.webp')


@dataclass
class OrderScores:
    """Mean IoU of `clicks` clicks, the points stored either way."""

    clicks: int
    miou: dict[str, float]                    # {'yx': ..., 'xy': ...}

    @property
    def better(self) -> str | None:
        """The order that wins, None if the difference is too small to tell."""
        first, second = sorted(ORDERS, key=self.miou.get, reverse=True)
        return first if self.miou[first] - self.miou[second] >= SURE else None


def labelled_pictures(folder: Path) -> list[tuple[Path, Path]]:
    """(picture, label image) of `folder/images/NAME.*` and `folder/masks/NAME.png`; ValueError if
    there are none. In a label image 0 is nothing and every other value one thing."""
    masks = {file.stem: file for file in sorted((folder / 'masks').glob('*.png'))}
    pairs = [(file, masks[file.stem]) for file in sorted((folder / 'images').glob('*'))
             if file.suffix.lower() in SUFFIXES and file.stem in masks]
    if not pairs:
        raise ValueError(f'{folder}: no images/NAME.jpg with a masks/NAME.png (0 = nothing, every '
                         'other value one thing) in it')
    return pairs


def telling_clicks(labels: np.ndarray) -> Iterator[tuple[int, tuple[float, float]]]:
    """(label, click (x, y) in [0, 1]) deep inside each thing of labels (H, W) of 0.2 % or more,
    where the same click with x and y exchanged falls outside the thing: others tell nothing."""
    height, width = labels.shape
    for label in np.unique(labels[labels > 0]):
        mask = labels == label
        if mask.sum() < 0.002 * mask.size:
            continue
        depth = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
        row, column = np.unravel_index(depth.argmax(), depth.shape)
        x, y = (column + 0.5) / width, (row + 0.5) / height
        if not mask[min(int(x * height), height - 1), min(int(y * width), width - 1)]:
            yield int(label), (float(x), float(y))


def compare_orders(pipe, pairs: list[tuple[Path, Path]],
                   report: Callable[[int], None] = lambda done: None) -> OrderScores:
    """Click into every thing of the labelled pictures with both orders.

    pipe: a DiceptionPipeline with the task 'segmentation'; left as it was. report: told how many
    pictures are done. ValueError names an unreadable file, or says that no click tells anything.
    """
    if 'segmentation' not in pipe.tasks:
        raise ValueError(f"the model {pipe.config.get('name')!r} has no task 'segmentation': "
                         'its point order does not matter')
    overlaps: dict[str, list[float]] = {order: [] for order in ORDERS}
    before = pipe.config['point_order']
    try:
        for done, (picture, mask) in enumerate(pairs):
            image = cv2.imread(str(picture), cv2.IMREAD_COLOR)
            labels = cv2.imread(str(mask), cv2.IMREAD_UNCHANGED)
            if image is None or labels is None:
                raise ValueError(f'{picture if image is None else mask}: cannot be read')
            if labels.ndim == 3:                                  # a colour per thing
                labels = (labels[..., :3].astype(np.int64) * (1, 256, 65536)).sum(axis=2)
            if labels.shape != image.shape[:2]:
                raise ValueError(f'{mask}: its size is not that of {picture}')
            image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            for label, click in telling_clicks(labels):
                thing = labels == label
                for order in ORDERS:
                    pipe.config['point_order'] = order
                    seen = pipe(image, ['segmentation'], points=[click]).segmentation > 0.5
                    union = np.count_nonzero(seen | thing)
                    overlaps[order].append(np.count_nonzero(seen & thing) / union)
            report(done + 1)
    finally:
        pipe.config['point_order'] = before
    if not overlaps['yx']:
        raise ValueError('no thing in these pictures tells the orders apart: take some that lie '
                         'away from the diagonal')
    return OrderScores(len(overlaps['yx']), {o: float(np.mean(overlaps[o])) for o in ORDERS})

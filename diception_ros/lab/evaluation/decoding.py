# SPDX-License-Identifier: Apache-2.0
"""How well pictures are read, whoever paints them: truth is painted, spoilt and read again.

    python -m diception_ros.lab.evaluation.decoding [--scenes 100]

The degradations are those of a model's output: blur, slowly drifting colours, noise, low
resolution.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from diception_ros.lab.synthetic import random_view
from diception_ros.tasks import Conventions, Truth, task_named
from diception_ros.tasks.discs import find_discs, grouped, painted_parts
from diception_ros.tasks.published_entities import published_regions
from diception_ros.tasks.skeleton import MIRROR


def _blurred(picture, rng, sigma):
    return cv2.GaussianBlur(picture, (0, 0), sigma)


def _drifting(picture, rng, share):
    """Every channel off by up to `share`, differently from place to place."""
    height, width = picture.shape[:2]
    coarse = rng.uniform(-share, share, (3, 4, 3)).astype(np.float32)
    return picture + cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def _noisy(picture, rng, sigma):
    return picture + rng.normal(0, sigma, picture.shape)


def _coarse(picture, rng, side):
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


DEGRADATIONS: dict[str, Callable] = {
    'clean': lambda picture, rng: picture,
    'blur 1.5 px': lambda picture, rng: _blurred(picture, rng, 1.5),
    'blur 3 px': lambda picture, rng: _blurred(picture, rng, 3),
    'noise 5 %': lambda picture, rng: _noisy(picture, rng, 0.05),
    'noise 10 %': lambda picture, rng: _noisy(picture, rng, 0.10),
    '128 px and back': lambda picture, rng: _coarse(picture, rng, 128),
    'combined': lambda picture, rng: _noisy(
        _drifting(_blurred(picture, rng, 1.5), rng, 0.05), rng, 0.05
    ),
}


def measure_decoding(
    scenes: Iterable[Truth],
    published: bool = False,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, dict[str, float]]:
    """Figures by '<what> <degradation>', over scenes of any size (640x480 is meant).

    'entities ...': miou, recall50, false (regions a picture), ms; 'published ...' the same by the
    paper's decoder; 'typed ...': pck10, ms; 'discs ...': recall, precision, one (right grouping
    where one person is), several (with the people's masks), types (right, for people of 8 discs
    and more), mirror (right or all mirrored), sure (right where left and right are not called
    ambiguous), ambiguous (share), ms.
    """
    sums: dict[str, list[dict[str, float]]] = {}
    entities, typed = task_named('entities'), task_named('pose')
    discs = task_named('pose', Conventions(pose_encoding='discs'))
    for number, truth in enumerate(scenes):
        for name, spoil in DEGRADATIONS.items():
            rng = np.random.default_rng(number)

            def spoilt(task, truth=truth, spoil=spoil, rng=rng):
                return np.clip(spoil(task.encode(truth, rng), rng), 0, 1).astype(np.float32)

            picture = spoilt(entities)
            start = time.thread_time()
            found = entities.decode(picture)
            spent = 1e3 * (time.thread_time() - start)
            sums.setdefault(f'entities {name}', []).append(
                entities.score(found, truth) | {'ms': spent}
            )
            if published:
                found = entities.decode(picture, published_regions)
                sums.setdefault(f'published {name}', []).append(entities.score(found, truth))
            if not truth.people:
                continue
            picture = spoilt(typed)
            start = time.thread_time()
            people = typed.decode(picture)
            spent = 1e3 * (time.thread_time() - start)
            sums.setdefault(f'typed {name}', []).append(typed.score(people, truth) | {'ms': spent})
            sums.setdefault(f'discs {name}', []).append(_discs(discs, spoilt(discs), truth))
        progress(number + 1)
    return {key: _pooled(rows) for key, rows in sums.items()}


def _pooled(rows: list[dict[str, float]]) -> dict[str, float]:
    """Means of the rows; of 'a/b' (a count and of how many) the ratio of their sums."""
    figures = {}
    for key in rows[0]:
        values = [row[key] for row in rows]
        if isinstance(values[0], tuple):
            right, of = np.sum(values, axis=0)
            figures[key] = float(right / of) if of else float('nan')
        elif key == 'pck10':
            joints = sum(row['joints'] for row in rows)
            figures[key] = sum(row['correct'] for row in rows) / joints if joints else float('nan')
        elif key == 'ms':
            figures[key] = float(np.median(values))
        elif key not in ('correct', 'joints'):
            figures[key] = float(np.nanmean(values)) if np.isfinite(values).any() else float('nan')
    return {key: round(value, 4) for key, value in figures.items()}


def _discs(task, picture: np.ndarray, truth: Truth) -> dict:
    """One picture's counts of the discs that are right: found, grouped, typed."""
    spots, types, owners = [], [], []
    for number, person in enumerate(truth.people, 1):
        shown = task.drawn(person.keypoints)
        spots.append(person.keypoints[shown, :2])
        types.append(np.flatnonzero(shown))
        owners.append(np.full(int(shown.sum()), number))
    spots, types, owners = np.concatenate(spots), np.concatenate(types), np.concatenate(owners)
    masks = np.zeros(truth.instances.shape, np.int32)
    for number, person in enumerate(truth.people, 1):
        masks[truth.instances == person.label] = number
    found = find_discs(picture)
    right, given = _pairs(spots, found[:, :2], found[:, 2])
    several = len(truth.people) > 1
    groups = grouped(found, painted_parts(picture), masks if several else None)
    table = np.zeros((len(truth.people) + 1, int(groups.max(initial=0)) + 1), int)
    np.add.at(table, (owners[right], groups[given]), 1)
    agree = int(table[linear_sum_assignment(-table)].sum())
    start = time.thread_time()
    people = task.decode(picture, masks if several else None)
    counts = {
        'recall': (len(right), len(spots)),
        'precision': (len(right), len(found)),
        'one': (0 if several else agree, 0 if several else len(right)),
        'several': (agree if several else 0, len(right) if several else 0),
        'types': (0, 0),
        'mirror': (0, 0),
        'sure': (0, 0),
        'ambiguous': (0, 0),
        'ms': 1e3 * (time.thread_time() - start),
    }
    for person in people:
        joints = np.flatnonzero(person.keypoints[:, 2] > 0)
        true, mine = _pairs(spots, person.keypoints[joints, :2], np.full(len(joints), 4.0))
        if true.size < 8:
            continue
        exact = int((types[true] == joints[mine]).sum())
        mirrored = int((types[true] == MIRROR[joints[mine]]).sum())
        for key, value in (('types', exact), ('mirror', max(exact, mirrored))):
            counts[key] = (counts[key][0] + value, counts[key][1] + true.size)
        counts['ambiguous'] = (
            counts['ambiguous'][0] + person.left_right_ambiguous,
            counts['ambiguous'][1] + 1,
        )
        if not person.left_right_ambiguous:
            counts['sure'] = (counts['sure'][0] + exact, counts['sure'][1] + true.size)
    return counts


def _pairs(one: np.ndarray, two: np.ndarray, radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which spots (N, 2) and discs (M, 2) are the same, by a third of a disc's width at most."""
    if not (len(one) and len(two)):
        return np.zeros(0, int), np.zeros(0, int)
    apart = np.linalg.norm(one[:, None] - two[None], axis=2)
    rows, columns = linear_sum_assignment(np.minimum(apart, 50))
    good = apart[rows, columns] < np.maximum(3, 0.6 * radius[columns])
    return rows[good], columns[good]


def main() -> None:
    parser = argparse.ArgumentParser(description='Measure the decoders on worlds at 640x480.')
    parser.add_argument('--scenes', type=int, default=100)
    parser.add_argument('--worlds', default='full')
    parser.add_argument(
        '--published', action='store_true', help="the paper's entity decoder as well"
    )
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    scenes = (
        random_view(seed, size=(640, 480), worlds=arguments.worlds, split='test')
        for seed in range(arguments.scenes)
    )
    for key, figures in measure_decoding(scenes, arguments.published).items():
        print(f'{key:26}', json.dumps(figures))


if __name__ == '__main__':
    main()

# SPDX-License-Identifier: Apache-2.0
"""How good is a model: on worlds it has not seen, beside one who does not look, and beside the
ceiling of its own pictures (truth painted and read again)."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from diception_ros.geometry import angle_between, normals_from_depth
from diception_ros.lab.synthetic import random_view
from diception_ros.tasks import (
    CATEGORIES,
    DEFAULT_TASKS,
    STUFF,
    TASKS,
    Truth,
    task_class,
    task_named,
)
from diception_ros.tasks.panoptic import panoptic_counts, panoptic_quality, with_categories
from diception_ros.tasks.registry import WITHOUT_POINTS, trained_names
from diception_ros.tasks.task import Metric

LEAST_AREA = 0.01                  # of the picture: smaller instances are not clicked


def evaluate(pipe, worlds: str | float = 'easy', scenes: int = 200, split: str = 'test',
             progress: Callable[[int], None] = lambda done: None) -> dict[str, dict[str, float]]:
    """Mean figures of `pipe` on `scenes` worlds of a split, one step per the model's own defaults.

    Returns {'model': {...}, 'constant': {...}, 'ceiling': {...}} with the keys depth.absrel,
    depth.delta1, normals.mean_deg, normals.median_deg, normals.depth_deg (the median angle to what
    the true depth gives when differentiated: do the two belong together?), entities.miou,
    segmentation.miou (every instance of 1 % of the picture and more, one click at its innermost
    pixel), semantic.miou (pooled per category over the scenes, then averaged over the categories
    that they hold), panoptic.pq (entities with their categories) and pose.pck10 (pooled over
    joints).
    """
    size = tuple(pipe.resolution)
    truths = [random_view(seed, size=size, worlds=worlds, split=split) for seed in range(scenes)]
    categories = [c for c in CATEGORIES if c in pipe.categories]
    tasks = {name: task_named(name, pipe.conventions)
             for name in trained_names(categories) if name in pipe.tasks}
    names = [name for name, task in tasks.items() if not task.needs_points]
    clicked = [name for name, task in tasks.items() if task.needs_points]
    constants = {name: task.constant_baseline(truths) for name, task in tasks.items()}
    # A category that no scene holds says nothing about a model.
    seen = {truth.categories[label] for truth in truths for label in np.unique(truth.instances)
            if label in truth.categories}
    names = [name for name in names if not tasks[name].family or tasks[name].member in seen]
    sums = {who: Sums() for who in ('model', 'constant', 'ceiling')}
    for index, truth in enumerate(truths):
        result = pipe(truth.rgb, tasks=names)
        everyone = {
            'model': {name: result.result_of(name) for name in names}, 'constant': constants,
            'ceiling': {name: tasks[name].decode(tasks[name].encode(truth)) for name in names}}
        slopes = normals_from_depth(truth.depth, truth.intrinsics)
        for who, answers in everyone.items():
            for name in names:
                sums[who].add(name, tasks[name].score(answers[name], truth))
            if 'normals' in names:
                angles = angle_between(answers['normals'], slopes)
                sums[who].add('normals from depth', {'depth_deg': float(np.nanmedian(angles))})
            if 'entities' in names:
                bright = result.strengths if who == 'model' else categories_of(answers)
                found = with_categories(answers['entities'], bright)
                sums[who].panoptic.append(panoptic_counts(found, truth))
        for label, point in clicks(truth) if clicked else ():
            result = pipe(truth.rgb, tasks=clicked, points=[point])
            for name in clicked:
                task = tasks[name]
                ceiling = task.decode(task.encode(truth, label=label))
                for who, answer in (('model', result.result_of(name)),
                                    ('constant', constants[name]), ('ceiling', ceiling)):
                    sums[who].add(name, task.score(answer, truth, label=label))
        progress(index + 1)
    return {who: total.figures() for who, total in sums.items()}


class Sums:
    """Scores of many pictures, joined as each metric wants it."""

    def __init__(self):
        self.scores: dict[str, list[dict[str, float]]] = {}
        self.panoptic: list[dict[str, list[float]]] = []

    def add(self, name: str, score: dict[str, float]) -> None:
        self.scores.setdefault(name, []).append(score)

    def figures(self) -> dict[str, float]:
        """The keys of `evaluate`, plus semantic.<category>."""
        found: dict[str, float] = {}
        for task in TASKS:
            names = [name for name in self.scores if task_class(name) is task]
            for metric in task.metrics if names else ():
                values = {name: self.pooled(name, metric) for name in names}
                found[f'{task.kind}.{metric.key}'] = float(np.mean(list(values.values())))
                if task.family:
                    found.update({name.replace(':', '.'): v for name, v in values.items()})
        if 'normals from depth' in self.scores:
            found['normals.depth_deg'] = self.pooled('normals from depth', Metric('depth_deg', ''))
        if 'semantic.miou' in found and self.panoptic:
            found['panoptic.pq'] = panoptic_quality(self.panoptic)['pq']
        return {key: round(value, 4) for key, value in found.items()}

    def pooled(self, name: str, metric: Metric) -> float:
        """One figure over all images; NaN where none has it."""
        scores = self.scores[name]
        if metric.ratio:
            part, whole = (sum(s[key] for s in scores) for key in metric.ratio)
            return float(part / whole) if whole else float('nan')
        values = [s[metric.key] for s in scores if np.isfinite(s[metric.key])]
        return float(np.mean(values)) if values else float('nan')


def categories_of(answers: dict[str, Any]) -> dict[str, np.ndarray]:
    """{category: bool (H, W)} of the semantic answers among `answers`: as sure as can be."""
    return {name.partition(':')[2]: answer
            for name, answer in answers.items() if name.startswith('semantic:')}


def clicks(truth: Truth) -> list[tuple[int, tuple[float, float]]]:
    """(label, (x, y) in [0, 1]) of the innermost pixel of every instance that is large enough."""
    height, width = truth.instances.shape
    found = []
    for label in truth.categories:
        mask = truth.instances == label
        if mask.sum() >= LEAST_AREA * mask.size:
            inside = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)
            y, x = np.unravel_index(inside[1:-1, 1:-1].argmax(), mask.shape)
            found.append((label, ((x + 0.5) / width, (y + 0.5) / height)))
    return found


def sheet(pipe, worlds: str | float, scenes: int, split: str, file: Path, scale: int = 2) -> None:
    """Camera pictures, the model's own pictures, and below each what it should have painted."""
    names = [n for n in (*WITHOUT_POINTS, 'semantic:box', *DEFAULT_TASKS) if n in pipe.tasks]
    names = list(dict.fromkeys(names))
    rows = []
    for seed in range(scenes):
        truth = random_view(seed, size=tuple(pipe.resolution), worlds=worlds, split=split)
        things = [c for c in clicks(truth) if truth.categories[c[0]] not in STUFF] or clicks(truth)
        label, point = things[0]
        result = pipe(truth.rgb, tasks=names, points=[point])
        wanted = [task_named(n, pipe.conventions).encode(
            truth, **({'label': label} if task_class(n).needs_points else {})) for n in names]
        camera = truth.rgb.astype(np.float32) / 255
        clicked = camera.copy()
        spot = tuple(int(v * s) for v, s in zip(point, pipe.resolution))
        cv2.circle(clicked, spot, 3, (1.0, 0.0, 0.0), -1)
        rows.append(np.hstack([camera, *(result.pictures[n] for n in names)]))
        rows.append(np.hstack([clicked, *wanted]))
    picture = np.rint(255 * np.clip(np.vstack(rows), 0, 1)).astype(np.uint8)
    picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    if not cv2.imwrite(str(file), picture[..., ::-1]):
        raise OSError(f'{file}: could not be written')

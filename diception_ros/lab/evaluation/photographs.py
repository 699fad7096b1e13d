# SPDX-License-Identifier: Apache-2.0
"""How good a model is on real pictures, each figure where somebody knows the truth."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from diception_ros.lab.datasets import Dataset, open_dataset
from diception_ros.lab.datasets.records import resized_rgb
from diception_ros.lab.datasets.splits import NOT_JUDGED
from diception_ros.tasks import STUFF, Truth, task_named
from diception_ros.tasks.panoptic import with_categories
from diception_ros.tasks.registry import WITHOUT_POINTS

LEAST_AREA = 0.01      # of the picture: smaller instances are neither clicked nor to be found
APART = 1.15           # the ratio of two depths from which on their order is asked for
OFFSETS = 15           # distances of the points of a pair, evenly up to the width
SURE = 0.8             # a score from which on a robot takes a find for a fact
NEARLY_ALL = 0.8       # of a picture must be known for it to say that nobody is there
# Figure: what it is, its unit or range, and whether less is better.
FIGURES = {
    'depth.absrel': ('depth: AbsRel after the affine fit of disparity', True),
    'depth.within10': ('depth: share within 10 %', False),
    'depth.order': ('depth: order of two points of one row, depths 15 % apart', False),
    'click.miou': ('click: mIoU of instances, innermost pixel', False),
    'entities.recall50': ('entities: recall at IoU .5', False),
    'people.iou': ('people: IoU where they are', False),
    'people.painted': ('people: share painted where nobody is', True),
    'pose.pck10': ('keypoints: PCK@0.1', False),
    'pose.found_where_nobody': ('people found in a picture where nobody is', True),
    'pose.sure': ('people found with a score over .8: share that is right', False),
    'entities.sure': ('entities with a score over .8: share that is right', False)}


def evaluate(pipe, data, splits: Sequence[str] | None = None, at_most: int | None = None,
             begin: Callable[[int], Callable[[int], None]] = lambda total: lambda done: None,
             ) -> dict[str, dict]:
    """Figures of `pipe` on the labelled pictures of a data set: a folder, or what `open_dataset`
    gives.

    splits: those whose pictures count; None = 'test', or all of a folder whose dataset.json names
    no splits. at_most: so many pictures of each source, evenly from all, for a quick look. Raises
    ValueError, one line, where there is no data set or nothing is labelled.
    begin(total) gives what is told how many pictures are done.
    Returns {'all': {'pictures': N, 'model': {...}, 'blind': {...}}, <source>: ...} with those of
    FIGURES that a truth is there for, and semantic.<category>. Depth, click: means over pictures,
    over instances; entities, categories and keypoints pooled over the pictures; people: means over
    the pictures with and without somebody. 'blind' is one who does not look: disparity that grows
    evenly from top to bottom, one instance over all, nobody.
    """
    dataset = open_dataset(data) if isinstance(data, (str, Path)) else data
    names = measured_names(dataset, splits, at_most)
    sums: dict[str, Sums] = {'all': Sums()}
    tell = begin(len(names))
    for number, name in enumerate(names, 1):
        truth = dataset.truth(name)
        model, blind = measured(pipe, truth)
        if model:
            for key in ('all', dataset.source(name)):
                sums.setdefault(key, Sums()).add(model, blind)
        tell(number)
    if not sums['all'].pictures:
        raise ValueError(f'{data}: of the {len(names)} pictures that count nothing is known that '
                         f'the model can be asked for (see docs/datasets.md)')
    return {key: total.figures() for key, total in sums.items()}


def measured_names(dataset: Dataset, splits: Sequence[str] | None,
                   at_most: int | None = None) -> list[str]:
    """The pictures that figures are taken of: those of the splits, or what a data set says."""
    of: dict[str, list[str]] = {}
    for name in dataset.names:
        if name not in NOT_JUDGED and (
                dataset.split(name) in splits if splits else dataset.is_measured(name)):
            of.setdefault(dataset.source(name), []).append(name)
    return [name for names in of.values()
            for name in names[::-(-len(names) // (at_most or len(names)))]]


class Sums:
    """Counts of many pictures: (of, sum) of each figure, for the model and who is blind."""

    def __init__(self):
        self.pictures, self.model, self.blind = 0, {}, {}

    def add(self, model: dict, blind: dict) -> None:
        self.pictures += 1
        for mine, given in ((self.model, model), (self.blind, blind)):
            for key, pair in given.items():
                mine[key] = np.add(mine.get(key, (0.0, 0.0)), pair)

    def figures(self) -> dict:
        return {'pictures': self.pictures,
                'model': {k: round(float(s / n), 4) for k, (s, n) in self.model.items() if n},
                'blind': {k: round(float(s / n), 4) for k, (s, n) in self.blind.items() if n},
                'of': {k: int(n) for k, (_, n) in self.model.items() if n}}


def measured(pipe, truth: Truth) -> tuple[dict, dict]:
    """(sum, number) of each figure that a picture has a truth for: the model's, and the blind
    one's."""
    clicked = truth.where_known('segmentation') is not None
    wanted = [name for name in ('depth', *(f'semantic:{c}' for c in pipe.categories))
              if truth.where_known(name) is not None]
    wanted += ['entities'] * clicked + ['pose'] * (truth.where_known('pose') is not None)
    wanted = [name for name in wanted if name in pipe.tasks]
    model, blind = {}, {}
    if wanted:
        result = pipe(truth.rgb, tasks=wanted)
    if 'depth' in wanted:
        ramp = np.repeat(np.linspace(0, 1, len(truth.rgb), dtype=np.float32)[:, None],
                         truth.rgb.shape[1], axis=1)
        for mine, disparity in ((model, result.depth), (blind, ramp)):
            mine |= _depth(disparity, truth)
    if 'entities' in wanted:
        model['entities.recall50'] = _recall(result.entities.labels, truth)
        model['entities.sure'] = _sure_entities(
            with_categories(result.entities, result.strengths), truth)
        blind['entities.recall50'] = _recall(np.ones(truth.instances.shape, np.int32), truth)
    for name in wanted:
        if name.startswith('semantic:'):
            category = name.partition(':')[2]
            _category(result.semantic[category], truth, category, model, blind)
    if 'pose' in wanted:
        score = task_named('pose').score(result.poses, truth)
        model['pose.pck10'] = (score['correct'], score['joints'])
        blind['pose.pck10'] = (0.0, score['joints'])
        model['pose.sure'] = _sure_people(result.poses, truth)
        if not truth.people and truth.where_known('pose').mean() >= NEARLY_ALL:
            model['pose.found_where_nobody'] = (len(result.poses), 1)
            blind['pose.found_where_nobody'] = (0.0, 1)
    if clicked and 'segmentation' in pipe.tasks:
        _clicks(pipe, truth, model, blind)
    return model, blind


def _depth(disparity: np.ndarray, truth: Truth) -> dict:
    score = task_named('depth').score(disparity, truth)
    order = row_order(disparity, np.where(truth.where_known('depth'), truth.depth, 0))
    return {'depth.absrel': (score['absrel'], 1), 'depth.within10': (score['within10'], 1),
            'depth.order': (0, 0) if np.isnan(order) else (order, 1)}


def row_order(disparity: np.ndarray, depth: np.ndarray) -> float:
    """The share of pairs of points of one row, their depths APART, of which the nearer one has the
    larger disparity; equal ones count half. Depth 0 is not known; NaN without such pairs."""
    right, pairs = 0.0, 0
    width = depth.shape[1]
    for step in {max(1, round(width * n / (OFFSETS + 1))) for n in range(1, OFFSETS + 1)}:
        one, two = depth[:, :-step], depth[:, step:]
        asked = (one > 0) & (two > 0) & (np.maximum(one, two) > APART * np.minimum(one, two))
        nearer = np.sign(two[asked] - one[asked])        # 1: the left one
        seen = np.sign(disparity[:, :-step][asked] - disparity[:, step:][asked])
        right += np.count_nonzero(seen == nearer) + 0.5 * np.count_nonzero(seen == 0)
        pairs += len(nearer)
    return right / pairs if pairs else float('nan')


def _instances(truth: Truth) -> list[np.ndarray]:
    """The masks of the instances that are known and large enough, but for what they stand on."""
    known = truth.where_known('segmentation')
    masks = (truth.instances == label for label, category in truth.categories.items()
             if category not in (*STUFF, 'table'))
    return [mask for mask in masks
            if mask.sum() >= LEAST_AREA * mask.size and known[mask].all()]


def _clicks(pipe, truth: Truth, model: dict, blind: dict) -> None:
    known = truth.where_known('segmentation')
    height, width = known.shape
    mine, whole = [], []
    for mask in _instances(truth):
        inside = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)
        y, x = np.unravel_index(inside[1:-1, 1:-1].argmax(), mask.shape)
        point = ((x + 0.5) / width, (y + 0.5) / height)
        answer = pipe(truth.rgb, tasks=['segmentation'], points=[point]).segmentation > 0.5
        mine.append(_iou(answer & known, mask))
        whole.append(_iou(known, mask))
    model['click.miou'], blind['click.miou'] = (sum(mine), len(mine)), (sum(whole), len(whole))


def _iou(guess: np.ndarray, mask: np.ndarray) -> float:
    return np.count_nonzero(guess & mask) / max(np.count_nonzero(guess | mask), 1)


def _recall(labels: np.ndarray, truth: Truth) -> tuple[float, int]:
    """How many instances have a segment with an IoU over .5, which no two can share, of how
    many."""
    masks, known = _instances(truth), truth.where_known('segmentation')
    labels = np.where(known, labels, 0)
    areas = np.bincount(labels.ravel())
    found = 0
    for mask in masks:
        common = np.bincount(labels[mask], minlength=len(areas))
        common[0] = 0
        best = int(common.argmax())
        found += common[best] > 0.5 * (areas[best] + mask.sum() - common[best])
    return float(found), len(masks)


def _sure_entities(entities, truth: Truth) -> tuple[float, int]:
    """How many entities with a score over SURE are an instance by an IoU over .5, of how many: of
    those that lie on what is labelled by more than half, since others may be things as well."""
    right = of = 0
    labelled = (truth.instances > 0) & truth.where_known('segmentation')
    masks = [truth.instances == label for label in truth.categories]
    for instance in entities.instances:
        if instance.score > SURE:
            mine = entities.labels == instance.label
            if 2 * np.count_nonzero(mine & labelled) > instance.area:
                right += any(_iou(mine, mask) > 0.5 for mask in masks)
                of += 1
    return float(right), of


def _sure_people(people: list, truth: Truth) -> tuple[float, int]:
    """How many people with a score over SURE are somebody, by an IoU over .5 of the boxes round
    their joints, of how many; of those whose box is known by half and more."""
    right = of = 0
    known = truth.where_known('pose')
    there = [_box(person.keypoints) for person in truth.people]
    for person in people:
        if person.score > SURE and (box := _box(person.keypoints)) is not None:
            x0, y0, x1, y1 = np.rint(box).astype(int).clip(0)
            part = known[y0:y1 + 1, x0:x1 + 1]
            if part.size and part.mean() >= 0.5:
                right += any(_box_iou(box, other) > 0.5 for other in there if other is not None)
                of += 1
    return float(right), of


def _box(keypoints: np.ndarray) -> np.ndarray | None:
    """x0, y0, x1, y1 of the joints (17, 3) that are there."""
    spots = keypoints[keypoints[:, 2] > 0, :2]
    return np.concatenate([spots.min(axis=0), spots.max(axis=0)]) if len(spots) else None


def _box_iou(one: np.ndarray, other: np.ndarray) -> float:
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    common = float(sides.clip(0).prod())
    areas = np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2])
    return common / max(float(areas) - common, 1e-9)


def _category(answer: np.ndarray, truth: Truth, category: str, model: dict, blind: dict) -> None:
    known = truth.where_known(f'semantic:{category}')
    labels = [label for label, name in truth.categories.items() if name == category]
    mask = np.isin(truth.instances, labels) & known
    answer = answer & known
    both, either = np.count_nonzero(answer & mask), np.count_nonzero(answer | mask)
    model[f'semantic.{category}'] = (both, either)
    blind[f'semantic.{category}'] = (np.count_nonzero(mask), np.count_nonzero(known))
    if category != 'person':
        return
    if mask.any():
        model['people.iou'], blind['people.iou'] = (both / either, 1), (0.0, 1)
    elif known.mean() >= NEARLY_ALL:
        model['people.painted'] = (answer.sum() / known.sum(), 1)
        blind['people.painted'] = (0.0, 1)


def sheet(pipe, data, splits: Sequence[str] | None, pictures: int, file: Path) -> None:
    """Camera pictures, evenly from those that count, and the model's own pictures of them."""
    dataset = open_dataset(data)
    names = measured_names(dataset, splits)
    tasks = [name for name in WITHOUT_POINTS if name in pipe.tasks]
    width, height = pipe.resolution
    rows = []
    for name in names[::max(1, len(names) // pictures)][:pictures]:
        rgb = resized_rgb(dataset.truth(name).rgb, (2 * width, 2 * height))
        found = pipe(rgb, tasks=tasks).pictures
        rows.append(np.hstack([rgb / 255, *(found[task] for task in tasks)]))
    image = np.rint(255 * np.vstack(rows)).astype(np.uint8)
    if not cv2.imwrite(str(file), image[..., ::-1]):
        raise OSError(f'{file}: could not be written')

# SPDX-License-Identifier: Apache-2.0
"""Samples of a batch of records: which task of which image, and its target; built on the device.

A sample exists only where its image has a truth for its task, and counts only the pixels that are
known (`valid`).
"""
from __future__ import annotations

from dataclasses import dataclass

import torch

from diception_ros.lab.datasets.records import KNOWN, MAX_INSTANCES, ignore_bit
from diception_ros.tasks import CATEGORIES
from diception_ros.tasks.registry import trained_kinds

REGRESSION, MASKS, KEYPOINTS = map(trained_kinds, ('regression', 'mask', 'keypoints'))
PROMPTS = ('', *KNOWN)             # KNOWN[i] is PROMPTS[i + 1]
MAX_POINTS = 5
SEMANTIC = PROMPTS.index(f'semantic:{CATEGORIES[0]}')
# How often a category that is there is asked for; things twice, the sky, which few images show,
# more often still.
ODDS = {'floor': 1.0, 'wall': 1.0, 'ceiling': 1.0, 'sky': 6.0}
NOBODY = 0.25                      # share of the pose samples of images without people that stay


@dataclass
class TaskBatch:
    """R samples, each one task of one image of a batch."""

    kinds: list[str]              # (R,) 'depth', ..., 'semantic', 'segmentation'
    image_index: torch.Tensor     # (R,) int64, which image of the batch
    prompt: torch.Tensor          # (R,) int64, index in PROMPTS
    points: torch.Tensor          # (R, MAX_POINTS, 2) float32, (y, x) in [0, 1]
    given: torch.Tensor           # (R, MAX_POINTS) bool
    target: torch.Tensor          # (R, 3, H, W) float32 in [-1, 1]
    valid: torch.Tensor           # (R, 1, H, W) float32, 1 where the target is known


def sample_targets(batch: dict[str, torch.Tensor], tasks: list[str],
                   generator: torch.Generator) -> TaskBatch:
    """Every task of `tasks` for every image that has a truth for it, ordered by task.

    batch: records stacked (see `lab.datasets.records`). Pose samples of images without people have
    little to say: three in four of them turn into semantic ones where a category is known.
    """
    device, images = batch['rgb'].device, len(batch['rgb'])
    shape = batch['instances'].shape[-2:]
    known = batch['known'].bool()                                     # (N, len(KNOWN))
    parts: list[TaskBatch] = []

    def random(*size):
        return torch.rand(size, generator=generator, device=device)

    def add(kind, chosen, prompt, target, points=None, given=None):
        """Samples of the images that the bool mask `chosen` (N,) names."""
        index = chosen.nonzero()[:, 0]
        if not len(index):
            return
        if points is None:
            points = torch.zeros(images, MAX_POINTS, 2, device=device)
            given = torch.zeros(images, MAX_POINTS, dtype=torch.bool, device=device)
        bits = torch.tensor([ignore_bit(task) for task in KNOWN], device=device)
        ignored = batch['ignore'][index].long() & bits[prompt[index] - 1][:, None, None, None]
        parts.append(TaskBatch([kind] * len(index), index, prompt[index], points[index],
                               given[index], target[index].expand(-1, 3, *shape),
                               (ignored == 0).float()))

    def of(task):
        return torch.full((images,), PROMPTS.index(task), device=device)

    def semantic(chosen):
        category = _some_category(batch, known, random)
        asked = category + SEMANTIC
        chosen = chosen & known.gather(1, asked[:, None] - 1)[:, 0]
        add('semantic', chosen, asked, _category_mask(batch, category))

    for task in tasks:
        if task in REGRESSION:
            add(task, known[:, KNOWN.index(task)], of(task), _unit(batch[task]))
        elif task in KEYPOINTS:
            chosen = known[:, KNOWN.index(task)]
            peopled = batch[task].amax(dim=(1, 2, 3)) > 0
            drawn = peopled | (random(images) < NOBODY)
            add(task, chosen & drawn, of(task), _unit(batch[task]))
            semantic(chosen & ~drawn)
        elif task == 'semantic':
            semantic(torch.ones(images, dtype=torch.bool, device=device))
        elif task == 'segmentation':
            target, points, given, possible = _clicked(batch, random, generator)
            add(task, possible & known[:, KNOWN.index(task)], of(task), target, points, given)
        else:
            raise ValueError(f'tasks: {task!r} cannot be trained; use one of '
                             f'{list(trained_kinds())}')
    if not parts:
        raise ValueError('records: none of them has a truth for any of the tasks')
    joined = {name: torch.cat([getattr(part, name) for part in parts])
              for name in ('image_index', 'prompt', 'points', 'given', 'target', 'valid')}
    return TaskBatch([kind for part in parts for kind in part.kinds], **joined)


def _unit(image: torch.Tensor) -> torch.Tensor:
    """uint8 -> float32 in [-1, 1]."""
    return image.float() / 127.5 - 1


def _area(batch) -> torch.Tensor:
    """(N, MAX_INSTANCES) pixels of every instance."""
    flat = batch['instances'].flatten(1).long()
    counts = torch.zeros(len(flat), MAX_INSTANCES, device=flat.device)
    return counts.scatter_add_(1, flat, torch.ones_like(flat, dtype=counts.dtype))


def _some_category(batch, known, random) -> torch.Tensor:
    """(N,) int64: in two of three a category that is there, else any that is known."""
    present = _area(batch) > 0
    there = torch.stack([((batch['categories'] == index) & present).any(dim=1)
                         for index in range(len(CATEGORIES))], dim=1)
    odds = torch.tensor([ODDS.get(c, 2.0) for c in CATEGORIES], device=there.device)
    weights = torch.where(random(len(there), 1) < 1 / 3, torch.ones_like(there, dtype=torch.float),
                          there * odds + 1e-6)
    weights = weights * known[:, SEMANTIC - 1:SEMANTIC - 1 + len(CATEGORIES)] + 1e-12
    return (weights / -torch.log(random(*weights.shape) + 1e-9)).argmax(dim=1)


def _category_mask(batch, category: torch.Tensor) -> torch.Tensor:
    """(N, 1, H, W) in {-1, 1}: where the category of each image is."""
    return _member_mask(batch, batch['categories'] == category[:, None])


def _member_mask(batch, members: torch.Tensor) -> torch.Tensor:
    flat = batch['instances'].flatten(1).long()
    mask = members.gather(1, flat).view(batch['instances'].shape)
    return 2 * mask.float() - 1


def _clicked(batch, random, generator):
    """One instance of each image, things three times as often, 1 to 5 points on it, and whether
    there is any (N,)."""
    clickable = batch['clickable'].bool() & (_area(batch) >= 12)
    stuff = (batch['categories'] < 4)                                # tasks.STUFF comes first
    weights = clickable * torch.where(stuff, 1.0, 3.0) + 1e-9
    label = (weights / -torch.log(random(*weights.shape) + 1e-9)).argmax(dim=1)
    possible = clickable.gather(1, label[:, None])[:, 0]
    members = torch.nn.functional.one_hot(label, MAX_INSTANCES).bool()
    mask = _member_mask(batch, members)                                  # (N, 1, H, W)
    height, width = mask.shape[-2:]
    inside = (mask.flatten(1) > 0).float() + 1e-9
    spots = torch.multinomial(inside, MAX_POINTS, replacement=True, generator=generator)
    rows, columns = spots // width, spots % width
    points = torch.stack([(rows + 0.5) / height, (columns + 0.5) / width], dim=-1)
    many = 1 + (random(len(mask)) > 0.6) * (random(len(mask)) * MAX_POINTS).floor()
    given = torch.arange(MAX_POINTS, device=mask.device) < many.clamp(max=MAX_POINTS)[:, None]
    return mask, points * given[..., None], given, possible

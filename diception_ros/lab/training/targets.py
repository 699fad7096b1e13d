# SPDX-License-Identifier: Apache-2.0
"""What the model is asked about a batch of pictures, and the answers; built on the device."""
from __future__ import annotations

from dataclasses import dataclass

import torch

from diception_ros.lab.training.pictures import MAX_INSTANCES, NOTHING
from diception_ros.tasks import CATEGORIES

REGRESSION = ('depth', 'normals', 'entities')
MASKS = ('semantic', 'segmentation')
PROMPTS = ('', 'depth', 'normals', 'entities', 'segmentation', 'pose',
           *(f'semantic:{category}' for category in CATEGORIES))
MAX_POINTS = 5
# How often a category that is there is asked for; things twice, the sky, which few pictures show,
# more often still.
ODDS = {'floor': 1.0, 'wall': 1.0, 'ceiling': 1.0, 'sky': 6.0}


@dataclass
class Questions:
    """R rows, each one task asked about one picture of a batch."""

    kinds: list[str]              # (R,) 'depth', ..., 'semantic', 'segmentation'
    picture: torch.Tensor         # (R,) int64, which picture of the batch
    prompt: torch.Tensor          # (R,) int64, index in PROMPTS
    points: torch.Tensor          # (R, MAX_POINTS, 2) float32, (y, x) in [0, 1]
    given: torch.Tensor           # (R, MAX_POINTS) bool
    target: torch.Tensor          # (R, 3, H, W) float32 in [-1, 1]


def ask(batch: dict[str, torch.Tensor], tasks: list[str], generator: torch.Generator) -> Questions:
    """Every task of `tasks` about every picture, ordered by task.

    A batch without people has nothing to say about poses, so 'pose' rows of pictures without any
    turn into semantic ones, three in four times.
    """
    device, pictures = batch['rgb'].device, len(batch['rgb'])
    shape = batch['rgb'].shape[-2:]
    rows, points, given, kinds, prompts = [], [], [], [], []

    def random(*size):
        return torch.rand(size, generator=generator, device=device)

    peopled = batch['pose'].amax(dim=(1, 2, 3)) > 0
    everyone = torch.arange(pictures, device=device)
    for task in tasks:
        asked = task
        slots = torch.zeros(pictures, MAX_POINTS, 2, device=device)
        filled = torch.zeros(pictures, MAX_POINTS, dtype=torch.bool, device=device)
        if task in REGRESSION:
            target = _unit(batch[task]).expand(-1, 3, -1, -1)
            prompt = torch.full((pictures,), PROMPTS.index(task), device=device)
        elif task == 'pose':
            target = _unit(batch['pose'])
            prompt = torch.full((pictures,), PROMPTS.index('pose'), device=device)
            swap = ~peopled & (random(pictures) < 0.75)
            if swap.any():
                category = _some_category(batch, random)
                mask = _category_mask(batch, category)
                target = torch.where(swap[:, None, None, None], mask, target)
                prompt = torch.where(swap, PROMPTS.index(f'semantic:{CATEGORIES[0]}') + category,
                                     prompt)
            asked = ['semantic' if s else 'pose' for s in swap.tolist()]
        elif task == 'semantic':
            category = _some_category(batch, random)
            target = _category_mask(batch, category)
            prompt = PROMPTS.index(f'semantic:{CATEGORIES[0]}') + category
        elif task == 'segmentation':
            target, slots, filled = _clicked(batch, random, generator)
            prompt = torch.full((pictures,), PROMPTS.index(task), device=device)
        else:
            raise ValueError(f'tasks: {task!r} cannot be trained; use one of '
                             f'{[*REGRESSION, "pose", *MASKS]}')
        kinds += asked if isinstance(asked, list) else [asked] * pictures
        rows.append(target.expand(-1, 3, *shape))
        points.append(slots)
        given.append(filled)
        prompts.append(prompt)
    return Questions(kinds, everyone.repeat(len(tasks)), torch.cat(prompts), torch.cat(points),
                     torch.cat(given), torch.cat(rows))


def _unit(picture: torch.Tensor) -> torch.Tensor:
    """uint8 -> float32 in [-1, 1]."""
    return picture.float() / 127.5 - 1


def _present(batch) -> torch.Tensor:
    """(N, MAX_INSTANCES) pixels of every instance; those without a category count none."""
    flat = batch['instances'].flatten(1).long()
    counts = torch.zeros(len(flat), MAX_INSTANCES, device=flat.device)
    counts.scatter_add_(1, flat, torch.ones_like(flat, dtype=counts.dtype))
    return counts * (batch['categories'] != NOTHING)


def _some_category(batch, random) -> torch.Tensor:
    """(N,) int64: in two of three a category that is there, else any."""
    present = _present(batch) > 0
    weights = torch.zeros(len(present), len(CATEGORIES), device=present.device)
    for index in range(len(CATEGORIES)):
        weights[:, index] = ((batch['categories'] == index) & present).any(dim=1).float()
    weights *= torch.tensor([ODDS.get(c, 2.0) for c in CATEGORIES], device=weights.device)
    weights = torch.where(random(len(weights), 1) < 1 / 3, torch.ones_like(weights), weights + 1e-6)
    return (weights / -torch.log(random(*weights.shape) + 1e-9)).argmax(dim=1)


def _category_mask(batch, category: torch.Tensor) -> torch.Tensor:
    """(N, 1, H, W) in {-1, 1}: where the category of each picture is."""
    members = batch['categories'] == category[:, None]
    return _member_mask(batch, members)


def _member_mask(batch, members: torch.Tensor) -> torch.Tensor:
    flat = batch['instances'].flatten(1).long()
    mask = members.gather(1, flat).view(batch['instances'].shape)
    return 2 * mask.float() - 1


def _clicked(batch, random, generator):
    """One instance of each picture, things three times as often, and 1 to 5 points on it."""
    counts = _present(batch)
    thing = (batch['categories'] >= 4) & (batch['categories'] != NOTHING)
    weights = (counts >= 12) * torch.where(thing, 3.0, 1.0) + 1e-9
    label = (weights / -torch.log(random(*weights.shape) + 1e-9)).argmax(dim=1)
    members = torch.nn.functional.one_hot(label, MAX_INSTANCES).bool()
    mask = _member_mask(batch, members)                                  # (N, 1, H, W)
    height, width = mask.shape[-2:]
    inside = (mask.flatten(1) > 0).float() + 1e-9
    spots = torch.multinomial(inside, MAX_POINTS, replacement=True, generator=generator)
    rows, columns = spots // width, spots % width
    points = torch.stack([(rows + 0.5) / height, (columns + 0.5) / width], dim=-1)
    many = 1 + (random(len(mask)) > 0.6) * (random(len(mask)) * MAX_POINTS).floor()
    given = torch.arange(MAX_POINTS, device=mask.device) < many.clamp(max=MAX_POINTS)[:, None]
    return mask, points * given[..., None], given

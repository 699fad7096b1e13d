# SPDX-License-Identifier: Apache-2.0
"""Teaches the net that reads the joints of people in soft skeleton pictures.

    python -m diception_ros.lab.training.soft_joints [--model nano] [--scenes 6000]
        [--assets ASSETS] [--data DATA --photographs 3000]

writes `diception_ros/tasks/soft_joints.npz`: what a model paints of people, and where nobody is, in
training scenes and photographs, and blurred truth, in whole and cut anywhere, in; their joints out,
how sure they are, and how like one whole person the piece is. `tasks/soft_joints.py` runs it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.progress import track
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, smooth_l1_loss

from diception_ros.lab.datasets import Records
from diception_ros.lab.synthetic import random_view
from diception_ros.lab.synthetic.assets import Assets
from diception_ros.model import DiceptionPipeline
from diception_ros.tasks import soft_joints
from diception_ros.tasks.pose import draw_skeletons
from diception_ros.tasks.skeleton import MIRROR
from diception_ros.tasks.soft_joints import LIKENESS, PRESENT, SIDE, SPREAD, SPREADS, Piece

FILE = Path(soft_joints.__file__).with_name('soft_joints.npz')
FIRST_SCENE = 50_000_000  # of the training worlds, far from those that models are trained on
SIZES = ((128, 128), (170, 128), (228, 128))
WHOLE = 0.4  # likeness from which on a piece teaches its person's joints


def painted(model: str, scenes: int, assets: Path | None = None, data: Path | None = None,
            photographs: int = 0) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """What the model paints, float32 (H, W, 3), of scenes and photographs, black where it is not
    known who is there, and people's keypoints (17, 3). Scenes without people are left out."""
    pipe = DiceptionPipeline.from_pretrained(model)

    def seen(rgb, truth):
        picture = pipe(rgb, ['pose']).pictures['pose']
        height, width = truth.shape
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        known = truth.where_known('pose')
        return picture * known[..., None], [person.keypoints for person in truth.people]

    real = assets and Assets(assets)
    for seed in track(range(FIRST_SCENE, FIRST_SCENE + scenes), 'scenes'):
        rng = np.random.default_rng(seed)
        size, difficulty = SIZES[rng.integers(len(SIZES))], rng.random()
        view = random_view(seed, size=size, worlds=difficulty, split='train', assets=real,
                           rgb_scale=2)
        if view.where_known('pose') is not None and any(
                (person.keypoints[:, 2] == 2).any() for person in view.people):
            yield seen(view.rgb, view)
    if data is None:
        return
    cutouts = {'cutouts': assets / real.about['cutouts']} if real else {}
    records = Records({'data': data, 'people': 0.6, 'rgb_scale': 2, **cutouts}, 'train',
                      SIZES[1], seed=FIRST_SCENE)
    for number in track(range(photographs), 'photographs'):
        _, truth, rgb = records.truth(number)
        if truth.where_known('pose') is not None:
            yield seen(rgb, truth)


def softly(people: list[np.ndarray], shape: tuple[int, int], rng) -> np.ndarray:
    """The true skeletons, float32 (H, W, 3), blurred, dimmed and more or less mixed with those of
    people who are turned round: not every small model paints as the one that was asked."""
    share = rng.choice((0.0, 0.5, rng.random()))
    picture = (1 - share) * draw_skeletons(people, shape)
    if share:
        picture += share * draw_skeletons([person[MIRROR] for person in people], shape)
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.8, 3.5))
    return picture * np.float32(rng.uniform(0.4, 1) / max(picture.max(), 1e-6))


def examples(picture: np.ndarray, people: list[np.ndarray], rng) -> Iterator[tuple]:
    """Of every part of a picture and some of its cuts: what the net sees, the joints (17, 2) in
    squares, how much each counts, which are in the picture (17,), likeness."""
    small, grown = soft_joints.shrunk(picture)
    spots = [(person[:, :2] + 0.5) / grown - 0.5 for person in people]
    boxes = [_box(spot[person[:, 2] > 0], small.shape) for spot, person in zip(spots, people)]
    for part in soft_joints.parts(small):
        cuts = list(rng.permutation(soft_joints.columns(part))[:3])
        middles = sorted((box[0] + box[2]) / 2 for box in boxes if _overlap(box, _of(part)) > 0.05)
        cuts += [round((a + b) / 2 - part.corner[0]) for a, b in zip(middles, middles[1:])]
        pieces = [part, part] + [half for column in cuts for half in soft_joints.cut(part, column)]
        for number, piece in enumerate(pieces):
            overlaps = [_overlap(box, _of(piece)) for box in boxes] or [0.0]
            mine, likeness = int(np.argmax(overlaps)), max(overlaps)
            moved = (rng.normal(0, 0.03, 2), np.exp(rng.normal(0, 0.05))) if number else ()
            seen, corner, side = soft_joints.square(piece, *moved)
            if not people:
                yield (seen.astype(np.float16), np.zeros((17, 2)), np.zeros(17),
                       np.zeros(17, bool), 0.0)
                continue
            state = people[mine][:, 2]
            counts = (1.0 * (state == 2) + 0.3 * (state == 1)) * (likeness > WHOLE)
            joints = np.nan_to_num((spots[mine] + 0.5 - corner) / side)
            yield seen.astype(np.float16), joints, counts, state > 0, likeness


def _box(spots: np.ndarray, shape) -> np.ndarray:
    """Left, top, right, bottom of a person's joints with what is painted around them."""
    if len(spots) < 3:
        return np.zeros(4)
    box = np.concatenate([spots.min(axis=0) - 2, spots.max(axis=0) + 3])
    return box.clip(0, np.array((shape[1], shape[0]) * 2))


def _of(piece: Piece) -> np.ndarray:
    height, width = piece.image.shape[:2]
    return np.concatenate([piece.corner, piece.corner + (width, height)])


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    common = float(sides.clip(0).prod())
    return common / (float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2])) - common
                     + 1e-9)


def taught(data: list[np.ndarray], epochs: int = 14, batch: int = 192) -> dict[str, np.ndarray]:
    """The net's weights, float16, after `epochs` over the examples' columns."""
    torch.manual_seed(0)
    seen, joints, counts, present, likeness = map(torch.from_numpy, data)
    mean = seen[::7].float().mean(dim=0)
    usual = (joints * counts[..., None]).sum(dim=0) / counts.sum(dim=0).clamp(min=1)[:, None]
    net = nn.Sequential(nn.Linear(3 * SIDE**2, 192), nn.ReLU(), nn.Dropout(0.2),
                        nn.Linear(192, 160), nn.ReLU(), nn.Dropout(0.1), nn.Linear(160, 69))
    with torch.no_grad():
        net[-1].bias[:34] = usual.flatten()
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=0.05)
    steps = epochs * len(seen) // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    for _ in track(range(steps), 'teaching'):
        chosen = torch.randint(len(seen), (batch,))
        dimmed = seen[chosen].float() * (0.7 + 0.6 * torch.rand(batch, 1))
        loss = _loss(net(dimmed - mean), joints[chosen], counts[chosen], present[chosen],
                     likeness[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    weights = {'mean': mean}
    for number, layer in enumerate((net[0], net[3], net[6]), 1):
        weights |= {f'weight{number}': layer.weight.T, f'bias{number}': layer.bias}
    return {name: value.detach().numpy().astype(np.float16) for name, value in weights.items()}


def _loss(answers, joints, counts, present, likeness) -> torch.Tensor:
    away = (answers[:, :34].view(-1, 17, 2) - joints).norm(dim=2)
    near = smooth_l1_loss(away, torch.zeros_like(away), beta=0.05, reduction='none')
    # The spread learns from how far off the places are, and does not pull at them.
    spread = answers[:, SPREAD].clamp(*SPREADS)
    surprise = away.detach() * torch.exp(-spread) + 2 * spread
    whole = (likeness > WHOLE).float()[:, None]
    there = whole * binary_cross_entropy_with_logits(answers[:, PRESENT], present,
                                                     reduction='none')
    places = ((near + 0.01 * surprise) * counts).sum() / counts.sum().clamp(min=1)
    return (places + 0.02 * there.mean()
            + 0.05 * binary_cross_entropy_with_logits(answers[:, LIKENESS], likeness))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--model', default='nano')
    parser.add_argument('--scenes', type=int, default=6000)
    parser.add_argument('--assets', type=Path)
    parser.add_argument('--data', type=Path)
    parser.add_argument('--photographs', type=int, default=3000)
    arguments = parser.parse_args()
    teach(painted(arguments.model, arguments.scenes, arguments.assets, arguments.data,
                  arguments.photographs))


def teach(pictures) -> None:
    """Write FILE from pictures and people as `painted` gives them."""
    rng = np.random.default_rng(0)
    rows = [row for picture, people in pictures
            for shown in ((picture, softly(people, picture.shape[:2], rng)) if people
                          else (picture,))
            for row in examples(shown, people, rng)]
    seen, *others = (np.array(column) for column in zip(*rows))
    np.savez_compressed(FILE, **taught([seen, *(one.astype(np.float32) for one in others)]))


if __name__ == '__main__':
    main()

# SPDX-License-Identifier: Apache-2.0
"""Teaches the prior that tells which joint an untyped disc is, from the worlds' mannequins.

    python -m diception_ros.lab.training.skeleton_prior [--seconds 1200]

writes `diception_ros/tasks/skeleton_prior.npz`. The net is a small set transformer: discs in, one
of 17 types each out; how far the way between two discs is painted biases their attention.
`tasks/joint_types.py` runs it.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from diception_ros.lab.synthetic.mannequin import mannequin, random_body, random_pose
from diception_ros.tasks.joint_types import HEADS, LAYERS, WIDTH, features, pair_features
from diception_ros.tasks.skeleton import LIMBS, MIRROR

FILE = Path(__file__).parents[2] / 'tasks' / 'skeleton_prior.npz'


class Prior(nn.Module):
    """Discs (B, N, F), pairs (B, N, N, P), which are real (B, N) -> scores (B, N, 17)."""

    def __init__(self, inputs: int = 3, pairs: int = 7):
        super().__init__()
        self.enter = nn.Linear(inputs, WIDTH)
        self.pair = nn.Linear(pairs, 24)
        self.blocks = nn.ModuleList()
        for _ in range(LAYERS):
            self.blocks.append(
                nn.ModuleDict(
                    {
                        'norm': nn.LayerNorm(WIDTH),
                        'qkv': nn.Linear(WIDTH, 3 * WIDTH),
                        'bias': nn.Linear(24, HEADS),
                        'out': nn.Linear(WIDTH, WIDTH),
                        'norm2': nn.LayerNorm(WIDTH),
                        'up': nn.Linear(WIDTH, 2 * WIDTH),
                        'down': nn.Linear(2 * WIDTH, WIDTH),
                    }
                )
            )
        self.norm = nn.LayerNorm(WIDTH)
        self.leave = nn.Linear(WIDTH, 17)

    def forward(self, discs, pairs, real):
        x, pairs = self.enter(discs), torch.relu(self.pair(pairs))
        batch, count, _ = x.shape
        for block in self.blocks:
            q, k, v = (
                block['qkv'](block['norm'](x))
                .reshape(batch, count, 3, HEADS, -1)
                .permute(2, 0, 3, 1, 4)
            )
            bias = block['bias'](pairs).permute(0, 3, 1, 2)
            weight = q @ k.transpose(-1, -2) / math.sqrt(WIDTH / HEADS) + bias
            weight = weight.masked_fill(~real[:, None, None], -1e9).softmax(-1)
            x = x + block['out']((weight @ v).transpose(1, 2).reshape(batch, count, WIDTH))
            x = x + block['down'](torch.relu(block['up'](block['norm2'](x))))
        return self.leave(self.norm(x))


def people(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Mannequins seen by cameras of all heights: pixels (count, 17, 2), drawn (count, 17)."""
    dice = random.Random(seed)
    places, drawn = np.zeros((count, 17, 2), np.float32), np.zeros((count, 17), bool)
    for number in range(count):
        away, camera = dice.uniform(1.2, 6), dice.uniform(0.2, 1.9)
        turn = dice.uniform(0, 2 * math.pi)
        _, joints, _ = mannequin(
            random_body(dice), random_pose(dice)[1], (0.0, 0.0), turn, 1, _NoPaint()
        )
        side = dice.uniform(-0.35, 0.35) * away
        # Camera at (-away, side, camera), looking at a height of its own along x.
        local = joints - np.array((-away, side, camera))
        pitch = math.atan2(camera - dice.uniform(0.5, 1.3), away) + dice.gauss(0, 0.05)
        ahead = local[:, 0] * math.cos(pitch) - local[:, 2] * math.sin(pitch)
        down = -local[:, 0] * math.sin(pitch) - local[:, 2] * math.cos(pitch)
        places[number] = np.stack([-local[:, 1], down], axis=1) / np.maximum(ahead, 0.2)[:, None]
        # A face is not drawn from behind; other hidden joints mostly are.
        shown = np.array([dice.random() < 0.9 for _ in range(17)])
        view = -local[:5]
        ears = joints[3] - joints[4]
        front = joints[0] - (joints[3] + joints[4]) / 2
        shown[0] &= view[0] @ front > -0.02 * away
        shown[1] &= view[1] @ (front + 0.4 * ears) > 0
        shown[2] &= view[2] @ (front - 0.4 * ears) > 0
        shown[3] &= view[3] @ (ears + 0.2 * front) > 0
        shown[4] &= view[4] @ (-ears + 0.2 * front) > 0
        if dice.random() < 0.35:  # the frame cuts
            low, high = np.sort(places[number, :, 1])[[0, -1]]
            cut = low + (high - low) * dice.uniform(0.1, 0.7)
            shown &= (places[number, :, 1] > cut) == (dice.random() < 0.3)
        if dice.random() < 0.2:
            left, right = np.sort(places[number, :, 0])[[0, -1]]
            cut = left + (right - left) * dice.uniform(0.3, 0.7)
            shown &= (places[number, :, 0] > cut) == (dice.random() < 0.5)
        drawn[number] = shown
    return places, drawn


class _NoPaint:
    """Stands for a scene's paints where only bones matter."""

    def __getattr__(self, name):
        return lambda *_, **__: 0

    def __call__(self, *_, **__):
        return 0


def covers(places: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Share of the way between discs that limbs and discs paint, (count, 17, 17)."""
    result = np.zeros((*drawn.shape, 17), np.float16)
    share = np.linspace(0.1, 0.9, 9, dtype=np.float32)[:, None]
    for number, (spots, shown) in enumerate(zip(places, drawn)):
        size = np.ptp(spots[shown], axis=0).max() if shown.sum() > 1 else 1.0
        half = max(0.6 * 0.04 * size, 1e-6)
        way = spots[:, None, None] + share * (spots[None, :, None] - spots[:, None, None])
        limbs = LIMBS[shown[LIMBS].all(axis=1)]
        start, along = spots[limbs[:, 0]], spots[limbs[:, 1]] - spots[limbs[:, 0]]
        offset = way[..., None, :] - start
        part = np.clip((offset * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-9), 0, 1)
        near = ((offset - part[..., None] * along) ** 2).sum(-1).min(axis=-1, initial=np.inf)
        disc = ((way[..., None, :] - spots[shown]) ** 2).sum(-1).min(axis=-1, initial=np.inf)
        result[number] = ((near < half**2) | (disc < (1.5 * half) ** 2)).mean(axis=2)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seconds', type=float, default=1200)
    parser.add_argument('--people', type=int, default=8000)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    net = Prior()
    places, drawn = people(arguments.people, 0)
    shares = covers(places, drawn)
    good = np.flatnonzero(drawn.sum(axis=1) >= 3)
    fit = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=0.01)
    start, step, mean = time.monotonic(), 0, 0.0
    rng = np.random.default_rng(0)
    while (gone := (time.monotonic() - start) / arguments.seconds) < 1:
        fit.param_groups[0]['lr'] = 2e-3 * min(1, (step + 1) / 100) * (1 - gone)
        some = rng.choice(good, 96)
        spots, real, cover = (
            places[some].copy(),
            drawn[some].copy(),
            shares[some].astype(np.float32),
        )
        turned = rng.random(len(some)) < 0.5  # mirrored: left is right
        spots[turned] = spots[turned][:, MIRROR] * (-1, 1)
        real[turned] = real[turned][:, MIRROR]
        cover[turned] = cover[turned][:, MIRROR][:, :, MIRROR]
        real &= rng.random(real.shape) > rng.choice((0, 0.1, 0.3), (len(some), 1))
        real |= (real.sum(axis=1) < 2)[:, None]
        angle = rng.normal(0, 0.12, len(some))
        turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], 1).reshape(
            -1, 2, 2
        )
        spots = np.einsum('nij,nkj->nki', turn, spots)
        size = np.ptp(spots, axis=1).max(axis=1)[:, None, None]
        spots += rng.normal(0, 0.006, spots.shape) * size
        noisy = rng.random(cover.shape) < 0.02
        cover[noisy] = rng.random(int(noisy.sum()))
        side = np.zeros(real.shape, np.float32)  # now and then one joint's side is given
        hinted = np.flatnonzero(rng.random(len(some)) < 0.5)
        joint = rng.integers(5, 17, len(hinted))
        side[hinted, joint] = np.where(joint % 2 == 1, 1, -1)
        discs = np.stack([features(s, r, h) for s, r, h in zip(spots, real, side)])
        pairs = np.stack([pair_features(d, c) for d, c in zip(discs, cover)])
        scores = net(torch.tensor(discs), torch.tensor(pairs), torch.tensor(real))
        target = torch.arange(17).expand(len(some), 17)
        loss = nn.functional.cross_entropy(scores[torch.tensor(real)], target[torch.tensor(real)])
        fit.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        fit.step()
        step, mean = step + 1, 0.98 * mean + 0.02 * loss.item()
        if step % 100 == 0:
            print(f'{step} steps, loss {mean / (1 - 0.98**step):.4f}', flush=True)
            save(net)
    save(net)


def save(net: Prior) -> None:
    np.savez_compressed(
        FILE,
        **{
            name: value.detach().numpy().astype(np.float16)
            for name, value in net.state_dict().items()
        },
    )


if __name__ == '__main__':
    main()

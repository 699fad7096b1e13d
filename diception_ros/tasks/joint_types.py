# SPDX-License-Identifier: Apache-2.0
"""Which joint each untyped disc of one person is: a learned prior over skeletons.

A small set transformer, taught on the worlds' mannequins by
`diception_ros.lab.training.skeleton_prior`; here it runs in numpy. An image of discs does not say
whether one looks at a face or a back: left and right are a guess then, and the answer says so.
"""

from functools import cache
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from diception_ros.tasks.skeleton import MIRROR

WIDTH, HEADS, LAYERS = 64, 4, 3
_SIDES = 0.35  # from the margin of log-chances to how often the likelier side is right; measured


def features(spots, real, side):
    """Inputs of discs, float32 (N, 3): place in units of the person's size, and a side if known.

    spots: (N, 2) pixels; real: bool (N,); side: (N,) 1 left, -1 right, 0 unknown.
    """
    known = spots[real]
    centre = (known.min(axis=0) + known.max(axis=0)) / 2
    size = max(float(np.ptp(known, axis=0).max()), 1e-6)
    return np.concatenate([(spots - centre) / size, side[:, None]], axis=1).astype(np.float32)


def pair_features(discs, cover):
    """Inputs of pairs of discs, float32 (N, N, 7): way, length, its logarithm, share that is
    painted."""
    way = discs[None, :, :2] - discs[:, None, :2]
    length = np.sqrt((way**2).sum(axis=2))
    nearest = np.argsort(np.argsort(length, axis=1), axis=1) / max(len(discs), 1)
    return np.concatenate(
        [way, np.stack([length, np.log(length + 0.01), cover, cover >= 0.999, nearest], axis=2)],
        axis=2,
    ).astype(np.float32)


@cache
def _weights():
    with np.load(Path(__file__).with_name('skeleton_prior.npz')) as file:
        return {name: file[name].astype(np.float32) for name in file.files}


def _linear(x, name):
    weights = _weights()
    return x @ weights[name + '.weight'].T + weights[name + '.bias']


def _norm(x, name):
    x = x - x.mean(axis=-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-5)
    return x * _weights()[name + '.weight'] + _weights()[name + '.bias']


def _log_chances(spots, cover, side):
    """Logarithms of the chances that disc n is joint t, float (N, 17)."""
    discs = features(spots, np.ones(len(spots), bool), side)
    pairs = pair_features(discs, cover)
    x, count = _linear(discs, 'enter'), len(spots)
    pairs = np.maximum(_linear(pairs, 'pair'), 0)
    for layer in range(LAYERS):
        block = f'blocks.{layer}.'
        qkv = _linear(_norm(x, block + 'norm'), block + 'qkv').reshape(count, 3, HEADS, -1)
        q, k, v = qkv.transpose(1, 2, 0, 3)  # [HEADS, N, WIDTH / HEADS]
        bias = _linear(pairs, block + 'bias').transpose(2, 0, 1)
        weight = q @ k.transpose(0, 2, 1) / np.sqrt(WIDTH / HEADS) + bias  # [HEADS, N, N]
        weight = np.exp(weight - weight.max(axis=2, keepdims=True))
        weight /= weight.sum(axis=2, keepdims=True)
        x = x + _linear((weight @ v).transpose(1, 0, 2).reshape(count, WIDTH), block + 'out')
        x = x + _linear(
            np.maximum(_linear(_norm(x, block + 'norm2'), block + 'up'), 0), block + 'down'
        )
    scores = _linear(_norm(x, 'norm'), 'leave')
    scores -= scores.max(axis=1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))


def _both_ways(spots, cover, side):
    """`_log_chances` of the discs and of their mirror image, averaged."""
    mirrored = _log_chances(spots * (-1, 1), cover, -side)[:, MIRROR]
    return np.logaddexp(_log_chances(spots, cover, side), mirrored) - np.log(2)


def typed(spots, cover):
    """Types of one person's discs.

    spots: (N, 2) pixels, N <= 17; cover: (N, N), share of the way between two discs that is
    painted. Returns types int (N,), chances (N,) in [0, 1] that each is right up to mirroring, and
    the chance in [0.5, 1] that left and right are not swapped.
    """
    count = len(spots)
    nobody = np.zeros(count, np.float32)
    free = _both_ways(spots, cover, nobody)
    # 1. The disc that is surest of what it is, whichever side, is told a side: the others then
    # agree.
    paired = np.logaddexp(free[:, 5::2], free[:, 6::2]).max(axis=1)
    anchor = int(paired.argmax())
    answers = []
    for sign in (1, -1):
        side = nobody.copy()
        side[anchor] = sign
        chances = _both_ways(spots, cover, side)
        rows, columns = linear_sum_assignment(-chances)
        types = np.zeros(count, int)
        types[rows] = columns
        answers.append((free[rows, columns].mean(), types, np.exp(chances[rows, columns])))
    # 2. The side that the discs, not told, find likelier; and how much likelier than its mirror.
    value, types, sure = max(answers, key=lambda answer: answer[0])
    margin = value - free[np.arange(count), MIRROR[types]].mean()
    return types, sure, float(0.5 + 0.5 * np.tanh(_SIDES * max(margin, 0)))

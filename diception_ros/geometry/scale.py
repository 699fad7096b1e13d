# SPDX-License-Identifier: Apache-2.0
"""Metres for a relative disparity: 1 / z = a * D + b, from a reference depth or from a fixed
range.

A model's disparity D in [0, 1] is normalised picture by picture, so a and b belong to one picture
and are fitted anew for each: averaging them over time would mix different units.
"""

from dataclasses import dataclass

import numpy as np

SATURATED = 0.003  # D this close to 0 or 1 may have been clipped, and tells no distance
FEWEST = 20  # reference pixels below which no fit is tried
RIVAL = 0.2  # share of the outliers that may agree on a second line
INLIER = 0.1  # relative residual of a reference pixel that agrees with the fit
LARGEST_ERROR = 0.03  # predicted relative error of 1 / z above which a fit is refused
SMALLEST_STEP = 0.04  # in units of D: nothing further than this close to 1 / z = 0 gets a depth


@dataclass(frozen=True)
class Scale:
    """What turns a disparity into metres, or why nothing does.

    a, b: 1 / z = a * D + b in 1/m, NaN when not ok. residual: typical relative error of 1 / z
    against what the fit used (0.02 = 2 %), NaN when unknown. ok: whether depth() may be believed.
    reason: why not, in words; '' when ok.
    """

    a: float
    b: float
    residual: float
    ok: bool
    reason: str = ''

    @classmethod
    def refused(cls, reason, residual=float('nan')):
        """A scale that knows nothing, and says why."""
        return cls(float('nan'), float('nan'), float(residual), False, reason)

    def depth(self, disparity, known=None):
        """Metres along Z, float32 of disparity's shape (H, W); NaN wherever the distance is
        unknown.

        Unknown are: everything when the scale is not ok; NaN in disparity; what is too far for its
        disparity to tell (a * D + b within 0.04 a of zero); and pixels that are False in `known`,
        bool (H, W), if given (the sky has no distance, yet its disparity is that of the farthest
        thing in the picture).
        """
        disparity = np.asarray(disparity, np.float32)
        if not self.ok:
            return np.full(disparity.shape, np.nan, np.float32)
        inverse = disparity * np.float32(self.a) + np.float32(self.b)
        farthest = max(SMALLEST_STEP * self.a, 1e-6)
        with np.errstate(invalid='ignore', divide='ignore'):
            unknown = ~(inverse > farthest)
            depth = np.reciprocal(inverse, out=inverse)
        if known is not None:
            unknown |= ~np.asarray(known, bool)
        depth[unknown] = np.nan
        return depth


def fit_near_far(near, far):
    """The scale of a fixed range: D = 1 lies at `near` metres and D = 0 at `far`.

    Raises ValueError, one line, unless 0 < near < far; far may be infinite.
    """
    near, far = float(near), float(far)
    if not 0 < near < far or not np.isfinite(near):
        raise ValueError(f'depth.near and depth.far: 0 < near < far is needed, '
                         f'got {near:g} and {far:g}')
    return Scale(1 / near - 1 / far, 1 / far, float('nan'), True)


def fit_reference(disparity, reference, *, max_pixels=6000, seed=0):
    """The scale that fits a depth reference: sparse, with holes and with up to 70 % of wrong
    pixels.

    disparity: (H, W), relative, near = 1. reference: (h, w) metres along Z, registered to the same
    view; NaN, inf, 0 and negative mean no measurement; h, w may differ from H, W. 30 good pixels
    suffice, and more than max_pixels are not looked at. Deterministic for a seed. Never raises for
    pictures, whatever they hold: a fit that cannot be believed comes back with ok False and its
    reason.

    MSAC over two-pixel hypotheses on the relative difference |p - q| / max(p, q) of p = a D + b
    and q = 1 / z, then Tukey's biweight with a capped scale. Relative, because a plain residual
    lets far pixels (in z) or near ones (in 1 / z) decide alone; capped, because half of the pixels
    being wrong inflates any estimate of the scale.
    """
    rng = np.random.default_rng(seed)
    d, q = _pairs(disparity, reference, max_pixels, rng)
    if len(d) < FEWEST:
        return Scale.refused(f'the reference depth has {len(d)} usable pixels, '
                             f'{FEWEST} are needed')
    low, high = np.percentile(d, [5, 95])
    if high - low < 0.03:
        return Scale.refused('the reference depth covers one distance only, near and far are both '
                             'needed')

    few = rng.permutation(len(d))[:400]
    start, support = _best_hypothesis(d, q, few, rng)
    if start is None:
        return Scale.refused('no two pixels of the reference depth agree with the disparity on '
                             'near and far')
    a, b = start
    for _ in range(6):
        p = a * d + b
        relative = np.abs(p - q) / np.maximum(np.maximum(p, q), 1e-9)
        inlier = relative < INLIER
        if np.count_nonzero(inlier) < FEWEST // 2:
            return Scale.refused('the reference depth contradicts the disparity almost everywhere')
        sigma = np.clip(1.48 * np.median(relative[inlier]), 0.01, 0.03)
        weight = np.clip(1 - (relative / (4.685 * sigma)) ** 2, 0, None) ** 2
        weight = weight / np.maximum(p, 1e-9) ** 2
        moments = np.array([[weight @ (d * d), weight @ d], [weight @ d, weight.sum()]])
        if np.linalg.det(moments) <= 1e-12 * moments[0, 0] * moments[1, 1]:
            return Scale.refused('the reference depth that agrees with the disparity covers one '
                                 'distance only')
        a, b = np.linalg.solve(moments, [weight @ (d * q), weight @ q])
        if a <= 0:
            return Scale.refused('the reference depth grows where the disparity says nearer')

    p = a * d + b
    relative = np.abs(p - q) / np.maximum(np.maximum(p, q), 1e-9)
    inlier = relative < INLIER
    residual = 1.48 * float(np.median(relative[inlier])) if inlier.any() else float('nan')
    # In a flat scene everything agrees with everything within a tenth: ask for more there.
    relief = _relief(d, a, b)
    tolerance = float(np.clip(0.15 * relief, 0.005, INLIER))
    agreeing = float(np.mean(relative < tolerance))
    chance = _chance_support(d, q, few, rng, tolerance, 0.5 * min(relief, 0.4))
    if agreeing < 0.15 or agreeing < 1.35 * chance + 0.02:
        return Scale.refused(f'only {agreeing:.0%} of the reference depth agrees with the '
                             f'disparity, and {chance:.0%} would by chance', residual)
    low, middle, high = np.percentile(q, [10, 50, 90])
    if relief < 0.2 and high - low > 3 * relief * middle:
        return Scale.refused('the reference depth varies far more than the disparity explains',
                             residual)
    if agreeing < 0.7 and _rival_support(d, q, np.flatnonzero(relative > 2 * INLIER), rng) > RIVAL:
        return Scale.refused('the reference depth shows another scene than the disparity: what '
                             'disagrees follows a scale of its own', residual)
    error = _predicted_error(disparity, a, b, np.linalg.inv(moments), max(residual, 0.005))
    if not error < LARGEST_ERROR:
        return Scale.refused(f'the reference depth leaves the scale {error:.0%} uncertain, more '
                             'or wider spread pixels are needed', residual)
    return Scale(float(a), float(b), residual, True)


def _pairs(disparity, reference, max_pixels, rng):
    """Disparity and measured 1 / z, float32 (n,), of at most max_pixels pixels where both are
    known."""
    disparity = np.asarray(disparity, np.float32)
    reference = np.asarray(reference, np.float32)
    nothing = np.zeros(0, np.float32), np.zeros(0, np.float32)
    if disparity.ndim != 2 or reference.ndim != 2 or not disparity.size or not reference.size:
        return nothing
    # A dense reference is looked at on a grid of pixels, a sparse one everywhere.
    for step in (max(1, int(np.sqrt(reference.size / (3 * max_pixels)))), 1):
        grid = reference[::step, ::step]
        rows, columns = np.nonzero((grid > 1e-6) & (grid < np.inf))
        if len(rows) >= max_pixels:
            break
    z = grid[rows, columns]
    # A sensor at the end of its range reports that end: no distance, though it looks like one.
    for end in (z.min(), z.max()) if len(z) else ():
        stuck = z == end
        if 0.1 * len(z) < np.count_nonzero(stuck) <= len(z) - FEWEST:
            z, rows, columns = z[~stuck], rows[~stuck], columns[~stuck]
    rows, columns = rows * step, columns * step
    if disparity.shape != reference.shape:
        down, across = np.divide(disparity.shape, reference.shape)
        rows, columns = ((rows + 0.5) * down).astype(int), ((columns + 0.5) * across).astype(int)
    d = disparity[rows, columns]
    usable = np.isfinite(d)
    unclipped = usable & (d > SATURATED) & (d < 1 - SATURATED)
    if np.count_nonzero(unclipped) >= FEWEST:
        usable = unclipped
    kept = np.flatnonzero(usable)
    if len(kept) > max_pixels:
        kept = rng.permutation(kept)[:max_pixels]
    return d[kept], 1 / z[kept]


def _support(d, q, pairs, few):
    """Slopes, offsets and MSAC costs (lower is better) of the lines through pairs (n, 2) of
    pixels."""
    first, second = pairs.T
    step = d[second] - d[first]
    good = np.abs(step) > 0.03
    a = np.where(good, (q[second] - q[first]) / np.where(good, step, 1), -1)
    b = q[first] - a * d[first]
    good &= a > 0
    a, b = a[good], b[good]
    p = a[:, None] * d[few] + b[:, None]
    larger = np.maximum(p, q[few])
    relative = np.abs(p - q[few]) / np.maximum(larger, 1e-9)
    return a, b, np.minimum(relative, 0.08) ** 2, relative


def _best_hypothesis(d, q, few, rng):
    pairs = rng.integers(0, len(d), (300, 2))
    a, b, cost, relative = _support(d, q, pairs, few)
    if not len(a):
        return None, 0.0
    best = int(np.argmin(cost.sum(1)))
    return (float(a[best]), float(b[best])), float(np.mean(relative[best] < INLIER))


def _relief(d, a, b):
    """How much 1 / z changes over the picture, relative to its middle."""
    low, high = np.percentile(d, [10, 90])
    return a * (high - low) / np.maximum(np.abs(a * (low + high) / 2 + b), 1e-9)


def _chance_support(d, q, few, rng, tolerance, relief):
    """The share of pixels that some line of that relief would agree with if disparity and
    reference had nothing to do with each other: the best support once the reference's pixels
    are shuffled."""
    a, b, _, relative = _support(d, rng.permutation(q), rng.integers(0, len(d), (150, 2)), few)
    sloping = _relief(d, a, b) > relief
    return float((relative[sloping] < tolerance).mean(1).max()) if sloping.any() else 0.0


def _rival_support(d, q, outliers, rng):
    """The share of the outliers that agree on one other line. Wrong measurements are scattered
    or stuck at one distance; when they agree on a slope, disparity and reference are two
    different views."""
    if len(outliers) < FEWEST:
        return 0.0
    a, b, _, relative = _support(d, q, outliers[rng.integers(0, len(outliers), (150, 2))],
                                 rng.permutation(outliers)[:400])
    sloping = _relief(d, a, b) > 0.2
    return float((relative[sloping] < INLIER / 2).mean(1).max()) if sloping.any() else 0.0


def _predicted_error(disparity, a, b, covariance, residual):
    """What the uncertainty of a and b adds to the relative error of 1 / z, in the mean over those
    pixels of the picture that get a depth and are not clipped."""
    step = max(1, len(disparity) // 60)
    d = np.asarray(disparity, np.float64)[::step, ::step]
    d = d[(d > SATURATED) & (d < 1 - SATURATED) & (a * d + b > SMALLEST_STEP * a)]
    if not len(d):
        return float('inf')
    variance = covariance[0, 0] * d ** 2 + 2 * covariance[0, 1] * d + covariance[1, 1]
    return float(np.mean(residual * np.sqrt(np.maximum(variance, 0)) / (a * d + b)))

# SPDX-License-Identifier: Apache-2.0
"""Depth: a picture of relative (affine-invariant) disparity, near = 1."""

import numpy as np

from diception_ros.tasks.pictures import clean, grey, resized

FARTHEST = 80.0  # metres; what is farther is not judged, as usual on KITTI (Eigen et al., 2014)


def relative_disparity(depth):
    """Disparity of a depth map, scaled to [0, 1].

    depth: (H, W) metres along Z, +inf for sky. Returns float32 (H, W): 1/z, affine so that its 2nd
    and 98th percentile over finite depth are 0 and 1, clipped; sky 0; 0.5 where all is equally
    far.
    """
    known = np.isfinite(depth) & (depth > 0)
    inverse = np.divide(1, depth, out=np.zeros(depth.shape, np.float32), where=known)
    values = inverse[known]
    if values.size == 0:
        return inverse
    k = int(0.02 * (values.size - 1))
    parted = np.partition(values, (k, values.size - 1 - k))
    low, high = parted[k], parted[values.size - 1 - k]
    if high - low < 1e-4 * high:
        return np.where(known, np.float32(0.5), np.float32(0))
    return np.clip((inverse - low) / (high - low), 0, 1) * known


class Depth:
    """Result: float32 (H, W), relative disparity in [0, 1], near = 1."""

    name = 'depth'
    prompt_key = 'depth'
    published_prompt = '[[image2depth]]'
    needs_points = False

    def encode(self, truth, rng=None, points=None):
        return np.repeat(relative_disparity(truth.depth)[..., None], 3, axis=2)

    def decode(self, picture):
        return grey(clean(picture))

    def score(self, result, truth):
        """AbsRel, delta1 and the share within 10 % of the truth, after the least-squares fit of
        `1/z = a * result + b` to it.

        Only true depth up to FARTHEST counts: at the horizon of an open ground the smallest error
        of disparity is any number of metres. Fitted depth is clipped to half the nearest and twice
        the farthest true depth.
        """
        known = (truth.depth > 0) & (truth.depth <= FARTHEST)
        if not known.any():
            return {'absrel': np.nan, 'delta1': np.nan, 'within10': np.nan}
        depth = truth.depth[known].astype(np.float64)
        disparity = resized(result, truth.depth.shape)[known].astype(np.float64)
        centred, inverse = disparity - disparity.mean(), 1 / depth
        spread = (centred**2).mean()
        a = (centred * inverse).mean() / spread if spread > 1e-12 else 0.0
        fitted = 1 / np.clip(a * centred + inverse.mean(), 0.5 / depth.max(), 2 / depth.min())
        relative = np.abs(fitted - depth) / depth
        return {
            'absrel': float(relative.mean()),
            'within10': float((relative <= 0.1).mean()),
            'delta1': float((np.maximum(fitted / depth, depth / fitted) < 1.25).mean()),
        }

    def constant(self, truths):
        """The mean disparity picture: the best answer of one who does not look."""
        return np.mean([relative_disparity(truth.depth) for truth in truths], axis=0)

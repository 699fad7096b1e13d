# SPDX-License-Identifier: Apache-2.0
"""Whatever the pictures hold, the geometry answers."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from diception_ros.geometry import (
    ClickTracker,
    angle_between,
    complete_depth,
    fit_ground_plane,
    fit_reference,
    flying_pixels,
    normals_from_depth,
    point_cloud,
)

K = np.array([[40.0, 0, 20], [0, 40.0, 20], [0, 0, 1]])
numbers = st.floats(width=32, allow_nan=True, allow_infinity=True)
shapes = st.tuples(st.integers(1, 45), st.integers(1, 45))


def pictures(shape):
    """Two pictures of one shape: any numbers, or tame ones with a few wild."""
    tame = st.floats(0, 1, width=32)
    return st.tuples(*[arrays(np.float32, shape, elements=st.one_of(numbers, tame), fill=tame)] * 2)


@settings(max_examples=40, deadline=None)
@given(shapes.flatmap(pictures))
def test_any_pair_of_pictures_gets_a_scale_or_a_reason(pair):
    disparity, reference = pair
    for scale in (fit_reference(disparity, reference),
                  fit_ground_plane(disparity, np.stack([reference] * 3, -1), K, 1.0)):
        assert scale.ok or (scale.reason and '\n' not in scale.reason)
        depth = scale.depth(disparity)
        assert depth.shape == disparity.shape and depth.dtype == np.float32
        assert (np.isnan(depth) | (depth > 0)).all()


@settings(max_examples=40, deadline=None)
@given(shapes.flatmap(pictures))
def test_any_depth_becomes_a_cloud_of_finite_points(pair):
    depth, other = pair
    cloud = point_cloud(depth, K)
    assert np.isfinite(cloud.data[..., 2]).all() and cloud.is_dense
    assert flying_pixels(depth).shape == depth.shape
    assert complete_depth(depth, other).shape == depth.shape
    normals = normals_from_depth(depth, K)
    assert normals.shape == (*depth.shape, 3)
    assert angle_between(normals, normals).shape == depth.shape


@settings(max_examples=10, deadline=None)
@given(shapes, st.integers(0, 2**32 - 1))
def test_clicks_survive_any_picture(shape, seed):
    rng = np.random.default_rng(seed)
    tracker, points = ClickTracker(), rng.uniform(0, 45, (3, 2))
    for _ in range(3):
        points = tracker.follow(rng.integers(0, 256, (*shape, 3), np.uint8), points, disparity=(
            rng.random(shape)))
        inside = np.isfinite(points).all(1)
        assert (points[inside] >= 0).all() and (points[inside] <= np.array(shape[::-1]) - 1).all()

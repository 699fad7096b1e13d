# SPDX-License-Identifier: Apache-2.0
"""Metric scale from a reference depth and from a fixed range."""

import numpy as np
import pytest

from diception_ros.geometry import Scale, fit_near_far, fit_reference


def absrel(depth, truth, mask):
    mask = mask & np.isfinite(depth)
    return float(np.mean(np.abs(depth[mask] - truth[mask]) / truth[mask]))


def sparse(depth, rng, share=0.002, outliers=0.0):
    """A reference of a few pixels, some of which are wrong."""
    reference = np.full(depth.shape, np.nan, np.float32)
    chosen = rng.choice(depth.size, int(share * depth.size), replace=False)
    reference.flat[chosen] = depth.flat[chosen]
    wrong = chosen[:int(outliers * len(chosen))]
    reference.flat[wrong] = rng.uniform(0.3, 10, len(wrong))
    return reference


def unclipped(disparity):
    return (disparity > 0) & (disparity < 1)


def test_a_perfect_disparity_gives_the_exact_scale(room):
    scale = fit_reference(room.disparity, room.depth)
    assert scale.ok and scale.reason == ''
    assert scale.a == pytest.approx(room.a, rel=1e-3)
    assert scale.b == pytest.approx(room.b, rel=1e-3)
    assert scale.residual < 1e-3


@pytest.mark.parametrize('outliers', [0.0, 0.5, 0.7])
def test_outliers_cost_at_most_a_tenth_of_the_fit_to_dense_truth(room, outliers):
    dense = fit_reference(room.degraded, room.depth)
    best = absrel(dense.depth(room.degraded), room.depth, unclipped(room.disparity))
    for seed in range(3):
        reference = sparse(room.depth, np.random.default_rng(seed), outliers=outliers)
        scale = fit_reference(room.degraded, reference)
        assert scale.ok, scale.reason
        error = absrel(scale.depth(room.degraded), room.depth, unclipped(room.disparity))
        assert error < 1.1 * best


def test_thirty_pixels_suffice(room):
    share = 30.5 / room.depth.size
    scale = fit_reference(room.degraded, sparse(room.depth, np.random.default_rng(1), share))
    assert scale.ok, scale.reason
    assert absrel(scale.depth(room.degraded), room.depth, unclipped(room.disparity)) < 0.05


def test_a_sensor_stuck_at_its_range_in_every_second_pixel_is_survived(room):
    reference = np.where(np.random.default_rng(0).random(room.depth.shape) < 0.5, 10, room.depth)
    scale = fit_reference(room.degraded, reference)
    assert scale.ok, scale.reason
    assert absrel(scale.depth(room.degraded), room.depth, unclipped(room.disparity)) < 0.05


def test_a_reference_of_another_size_is_read_at_the_same_places(room):
    scale = fit_reference(room.degraded, room.depth[::2, ::2])
    assert scale.ok and scale.a == pytest.approx(room.a, rel=0.1)


@pytest.mark.parametrize('name, reference, reason', [
    ('nothing', lambda z: np.full_like(z, np.nan), 'usable pixels'),
    ('zeros', lambda z: np.zeros_like(z), 'usable pixels'),
    ('one distance', lambda z: np.full_like(z, 2), ''),
    ('noise', lambda z: np.random.default_rng(0).uniform(0.3, 10, z.shape), ''),
    ('the inverse', lambda z: 1 / z, ''),
    ('upside down', lambda z: z[::-1], ''),
    ('empty', lambda z: z[:0], 'usable pixels'),
])
def test_what_cannot_be_fitted_is_refused_with_a_reason(room, name, reference, reason):
    scale = fit_reference(room.degraded, reference(room.depth))
    assert not scale.ok and scale.reason and reason in scale.reason
    assert '\n' not in scale.reason
    assert np.isnan(scale.depth(room.degraded)).all()


@pytest.mark.parametrize('value', [np.nan, np.inf, 0.0, 0.5, 1.0])
def test_a_constant_disparity_is_refused(room, value):
    assert not fit_reference(np.full_like(room.disparity, value), room.depth).ok


def test_holes_in_the_disparity_are_skipped_and_stay_unknown(room):
    holed = room.degraded.copy()
    holed[::3] = np.nan
    scale = fit_reference(holed, room.depth)
    assert scale.ok
    depth = scale.depth(holed)
    assert np.isnan(depth[::3]).all() and np.isfinite(depth[1::3]).mean() > 0.9


def test_near_and_far_are_what_they_say():
    scale = fit_near_far(0.5, 20)
    assert scale.ok
    np.testing.assert_allclose(scale.depth(np.float32([[1, 0.5]]))[0], [0.5, 1 / 1.025], rtol=1e-5)
    assert fit_near_far(0.5, 2).depth(np.zeros((1, 1)))[0, 0] == pytest.approx(2, rel=1e-5)


@pytest.mark.parametrize('near, far', [(0, 1), (2, 1), (-1, 3), (np.nan, 1), (1, np.nan), (1, 1)])
def test_an_impossible_range_names_the_parameters(near, far):
    with pytest.raises(ValueError, match='depth.near and depth.far'):
        fit_near_far(near, far)


def test_what_is_too_far_to_tell_is_unknown_and_so_is_the_sky():
    scale = Scale(1.0, 0.0, 0.01, True)
    depth = scale.depth(np.float32([[0.0, 0.01, 0.1, np.nan, 1.0]]))
    np.testing.assert_allclose(depth[0], [np.nan, np.nan, 10, np.nan, 1], rtol=1e-5)
    known = np.array([[True, True, False, True, True]])
    assert np.isnan(scale.depth(np.float32([[0.5] * 5]), known)[0, 2])

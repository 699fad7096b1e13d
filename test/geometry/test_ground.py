# SPDX-License-Identifier: Apache-2.0
"""Metric scale from the floor."""

import numpy as np
import pytest

from diception_ros.geometry import CameraModel, fit_ground_plane

K = np.array([[260.0, 0, 159.5], [0, 260.0, 119.5], [0, 0, 1]])
SIZE = 320, 240


def absrel(scale, disparity, depth, exact):
    metres = scale.depth(disparity)
    mask = np.isfinite(metres) & (exact > 0) & (exact < 1)
    return float(np.mean(np.abs(metres[mask] - depth[mask]) / depth[mask]))


@pytest.fixture(scope='module')
def views(room):
    """Rooms seen from several heights and angles: depth, normals, down, disparity, height."""
    found = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        height = rng.uniform(0.4, 1.6)
        depth, normals, label, up, down = room.cast(
            K, SIZE, height, rng.uniform(0, 20), rng.uniform(-4, 4), seed=seed)
        found.append((depth, normals, down, room.disparity_of(depth)[0], height))
    return found


def flawed(room, normals, rng):
    """2 degrees of bias, 3 degrees of smooth error."""
    turned = normals @ room.rotation(2, rng).T
    field = np.stack([room.smooth_field(normals.shape[:2], rng) for _ in range(3)], -1)
    turned = turned + np.cross(np.radians(3) / np.sqrt(2) * field, turned)
    return turned / np.linalg.norm(turned, axis=-1, keepdims=True)


def test_exact_pictures_give_exact_metres(views):
    for depth, normals, down, disparity, height in views:
        for gravity in (None, down):
            scale = fit_ground_plane(disparity, normals, K, height, gravity)
            assert scale.ok, scale.reason
            assert absrel(scale, disparity, depth, disparity) < 0.02


def test_flawed_pictures_give_metres_within_six_percent_and_never_bad_ones(room, views):
    errors = []
    for seed, (depth, normals, _down, disparity, height) in enumerate(views):
        rng = np.random.default_rng(seed)
        degraded = room.degrade(disparity, rng)
        scale = fit_ground_plane(degraded, flawed(room, normals, rng), K, 1.01 * height)
        if scale.ok:
            errors.append(absrel(scale, degraded, depth, disparity))
    assert len(errors) >= 6
    assert np.median(errors) <= 0.06 and max(errors) < 0.2


def test_the_scale_follows_the_height(views):
    depth, normals, down, disparity, height = views[0]
    one = fit_ground_plane(disparity, normals, K, height)
    two = fit_ground_plane(disparity, normals, K, 2 * height)
    assert one.a == pytest.approx(2 * two.a) and one.b == pytest.approx(2 * two.b)


def test_a_camera_model_of_the_full_picture_will_do(views):
    depth, normals, down, disparity, height = views[0]
    larger = np.diag([2, 2, 1]) @ K + [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    camera = CameraModel(larger, (640, 480))
    scale = fit_ground_plane(disparity, normals, camera, height)
    assert scale.a == pytest.approx(fit_ground_plane(disparity, normals, K, height).a, rel=1e-6)


def test_without_a_floor_there_are_no_metres(room):
    for seed in range(4):
        depth, normals, *_ = room.cast(K, SIZE, 1.4, -35, boxes=0, seed=seed)
        scale = fit_ground_plane(room.disparity_of(depth)[0], normals, K, 1.4)
        assert not scale.ok and scale.reason


def test_a_wall_alone_is_refused():
    disparity = np.tile(np.linspace(0, 1, 320, dtype=np.float32), (240, 1))
    normals = np.tile(np.float32([-0.7, 0, -0.714]), (240, 320, 1))
    scale = fit_ground_plane(disparity, normals, K, 1.0)
    assert not scale.ok and 'no floor' in scale.reason


@pytest.mark.parametrize('fill', [np.nan, np.inf, 0.0, 0.5, 1.0])
def test_empty_pictures_are_refused_with_a_reason(fill):
    for size in ((240, 320), (0, 0), (1, 1), (40, 33)):
        scale = fit_ground_plane(np.full(size, fill), np.full((*size, 3), fill), K, 1.0)
        assert not scale.ok and scale.reason and '\n' not in scale.reason


def test_holes_are_survived(views):
    depth, normals, down, disparity, height = views[0]
    holed, facing = disparity.copy(), normals.copy()
    holed[::5], facing[:, ::7] = np.nan, np.nan
    scale = fit_ground_plane(holed, facing, K, height)
    assert scale.ok and absrel(scale, disparity, depth, disparity) < 0.03


@pytest.mark.parametrize('height', [0, -1, np.nan, np.inf])
def test_an_impossible_height_names_the_parameter(height, views):
    with pytest.raises(ValueError, match='depth.camera_height'):
        fit_ground_plane(views[0][3], views[0][1], K, height)


@pytest.mark.parametrize('gravity', [(0, 0, 0), (1, 2), (np.nan, 0, 0)])
def test_gravity_must_be_a_direction(gravity, views):
    with pytest.raises(ValueError, match='gravity'):
        fit_ground_plane(views[0][3], views[0][1], K, 1.0, gravity)

# SPDX-License-Identifier: Apache-2.0
"""Depth completion: the sensor's pixels, and ours in its holes."""

import numpy as np
import pytest

from diception_ros.geometry import complete_depth


def test_the_sensors_pixels_win_and_the_holes_get_better(room):
    rng = np.random.default_rng(0)
    ours = room.depth * (1 + 0.03 * room.smooth_field(room.depth.shape, rng)).astype(np.float32)
    sensor = np.where(rng.random(room.depth.shape) < 0.01, room.depth, np.nan).astype(np.float32)
    done = complete_depth(ours, sensor)
    measured = np.isfinite(sensor)
    np.testing.assert_array_equal(done[measured], sensor[measured])
    before, after = (np.mean(np.abs(z - room.depth)[~measured] / room.depth[~measured])
                     for z in (ours, done))
    assert after < 0.3 * before


def test_wrong_measurements_spoil_nothing_but_their_own_pixels(room):
    rng = np.random.default_rng(0)
    sensor = np.where(rng.random(room.depth.shape) < 0.01, room.depth, np.nan).astype(np.float32)
    sensor[::20, ::20] = rng.uniform(0.3, 10, sensor[::20, ::20].shape)
    done = complete_depth(room.depth, sensor)
    holes = np.isnan(sensor)
    assert np.mean(np.abs(done[holes] - room.depth[holes]) / room.depth[holes]) < 0.01


def test_without_a_sensor_ours_stays_as_it_is(room):
    for nothing in (np.nan, 0.0, np.inf, -1.0):
        np.testing.assert_array_equal(
            complete_depth(room.depth, np.full_like(room.depth, nothing)), room.depth)


def test_without_ours_the_sensor_stays_alone(room):
    sensor = np.where(room.label == 0, room.depth, 0)
    done = complete_depth(np.full_like(room.depth, np.nan), sensor)
    assert (np.isfinite(done) == (room.label == 0)).all()


@pytest.mark.parametrize('size', [(0, 0), (1, 1), (3, 100)])
def test_any_size_will_do(size):
    assert complete_depth(np.ones(size), np.full(size, 1.1)).shape == size


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match='reference_depth'):
        complete_depth(np.ones((2, 2)), np.ones((2, 3)))

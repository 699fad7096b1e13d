# SPDX-License-Identifier: Apache-2.0
"""The measurement of the geometry gives its figures, and they are those of a working geometry."""

import numpy as np
import pytest

from diception_ros.lab.evaluation.geometry import degraded, measure_geometry, turned


@pytest.fixture(scope='module')
def figures():
    return measure_geometry(scenes=2, moves=0, worlds='easy')


def test_metres_are_within_the_bars(figures):
    assert figures['reference.outliers_50.worst_ratio'] < 1.1
    assert figures['ground'] < 0.1 and figures['ground.bad'] == 0
    assert figures.get('ground.without_floor_accepted', 0.0) == 0


def test_flying_pixels_are_found(figures):
    assert figures['cloud.flying_precision'] > 0.7 and figures['cloud.flying_recall'] > 0.7


def test_every_figure_is_a_number_or_unknown(figures):
    assert all(isinstance(value, float) for value in figures.values())
    assert {'reference_ms', 'ground_ms', 'cloud_ms', 'clicks.right'} <= figures.keys()


def test_the_flaws_are_as_large_as_they_say():
    rng = np.random.default_rng(0)
    disparity = np.full((120, 160), 0.5, np.float32)
    assert 0.01 < np.std(degraded(disparity, rng)) < 0.03
    normals = np.zeros((120, 160, 3), np.float32)
    normals[:60, :, 2] = -1
    flawed = turned(normals, rng, bias=2, smooth=0)
    angle = np.degrees(np.arccos(np.clip(-flawed[:60, :, 2], -1, 1)))
    assert angle.max() < 2.01 and not flawed[60:].any()

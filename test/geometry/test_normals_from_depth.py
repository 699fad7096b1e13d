# SPDX-License-Identifier: Apache-2.0
"""Normals differentiated from depth."""

import numpy as np
import pytest

from diception_ros.geometry import CameraModel, angle_between, normals_from_depth


def test_planes_are_exact_up_to_their_edges(room):
    angle = angle_between(normals_from_depth(room.depth, room.K), room.normals)
    assert np.nanmedian(angle) < 0.1 and np.nanpercentile(angle, 97) < 1


def test_distorted_cameras_are_no_worse():
    lens = CameraModel([260.0, 0, 159.5, 0, 260, 119.5, 0, 0, 1], (320, 240), (-0.3, 0.1, 0, 0, 0))
    x, y = lens.rays()
    n = np.array([0.2, -0.9, -0.3]) / np.linalg.norm([0.2, -0.9, -0.3])
    with np.errstate(divide='ignore'):
        depth = -1.2 / (n[0] * x + n[1] * y + n[2])
    depth[depth < 0] = np.inf
    normals = normals_from_depth(depth, lens)
    seen = np.isfinite(normals).all(-1) & (depth < 20)
    assert seen.sum() > 10000
    assert np.percentile(angle_between(normals[seen], np.tile(n, (seen.sum(), 1))), 99) < 0.5


@pytest.mark.parametrize('depth', [np.zeros((0, 5)), np.ones((1, 1)), np.full((4, 4), np.nan),
                                   np.zeros((4, 4)), np.full((4, 4), np.inf)])
def test_without_depth_there_are_no_normals(depth):
    normals = normals_from_depth(depth, np.eye(3))
    assert normals.shape == (*depth.shape, 3) and np.isnan(normals).all()


def test_angles_are_unknown_where_a_normal_is():
    angle = angle_between([[0, 0, -1.0], [0, 0, 0], [np.nan, 0, 0]], [[0, -1.0, 0]] * 3)
    assert angle[0] == pytest.approx(90) and np.isnan(angle[1:]).all()

# SPDX-License-Identifier: Apache-2.0
"""Camera moves: two frames of a move agree with each other through their exact poses."""

import numpy as np
import pytest

from diception_ros.lab.synthetic import camera_move


@pytest.fixture(scope='module', params=('easy', 'full'))
def move(request):
    return list(camera_move(1, 12, (160, 120), 5.0, request.param))


def test_a_move_is_deterministic_and_keeps_its_instances(move):
    for truth in move:
        for number, category in truth.categories.items():
            assert all(other.categories.get(number, category) == category for other in move)
    again = list(camera_move(1, 2, (160, 120), 5.0, 'easy'))
    once_more = list(camera_move(1, 2, (160, 120), 5.0, 'easy'))
    np.testing.assert_array_equal(again[1].rgb, once_more[1].rgb)


def test_stamps_follow_the_rate(move):
    np.testing.assert_allclose([truth.stamp for truth in move], np.arange(12) / 5)


def test_the_camera_moves_smoothly(move):
    positions = np.array([truth.camera_pose[:3, 3] for truth in move])
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    assert steps.sum() > .1 and steps.max() < .2
    for truth in move:
        rotation = truth.camera_pose[:3, :3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(rotation) > 0


def test_static_points_of_one_frame_are_where_another_frame_sees_them(move):
    first, second = move[0], move[3]
    people = [n for t in (first, second) for n, name in t.categories.items() if name == 'person']
    height, width = first.depth.shape
    k = first.intrinsics
    v, u = np.mgrid[0:height:3, 0:width:3].reshape(2, -1)
    known = np.isfinite(first.depth[v, u]) & ~np.isin(first.instances[v, u], people)
    u, v = u[known], v[known]
    z = first.depth[v, u].astype(float)
    local = np.stack([(u - k[0, 2]) / k[0, 0] * z, (v - k[1, 2]) / k[1, 1] * z, z], axis=1)
    world = local @ first.camera_pose[:3, :3].T + first.camera_pose[:3, 3]
    there = (world - second.camera_pose[:3, 3]) @ second.camera_pose[:3, :3]
    x, y = (there[:, i] / there[:, 2] * k[i, i] + k[i, 2] for i in (0, 1))
    column, row = np.rint(x).astype(int), np.rint(y).astype(int)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (there[:, 2] > .1)
    column, row, u, v = column[inside], row[inside], u[inside], v[inside]
    same = second.instances[row, column] == first.instances[v, u]
    error = np.abs(second.depth[row, column] - there[inside, 2])[same] / there[inside, 2][same]
    assert same.mean() > .8 and len(error) > 300
    assert np.median(error) < .004 and np.quantile(error, .85) < .05


def test_people_walk_and_are_mostly_in_view(move):
    assert np.mean([len(truth.people) > 0 for truth in move]) > .6
    heads = [p.keypoints_3d[0] @ t.camera_pose[:3, :3].T + t.camera_pose[:3, 3]
             for t in move for p in t.people[:1]]
    assert np.linalg.norm(heads[-1] - heads[0]) > .2


def test_walkers_feet_stay_on_the_floor(move):
    for truth in move:
        for person in truth.people:
            pose = truth.camera_pose
            ankles = person.keypoints_3d[15:] @ pose[:3, :3].T + pose[:3, 3]
            assert .02 < ankles[:, 2].min() < .2

# SPDX-License-Identifier: Apache-2.0
"""The ray caster against a slow independent one: marching along every ray with signed distances."""

import numpy as np
import pytest

from diception_ros.lab.synthetic import solids as shapes
from diception_ros.lab.synthetic.camera import Camera
from diception_ros.lab.synthetic.raycast import Placed, cast, surface_normals

CAMERA = Camera.at((0, 0, 1.0), yaw=20, pitch=8, roll=3, field_of_view=70, size=(32, 24))


def inside(solids, points):
    """bool (P,): is a world point within the only solid?"""
    local = (points - solids.centre[0]) @ solids.local()[0].T
    if solids.kind[0] == shapes.BOX:
        return (np.abs(local) <= 1).all(axis=1)
    if solids.kind[0] == shapes.CYLINDER:
        return (np.hypot(local[:, 0], local[:, 1]) <= 1) & (np.abs(local[:, 2]) <= 1)
    length, ra, rb = solids.shape[0]
    # a round cone is the union of balls between its ends
    within = np.zeros(len(points), bool)
    for t in np.linspace(0, 1, 30):
        within |= ((local - [0, 0, t * length]) ** 2).sum(axis=1) <= (ra + (rb - ra) * t) ** 2
    return within


def some_solids():
    rng = np.random.default_rng(0)
    for _ in range(4):
        yaw = rng.uniform(0, 6, 1)
        spot = np.array([[2.5, 1.0, .7]]) + rng.uniform(-.5, .5, 3)
        yield shapes.boxes(spot, rng.uniform(.1, .5, 3), yaw, 5, 0)
        axis = rng.standard_normal((1, 3))
        axis /= np.linalg.norm(axis)
        yield shapes.cylinders(spot, axis, [rng.uniform(.05, .5)], rng.uniform(.1, .5), 5, 0)
        yield shapes.balls(spot, rng.uniform(.1, .5, 1), 5, 0)
        radii = rng.uniform(.05, .4, (2, 1))
        yield shapes.round_cones(spot, spot + rng.uniform(-.6, .6, 3), *radii,
                                 rng.standard_normal((1, 3)), rng.uniform(.5, 1.3, 1), 5, 0)


@pytest.mark.parametrize('solids', list(some_solids()),
                         ids=lambda s: ('round cone', 'box', 'cylinder')[s.kind[0]])
def test_depth_agrees_with_marching_along_the_rays(solids):
    x, y = CAMERA.slopes()
    depth = np.full((24, 32), np.inf, np.float32)
    surface = np.full((24, 32), -1, np.int32)
    placed = Placed(solids, CAMERA.pose)
    cast(placed, x, y, depth, surface)
    steps = np.arange(.8, 5, .02)
    rays = np.stack([np.tile(x, 24), np.repeat(y, 32), np.ones(32 * 24)], axis=1).astype(float)
    expected = np.full(len(rays), np.inf)
    for z in steps[::-1]:        # from behind, so that the nearest stays
        points = (rays * z) @ CAMERA.pose[:3, :3].T + CAMERA.pose[:3, 3]
        expected[inside(solids, points)] = z
    found = depth.ravel()
    seen = np.isfinite(expected)
    assert seen.sum() > 5
    assert np.isfinite(found[seen]).mean() > .99
    # what marching finds is up to a step behind; grazing rays it may miss altogether
    assert (np.isfinite(found) & ~seen).sum() < .2 * seen.sum() + 8
    both = seen & np.isfinite(found)
    behind = expected[both] - found[both]
    assert behind.min() > -2e-4 and np.quantile(behind, .9) < .0205
    assert ((surface >= 0).ravel() == np.isfinite(found)).all()

    # the normal is the direction in which the solid ends
    pixels = np.flatnonzero(both)
    normals, _ = surface_normals(placed, surface.ravel()[pixels], rays[pixels, :2].T, found[pixels])
    normals = (normals / np.linalg.norm(normals, axis=0)).T @ CAMERA.pose[:3, :3].T
    points = (rays[pixels] * found[pixels, None]) @ CAMERA.pose[:3, :3].T + CAMERA.pose[:3, 3]
    assert inside(solids, points - .004 * normals).mean() > .97
    assert inside(solids, points + .004 * normals).mean() < .03


def test_a_small_far_ball_keeps_its_shape():
    # float32 loses the roots of such balls unless rays are measured from near them
    solids = shapes.balls([[9.0, 0.0, 1.0]], [.01], 5, 0)
    camera = Camera.at((0, 0, 1.0), yaw=0, field_of_view=.3, size=(60, 60))
    depth = np.full((60, 60), np.inf, np.float32)
    cast(Placed(solids, camera.pose), *camera.slopes(), depth, np.zeros((60, 60), np.int32))
    area = np.isfinite(depth).sum()
    radius = .01 / 9 * camera.intrinsics[0, 0]
    assert area == pytest.approx(np.pi * radius ** 2, rel=.05)
    assert depth.min() == pytest.approx(8.99, abs=2e-3)

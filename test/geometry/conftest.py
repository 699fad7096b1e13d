# SPDX-License-Identifier: Apache-2.0
"""A room of planes and boxes with exact depth and normals, and the flaws of a model's output:
what every test of the geometry looks at. The worlds of the package are not used: their errors
must not hide ours."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest


def cast(K, size, height=1.2, pitch=8.0, roll=0.0, boxes=6, seed=0, floor=True):
    """A camera `height` metres over the floor of a 6 x 9 x 3 m room, looking down its length,
    pitched down and rolled (degrees). Returns depth, normals, label (0 floor, 1 ceiling, 2..
    walls, 5.. boxes), up and down vectors."""
    rng = np.random.default_rng(seed)
    p, r = np.radians([pitch, roll])
    tilt = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    turn = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    level_from_camera = tilt @ turn  # level: x right, y down, z ahead
    v, u = np.mgrid[:size[1], :size[0]].astype(float)
    rays = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones_like(u)], -1)
    rays = rays @ level_from_camera.T
    planes = [((0, -1, 0), height), ((0, 1, 0), 3 - height), ((1, 0, 0), 3.0), ((-1, 0, 0), 3.0),
              ((0, 0, -1), 7.5)]
    if not floor:
        planes = planes[1:]
    depth, label = np.full(rays.shape[:2], np.inf), np.zeros(rays.shape[:2], int)
    normals = np.zeros(rays.shape)
    for index, (n, distance) in enumerate(planes):
        with np.errstate(divide='ignore'):
            t = -distance / (rays @ np.asarray(n, float))
        closer = (t > 0) & (t < depth)
        depth[closer], label[closer] = t[closer], index if floor else index + 1
        normals[closer] = n
    for index in range(boxes):
        extent = rng.uniform(0.15, 0.5, 3)
        centre = np.array([rng.uniform(-2.2, 2.2), height - extent[1], rng.uniform(1.8, 6.0)])
        with np.errstate(divide='ignore'):
            one, two = (centre - extent) / rays, (centre + extent) / rays
        enter, leave = np.minimum(one, two), np.maximum(one, two)
        t = enter.max(-1)
        closer = (t < leave.min(-1)) & (t > 0) & (t < depth)
        axis = enter.argmax(-1)
        side = -np.sign(rays) * np.eye(3)[axis]
        depth[closer], label[closer], normals[closer] = t[closer], 5 + index, side[closer]
    normals = normals @ level_from_camera
    down = level_from_camera[1]
    return depth.astype(np.float32), normals.astype(np.float32), label, -down, down


def disparity_of(depth):
    """The depth picture of the tasks: 1 / z, affine to [0, 1] between its 2nd and 98th
    percentile, and a, b."""
    inverse = np.where(np.isfinite(depth), 1 / depth, 0)
    low, high = np.percentile(inverse[np.isfinite(depth)], [2, 98])
    return np.clip((inverse - low) / (high - low), 0, 1).astype(np.float32), high - low, low


def smooth_field(shape, rng, cells=5):
    """Smooth noise of unit deviation."""
    coarse = rng.standard_normal((cells, cells))
    field = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return field / field.std()


def degrade(disparity, rng):
    """2 px of blur, 3 % of smooth multiplicative error, 1 % of noise."""
    out = cv2.GaussianBlur(disparity, (0, 0), 2) * (1 + 0.03 * smooth_field(disparity.shape, rng))
    return np.clip(out + 0.01 * rng.standard_normal(disparity.shape), 0, 1).astype(np.float32)


def rotation(degrees, rng):
    """A rotation by `degrees` about a random axis."""
    axis = rng.standard_normal(3)
    return cv2.Rodrigues(np.radians(degrees) * axis / np.linalg.norm(axis))[0]


@pytest.fixture(scope='session')
def room():
    """Everything the tests share: cast, flaws, and one room at 640x480."""
    K = np.array([[520.0, 0, 319.5], [0, 520.0, 239.5], [0, 0, 1]])
    depth, normals, label, up, down = cast(K, (640, 480), seed=3)
    disparity, a, b = disparity_of(depth)
    rng = np.random.default_rng(0)
    return SimpleNamespace(
        K=K, depth=depth, normals=normals, label=label, up=up, down=down, disparity=disparity,
        a=a, b=b, degraded=degrade(disparity, rng), cast=cast, degrade=degrade,
        rotation=rotation, disparity_of=disparity_of, smooth_field=smooth_field)

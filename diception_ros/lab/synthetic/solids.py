# SPDX-License-Identifier: Apache-2.0
"""The solids worlds are built of: round cones (balls, limbs, bodies), boxes, cylinders; in arrays.

A solid is a simple shape in its own frame and an affine map to the world:
- round cone: the hull of a ball of radius ra at the origin and one of radius rb at (0, 0, length);
- box: the cube [-1, 1]^3;
- cylinder: radius 1 about z, z from -1 to 1.
Non-uniform scales make ellipsoids, flat bodies and beams of them.
"""

from dataclasses import dataclass, fields

import numpy as np

ROUND_CONE, BOX, CYLINDER = 0, 1, 2


@dataclass
class Solids:
    """N solids; metres, world frame."""

    kind: np.ndarray        # int (N,)
    centre: np.ndarray      # float64 (N, 3), the local origin
    turn: np.ndarray        # float64 (N, 3, 3), rotation, rows are the local axes in the world
    scale: np.ndarray       # float64 (N, 3), along the local axes
    shape: np.ndarray       # float64 (N, 3): length, ra, rb of round cones (before the scale)
    instance: np.ndarray    # int (N,)
    paint: np.ndarray       # int (N,), row of Scene.paints
    casts: np.ndarray       # bool (N,), throws a shadow

    def __len__(self):
        return len(self.kind)

    def local(self):
        """(N, 3, 3): local_from_world without the translation."""
        return self.turn / self.scale[:, :, None]

    def axes(self):
        """(N, 3, 3): world_from_local without the translation; columns are the scaled axes."""
        return np.swapaxes(self.turn * self.scale[:, :, None], 1, 2)

    def __getitem__(self, rows):
        return Solids(*(getattr(self, f.name)[rows] for f in fields(self)))


def stack(groups):
    """One Solids of many."""
    return Solids(*(np.concatenate([getattr(g, f.name) for g in groups]) for f in fields(Solids)))


def _solids(kind, centre, turn, scale, shape, instance, paint, casts=True):
    count = len(centre)
    return Solids(np.full(count, kind), np.asarray(centre, float), turn, scale, shape,
                  _rows(instance, count, int), _rows(paint, count, int), np.full(count, casts))


def _rows(value, shape, kind=float):
    """A new array of a shape, filled with what may be one value for all of it."""
    rows = np.empty(shape, kind)
    rows[...] = value
    return rows


def upright(yaw):
    """Rotations (N, 3, 3) about the world's z axis, radians (N,); rows are the local axes."""
    turn = np.zeros((len(yaw), 3, 3))
    turn[:, 0, 0] = turn[:, 1, 1] = np.cos(yaw)
    turn[:, 0, 1] = np.sin(yaw)
    turn[:, 1, 0] = -turn[:, 0, 1]
    turn[:, 2, 2] = 1
    return turn


def boxes(centre, half, yaw, instance, paint, casts=True):
    """Boxes (N,) with half sizes (N, 3) turned by yaw (N,) radians."""
    centre = np.atleast_2d(np.asarray(centre, float))
    half = _rows(half, centre.shape)
    turn = upright(_rows(yaw, len(centre)))
    shape = np.zeros((len(centre), 3))
    return _solids(BOX, centre, turn, half, shape, instance, paint, casts)


def cylinders(centre, axis, radius, half_length, instance, paint):
    """Cylinders (N,) about unit axes (N, 3)."""
    centre = np.atleast_2d(np.asarray(centre, float))
    turn = frames(np.atleast_2d(np.asarray(axis, float)), np.array([[0.613, 0.511, 0.602]]))
    scale = np.empty((len(centre), 3))
    scale[:, :2] = np.reshape(radius, (-1, 1))
    scale[:, 2] = half_length
    return _solids(CYLINDER, centre, turn, scale, np.zeros((len(centre), 3)), instance, paint)


def balls(centre, radius, instance, paint):
    """Balls (N,)."""
    centre = np.atleast_2d(np.asarray(centre, float))
    scale = np.repeat(np.reshape(np.asarray(radius, float), (-1, 1)), 3, axis=1)
    return ellipsoids(centre, np.repeat(np.eye(3)[None], len(centre), 0), scale, instance, paint)


def ellipsoids(centre, turn, radii, instance, paint):
    """Ellipsoids (N,): rotations (N, 3, 3) whose rows are the axes, radii (N, 3) along them."""
    shape = np.tile([0.0, 1.0, 1.0], (len(centre), 1))
    return _solids(ROUND_CONE, centre, turn, np.asarray(radii, float), shape, instance, paint)


def round_cones(start, end, start_radius, end_radius, side, flat, instance, paint):
    """Limbs (N,) from `start` to `end` (N, 3), their cross-section `flat` times as deep as wide;
    `side` (N, 3) is roughly the wide direction."""
    along = end - start
    length = np.sqrt((along * along).sum(axis=1))
    turn = frames(along / length[:, None], side)
    scale = np.ones((len(start), 3))
    scale[:, 1] = flat
    # A ball may not contain the other, or there is no cone between them.
    thick = np.maximum(start_radius, end_radius)
    thin = np.maximum(np.minimum(start_radius, end_radius), thick - 0.95 * length)
    start_bigger = start_radius >= end_radius
    shape = np.stack([length, np.where(start_bigger, thick, thin),
                      np.where(start_bigger, thin, thick)], axis=1)
    return _solids(ROUND_CONE, start, turn, scale, shape, instance, paint)


def frames(along, side):
    """Rotations (N, 3, 3): the third row is `along` (unit), the first nearest to `side`."""
    z = along
    x = side - (side * z).sum(axis=1, keepdims=True) * z
    x = x / np.maximum(np.sqrt((x * x).sum(axis=1, keepdims=True)), 1e-9)
    y = z[:, [1, 2, 0]] * x[:, [2, 0, 1]] - z[:, [2, 0, 1]] * x[:, [1, 2, 0]]
    return np.stack([x, y, z], axis=1)

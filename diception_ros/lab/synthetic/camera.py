# SPDX-License-Identifier: Apache-2.0
"""The camera of a world: where it stands, how it projects, what may be in its picture."""

import math
from dataclasses import dataclass

import numpy as np

NEAR = 0.05     # metres; nothing is seen nearer than this


@dataclass
class Camera:
    """A pinhole camera; pixel centres at integers, optical frame x right, y down, z forward."""

    size: tuple[int, int]    # width, height in pixels
    intrinsics: np.ndarray   # float64 (3, 3); fx != fy where a wide picture is squashed
    pose: np.ndarray         # float64 (4, 4), world_from_camera; world z up, metres

    @classmethod
    def at(cls, position, yaw, pitch=0.0, roll=0.0, field_of_view=60.0, size=(128, 128),
           aspect=None):
        """A camera at a world position (x, y, z), looking along `yaw` (from the x to the y axis)
        and `pitch` (positive is down), turned by `roll` about its axis; angles in degrees.

        `field_of_view`: the horizontal one, degrees. `aspect`: width / height of the sensor; where
        it differs from that of `size` the picture is squashed. None: that of `size`.
        """
        width, height = size
        fx = width / 2 / math.tan(math.radians(field_of_view) / 2)
        fy = fx if aspect is None else fx * aspect * height / width
        intrinsics = np.array([[fx, 0, (width - 1) / 2], [0, fy, (height - 1) / 2], [0, 0, 1]])
        yaw, pitch, roll = math.radians(yaw), math.radians(pitch), math.radians(roll)
        level = math.cos(pitch)
        forward = np.array([math.cos(yaw) * level, math.sin(yaw) * level, -math.sin(pitch)])
        right = np.array([math.sin(yaw), -math.cos(yaw), 0.0])
        down = np.array([-forward[2] * right[1], forward[2] * right[0],
                         forward[0] * right[1] - forward[1] * right[0]])
        pose = np.eye(4)
        pose[:3, 0] = math.cos(roll) * right + math.sin(roll) * down
        pose[:3, 1] = math.cos(roll) * down - math.sin(roll) * right
        pose[:3, 2] = forward
        pose[:3, 3] = position
        return cls((int(width), int(height)), intrinsics, pose)

    def scaled(self, factor):
        """The same view with `factor` times as many columns and rows."""
        intrinsics = self.intrinsics.copy()
        intrinsics[:2] *= factor
        intrinsics[:2, 2] += (factor - 1) / 2       # pixel centres, not corners, are at integers
        return Camera(tuple(factor * side for side in self.size), intrinsics, self.pose)

    def slopes(self):
        """float32 (W,) and (H,): x / z of every column's and y / z of every row's pixel centres."""
        k = self.intrinsics
        x = (np.arange(self.size[0]) - k[0, 2]) / k[0, 0]
        y = (np.arange(self.size[1]) - k[1, 2]) / k[1, 1]
        return x.astype(np.float32), y.astype(np.float32)

    def to_camera(self, points):
        """World points (N, 3) in the optical frame, metres."""
        return (points - self.pose[:3, 3]) @ self.pose[:3, :3]

    def project(self, points):
        """Pixels (N, 2) and depths (N,) of world points (N, 3); NaN pixels behind the camera."""
        local = self.to_camera(points)
        depth = local[:, 2]
        with np.errstate(divide='ignore', invalid='ignore'):
            pixels = local[:, :2] / depth[:, None] * np.diag(self.intrinsics)[:2]
        pixels += self.intrinsics[:2, 2]
        pixels[depth <= NEAR] = np.nan
        return pixels, depth


def ellipsoid_bounds(centre, spread):
    """The exact box of slopes (x / z, y / z) that an ellipsoid fills, from its tangent planes.

    `centre` (N, 3) in the optical frame, `spread` (N, 3, 3) = A A^T where A maps the unit ball to
    the ellipsoid. Returns (N, 4): left, top, right, bottom; infinite where it reaches the plane
    z = NEAR, empty (inf, -inf) behind it.
    """
    reach = np.sqrt(spread[:, 2, 2])
    depth = centre[:, 2]
    crossing = depth - reach <= NEAR
    behind = depth + reach <= NEAR
    bounds = np.empty((len(centre), 4))
    a = np.where(crossing, 1.0, depth ** 2 - spread[:, 2, 2])
    for axis in (0, 1):
        b = centre[:, axis] * depth - spread[:, axis, 2]
        c = centre[:, axis] ** 2 - spread[:, axis, axis]
        root = np.sqrt(np.maximum(b * b - a * c, 0))
        bounds[:, axis] = (b - root) / a
        bounds[:, axis + 2] = (b + root) / a
    bounds[crossing] = (-np.inf, -np.inf, np.inf, np.inf)
    bounds[behind] = (np.inf, np.inf, -np.inf, -np.inf)
    return bounds


def corner_bounds(corners):
    """The box of slopes (N, 4) of N sets of corners (N, M, 3), as in `ellipsoid_bounds`."""
    depth = corners[..., 2]
    crossing = (depth <= NEAR).any(axis=1)
    behind = (depth <= NEAR).all(axis=1)
    slopes = corners[..., :2] / np.maximum(depth, NEAR)[..., None]
    bounds = np.concatenate([slopes.min(axis=1), slopes.max(axis=1)], axis=1)
    bounds[crossing] = (-np.inf, -np.inf, np.inf, np.inf)
    bounds[behind] = (np.inf, np.inf, -np.inf, -np.inf)
    return bounds

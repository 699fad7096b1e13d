# SPDX-License-Identifier: Apache-2.0
"""Metres from the floor: the scale of a disparity when only the camera's height above the ground
is known.

In ray coordinates (x, y, 1) = K^-1 p every plane n . P = -h of the scene is linear in inverse
depth, 1 / z = -n . r / h, hence in disparity: D = alpha x + beta y + gamma. With 1 / z = a (D + c)
its normal is along -(alpha, beta, gamma + c) and its distance from the camera is 1 / (a |(alpha,
beta, gamma + c)|). So the shift c follows from the directions of all planes (the normals that the
model sees), and the unit a from the distance of one: the floor's.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from diception_ros.geometry.camera import as_camera
from diception_ros.geometry.scale import Scale

WORKING_WIDTH = 160  # pixels; the floor is large, a picture this small shows all of it
TILE = 8  # working pixels a side of the patches that are fitted with planes
TRUNCATED = np.radians(12)  # angle beyond which a tile is taken for a wrong one
UP_CONE = np.cos(np.radians(48))  # how far a floor's normal may be from the picture's up (gravity unknown)
GRAVITY_CONE = np.cos(np.radians(25))  # and from the true up (gravity known): bias and noise of the normals
SHIFTS = np.geomspace(0.004, 6.0, 64)  # c to try: far / near of 250 to 1.2
NORMAL_BIAS = np.radians(2)  # deviation of the rotation that all of a picture's normals may share
SMALLEST_FLOOR = 0.04  # share of the picture
MOST_BELOW = 0.04  # share of the picture that may lie below the floor


@dataclass
class Tiles:
    """Patches of the picture that are flat: `plane` (n, 3) alpha beta gamma, `normal` (n, 3)
    unit."""

    plane: np.ndarray
    normal: np.ndarray


def fit_ground_plane(disparity, normals, camera, camera_height, gravity=None, *, seed=0):
    """The scale that puts the floor `camera_height` metres below the camera.

    disparity: (H, W), relative, near = 1. normals: (H, W, 3), optical frame, facing the camera;
    zero or NaN where unknown. camera: K (3, 3) of this picture, or a CameraModel. camera_height:
    metres from the floor to the optical centre, along the floor's normal; its error becomes the
    scale's error, one to one. gravity: (3,) the direction of down in the optical frame (from an
    IMU or TF), any length; without it the camera is taken to be level within 48 degrees.
    Deterministic for a seed.

    Never raises for pictures, whatever they hold: without a floor that can be believed the scale
    comes back with ok False and its reason. A table that fills the view looks like a floor and is
    taken for one. Raises ValueError, one line, for a height that is not positive, an uncalibrated
    camera, or a gravity that is no direction.
    """
    height = float(camera_height)
    if not (np.isfinite(height) and height > 0):
        raise ValueError(f'depth.camera_height: {height:g} m, it must be positive')
    up = np.array([0.0, -1.0, 0.0])
    if gravity is not None:
        gravity = np.asarray(gravity, np.float64).ravel()
        if gravity.shape != (3,) or not np.isfinite(gravity).all() or np.linalg.norm(gravity) < 1e-9:
            raise ValueError('gravity: three finite numbers that are not all zero are needed')
        up = -gravity / np.linalg.norm(gravity)
    disparity = np.asarray(disparity, np.float32)
    normals = np.asarray(normals, np.float32)
    if disparity.ndim != 2 or normals.shape != (*disparity.shape, 3) or min(disparity.shape) < 4 * TILE:
        return Scale.refused(f'the picture is too small to see a floor, {4 * TILE} pixels a side are needed')

    # 1. Shrink: noise goes, the floor stays                                  (h, w), (h, w, 3)
    small, facing, rays = _shrink(disparity, normals, as_camera(camera, disparity.shape))
    known = np.isfinite(small)
    if np.count_nonzero(known) < 0.1 * small.size:
        return Scale.refused('too little of the disparity is known')
    low, high = np.percentile(small[known], [5, 95])
    if high - low < 0.05:
        return Scale.refused('the disparity is flat, near and far are both needed')

    # 2. Flat patches, and the shift that turns their planes to their normals
    tiles = _flat_tiles(small, facing, rays)
    if len(tiles.plane) < 8:
        return Scale.refused('too few flat surfaces are in view')
    upward = tiles.normal @ up > (UP_CONE if gravity is None else GRAVITY_CONE)
    shift, cost = _fit_shift(tiles, np.where(upward, 1.0, 0.7), up[None] if gravity is not None else None, upward)
    if cost > 0.75:
        return Scale.refused('the normals and the disparity do not fit together')

    # 3. Planes among what faces up; the floor is the lowest of them
    candidates = np.isfinite(facing).all(-1) & known & (facing @ up > (UP_CONE if gravity is None else GRAVITY_CONE))
    found = _planes(small, rays, candidates, np.random.default_rng(seed))
    if not found:
        return Scale.refused('no floor is in view')
    stretched = [np.linalg.norm(plane + [0, 0, shift]) for plane, _ in found]
    floor, on_floor = found[int(np.argmin(stretched))]

    # 4. With gravity the floor's own direction is known, better than any network sees it
    direct = _shift_of_floor(floor, up if gravity is not None else _mean_direction(facing[on_floor]))
    if gravity is not None and direct is not None:
        shift = direct
    vector = floor + [0, 0, shift]
    a = 1 / (height * np.linalg.norm(vector))
    b = a * shift

    # 5. Whether to believe it
    share = np.count_nonzero(on_floor) / small.size
    if share < SMALLEST_FLOOR:
        return Scale.refused(f'only {share:.0%} of the picture is floor, {SMALLEST_FLOOR:.0%} are needed')
    span = np.ptp(np.percentile(small[on_floor], [2, 98]))
    if span < 0.05:
        return Scale.refused('the floor in view is at one distance only')
    tilt = np.degrees(np.arccos(np.clip(-vector @ _mean_direction(facing[on_floor]) / np.linalg.norm(vector), -1, 1)))
    if tilt > 8:
        return Scale.refused(f'the floor is tilted by {tilt:.0f} degrees against its own normals')
    middle = np.median(small[on_floor])
    if direct is not None and gravity is None:
        apart = abs(np.log((middle + max(direct, 0.0)) * np.linalg.norm(floor + [0, 0, shift])
                           / (middle + shift) / np.linalg.norm(floor + [0, 0, direct])))
        if apart > 0.25:
            return Scale.refused(f"the floor's normals and the other surfaces' disagree on the scale by {apart:.0%}")
    with np.errstate(invalid='ignore'):
        predicted = floor[0] * rays[0] + floor[1] * rays[1] + floor[2]
        below = known & (small + shift < 0.8 * (predicted + shift)) & (predicted > low + 0.1 * (high - low))
    beneath = np.count_nonzero(below) / np.count_nonzero(known)
    if beneath > MOST_BELOW:
        return Scale.refused(f'{beneath:.0%} of the picture would lie below the floor: a table, not a floor')
    with np.errstate(invalid='ignore', divide='ignore'):
        off = np.abs(small - predicted)[on_floor] / (predicted + shift)[on_floor]
    return Scale(float(a), float(b), 1.48 * float(np.median(off)), True)


def _shrink(disparity, normals, camera):
    """Area averages of the known pixels: disparity (h, w), unit normals (h, w, 3), NaN where
    fewer than half are known; and the rays there."""
    height, width = disparity.shape
    factor = max(1.0, width / WORKING_WIDTH)
    size = max(1, round(width / factor)), max(1, round(height / factor))
    valid = np.isfinite(disparity)
    whole = bool(valid.all())
    filled = disparity if whole else np.where(valid, disparity, np.float32(0))
    small = cv2.resize(filled, size, interpolation=cv2.INTER_AREA)
    if not whole:
        share = cv2.resize(valid.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        small = np.where(share > 0.4, small / np.maximum(share, 1e-6), np.float32(np.nan))
    if not np.isfinite(normals[::7, ::7]).all() or not np.isfinite(normals.sum()):
        normals = np.nan_to_num(normals, nan=0.0, posinf=0.0, neginf=0.0)
    facing = cv2.resize(normals, size, interpolation=cv2.INTER_AREA)
    length = np.linalg.norm(facing, axis=-1, keepdims=True)
    facing = np.where(length > 0.4, facing / np.maximum(length, 1e-6), np.float32(np.nan))
    return small, facing, camera.resized(size).rays()


def _flat_tiles(small, facing, rays):
    """Least squares D = alpha x + beta y + gamma in every tile at once; tiles across an edge
    are left out."""
    rows, columns = (n // TILE for n in small.shape)

    def tiled(picture):
        return (picture[:rows * TILE, :columns * TILE].reshape(rows, TILE, columns, TILE)
                .transpose(0, 2, 1, 3).reshape(rows * columns, TILE * TILE))

    x, y, d = (tiled(picture).astype(np.float64) for picture in (*rays, small))
    w = np.isfinite(d) & np.isfinite(x) & (d > 0.003) & (d < 0.997)  # clipped disparity is no plane
    x, y, d = (np.where(w, part, 0) for part in (x, y, d))
    facing = np.nan_to_num(facing)
    normal = np.stack([tiled(facing[..., i]).sum(1) for i in range(3)], -1).astype(np.float64)
    seen = tiled((facing != 0).any(-1)).sum(1)
    length = np.linalg.norm(normal, axis=1)
    good = (w.sum(1) > 0.6 * TILE ** 2) & (seen > 0.6 * TILE ** 2) & (length > 0.94 * seen)
    if not good.any():
        return Tiles(np.zeros((0, 3)), np.zeros((0, 3)))
    x, y, d, w, normal = x[good], y[good], d[good], w[good], normal[good] / length[good, None]
    count = w.sum(1)
    mx, my, md = x.sum(1) / count, y.sum(1) / count, d.sum(1) / count
    x, y, d = ((part - mean[:, None]) * w for part, mean in ((x, mx), (y, my), (d, md)))
    sxx, syy, sxy = (x * x).sum(1), (y * y).sum(1), (x * y).sum(1)
    sxd, syd = (x * d).sum(1), (y * d).sum(1)
    determinant = np.maximum(sxx * syy - sxy ** 2, 1e-18)
    alpha = (sxd * syy - syd * sxy) / determinant
    beta = (syd * sxx - sxd * sxy) / determinant
    rest = np.sqrt(((d - alpha[:, None] * x - beta[:, None] * y) ** 2).sum(1) / count)
    smooth = rest < 0.02
    plane = np.stack([alpha, beta, md - alpha * mx - beta * my], -1)
    return Tiles(plane[smooth], normal[smooth])


def _fit_shift(tiles, weight, up, upward):
    """c that turns the tiles' planes to their normals, and what is left (mean truncated angle, in
    units of the truncation).

    A network's normals share a small rotation (their bias) that pulls c when only one direction
    is in view. Angles BETWEEN surfaces do not feel it, so it is fitted along, held small by
    what is usual."""
    normal = tiles.normal
    if up is not None:
        normal = np.where(upward[:, None], up, normal)

    def cost(shift, rounds=2):
        direction = -(tiles.plane + [0, 0, shift])
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        turned = normal
        turn = np.zeros(3)
        for _ in range(rounds):
            angle = np.linalg.norm(np.cross(turned, direction), axis=1)
            w = weight * np.clip(1 - (angle / TRUNCATED) ** 2, 0, None)
            # turn x n = direction - n, least squares for the turn: sum w (I - n n') turn = sum w n x direction
            moments = (np.eye(3) * w.sum() - (normal * w[:, None]).T @ normal
                       + np.eye(3) * (np.radians(3) / NORMAL_BIAS) ** 2 * 12)
            turn = np.linalg.solve(moments, (np.cross(normal, direction) * w[:, None]).sum(0))
            turned = normal + np.cross(turn, normal)
        angle = np.arccos(np.clip((turned * direction).sum(1) / np.linalg.norm(turned, axis=1), -1, 1))
        data = (weight * np.minimum(angle / TRUNCATED, 1) ** 2).sum() / weight.sum()
        prior = 12 * (turn @ turn) * (np.radians(3) / NORMAL_BIAS) ** 2 / TRUNCATED ** 2 / weight.sum()
        return data + prior, (weight * np.minimum(angle / TRUNCATED, 1)).sum() / weight.sum()

    costs = [cost(shift)[0] for shift in SHIFTS[::4]]
    best = 4 * int(np.argmin(costs))
    near = SHIFTS[max(0, best - 4):best + 5]
    fine = np.geomspace(near[0], near[-1], 15)
    costs = [cost(shift)[0] for shift in fine]
    best = int(np.argmin(costs))
    shift = fine[best]
    if 0 < best < len(fine) - 1:
        before, here, after = costs[best - 1:best + 2]
        bend = before - 2 * here + after
        if bend > 0:
            shift = fine[best] * (fine[1] / fine[0]) ** (0.5 * (before - after) / bend)
    return float(shift), cost(shift)[1]


def _planes(small, rays, candidates, rng, most=4):
    """Planes D = alpha x + beta y + gamma among the candidate pixels, largest first: [(plane
    (3,), bool (h, w))]."""
    found = []
    x, y = (ray.astype(np.float64) for ray in rays)
    left = candidates & np.isfinite(x)
    smallest = 0.02 * small.size
    tolerance = 0.06 * (0.35 + np.nan_to_num(small))
    while len(found) < most and np.count_nonzero(left) > smallest:
        rows, columns = np.nonzero(left)
        some = rng.permutation(len(rows))[:1500]
        r, c = rows[some], columns[some]
        points = np.stack([x[r, c], y[r, c], np.ones(len(r))], -1)
        d, allowed = small[r, c].astype(np.float64), tolerance[r, c]
        triples = rng.integers(0, len(d), (150, 3))
        corners = points[triples]
        usable = np.abs(np.linalg.det(corners)) > 1e-4
        if not usable.any():
            break
        planes = np.linalg.solve(corners[usable], d[triples[usable]][..., None])[..., 0]
        miss = np.abs(planes @ points.T - d) / allowed
        plane = planes[np.argmin(np.minimum(miss, 1).sum(1))]
        for _ in range(3):
            near = np.abs(points @ plane - d) < allowed
            if np.count_nonzero(near) < 10:
                break
            w = 1 / allowed[near]
            plane = np.linalg.lstsq(points[near] * w[:, None], d[near] * w, rcond=None)[0]
        inside = left & (np.abs(plane[0] * x + plane[1] * y + plane[2] - small) < tolerance)
        if np.count_nonzero(inside) < smallest:
            break
        found.append((plane, inside))
        left &= ~inside
    return found


def _mean_direction(normals):
    """The mean of unit normals (n, 3), unit length."""
    mean = np.nanmean(normals.astype(np.float64), 0)
    return mean / max(np.linalg.norm(mean), 1e-9)


def _shift_of_floor(floor, normal):
    """c that makes the plane's normal lie along `normal`, in the least squares of the two
    tangents; None where the plane is seen face on and any c would do."""
    # (alpha, beta, gamma + c) = -s n; s from the first two, c from the third.
    sideways = normal[:2] @ normal[:2]
    if sideways < 0.05:
        return None
    s = -(floor[:2] @ normal[:2]) / sideways
    return float(-s * normal[2] - floor[2]) if s > 0 else None

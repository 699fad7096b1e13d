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
from diception_ros.geometry.scale import SATURATED, Scale

WORKING_WIDTH = 160  # pixels; the floor is large, a picture this small shows all of it
TILE = 8  # working pixels a side of the patches that are fitted with planes
TRUNCATED = np.radians(10)  # angle beyond which a tile is taken for a wrong one
# How far a floor's normal may be from the picture's up, and from the true one where it is known.
UP_CONE, GRAVITY_CONE = np.cos(np.radians([48, 25]))
SHIFTS = np.geomspace(0.004, 6.0, 17)  # c to try: far / near of 250 to 1.2
SPREAD = 0.005  # cost by which one shift must beat another to be e times as likely
PRIOR_TILES = 1.0  # how many tiles the belief in a small bias is worth
NORMAL_BIAS = np.radians(2)  # what a network's normals may all be turned by
SMALLEST_FLOOR = 0.04  # share of the picture
MOST_TILT = 8.0  # degrees between a plane from disparity and its own normals
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
    up, cone = np.array([0.0, -1.0, 0.0]), UP_CONE
    if gravity is not None:
        gravity = np.asarray(gravity, np.float64).ravel()
        if gravity.shape != (3,) or not np.isfinite(gravity).all() or not gravity.any():
            raise ValueError('gravity: three finite numbers that are not all zero are needed')
        up, cone = -gravity / np.linalg.norm(gravity), GRAVITY_CONE
    disparity = np.asarray(disparity, np.float32)
    normals = np.asarray(normals, np.float32)
    if disparity.ndim != 2 or normals.shape != (*disparity.shape, 3):
        return Scale.refused('disparity and normals are not of one picture')
    if min(disparity.shape) < 4 * TILE:
        return Scale.refused(f'the picture is too small to see a floor, {4 * TILE} pixels a side '
                             'are needed')

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
    upward = tiles.normal @ up > cone
    if gravity is not None:
        tiles.normal[upward] = up
    shift, left = _fit_shift(tiles, np.where(upward, 1.0, 0.7))
    if left > 0.75:
        return Scale.refused('the normals and the disparity do not fit together')

    # 3. Planes among what faces up; the floor is the lowest of them
    candidates = np.isfinite(facing).all(-1) & known & (facing @ up > cone)
    found = _planes(small, rays, candidates, np.random.default_rng(seed))
    if not found:
        return Scale.refused('no floor is in view')
    vectors = [plane + [0, 0, shift] for plane, _ in found]
    seen = [_mean_direction(facing[inside]) for _, inside in found]
    tilts = [_tilt(vector, normal) for vector, normal in zip(vectors, seen)]
    shares = [np.count_nonzero(inside) / small.size for _, inside in found]
    sound = [k for k in range(len(found)) if tilts[k] < MOST_TILT and shares[k] > SMALLEST_FLOOR]
    if not sound:
        return Scale.refused(
            f'what faces up is {max(shares):.0%} of the picture and tilted by {min(tilts):.0f} '
            'degrees against its own normals: no floor')
    lowest = min(sound, key=lambda k: np.linalg.norm(vectors[k]))  # the others are tables
    (floor, on_floor), normal = found[lowest], seen[lowest]

    # 4. With gravity the floor's own direction is known, better than any network sees it
    direct = _shift_of_floor(floor, normal if gravity is None else up)
    if gravity is not None and direct is not None:
        shift = direct
    vector = floor + [0, 0, shift]
    a = 1 / (height * np.linalg.norm(vector))
    b = a * shift

    # 5. Whether to believe it
    span = np.ptp(np.percentile(small[on_floor], [2, 98]))
    if span < 0.05:
        return Scale.refused('the floor in view is at one distance only')
    if _tilt(vector, normal) > MOST_TILT:
        return Scale.refused('the floor is tilted against its own normals')
    middle = np.median(small[on_floor])
    if direct is not None and gravity is None:
        apart = abs(np.log((middle + max(direct, 0.0)) * np.linalg.norm(floor + [0, 0, shift])
                           / (middle + shift) / np.linalg.norm(floor + [0, 0, direct])))
        if apart > 0.25:
            return Scale.refused("the floor's normals and the other surfaces' disagree on the "
                                 f'scale by {apart:.0%}')
    with np.errstate(invalid='ignore'):
        predicted = floor[0] * rays[0] + floor[1] * rays[1] + floor[2]
        below = known & (small + shift < 0.8 * (predicted + shift))
        below &= predicted > low + 0.1 * (high - low)
    beneath = np.count_nonzero(below) / np.count_nonzero(known)
    if beneath > MOST_BELOW:
        return Scale.refused(f'{beneath:.0%} of the picture would lie below the floor: a table, '
                             'not a floor')
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
    w = np.isfinite(d) & np.isfinite(x) & (d > SATURATED) & (d < 1 - SATURATED)
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


def _fit_shift(tiles, weight):
    """c that turns the tiles' planes to their normals, and what is left (mean truncated angle, in
    units of the truncation). weight: (n,).

    A network's normals share a small rotation (their bias) that pulls c when only one direction is
    in view. Angles BETWEEN surfaces do not feel it, so it is fitted along, held small by what is
    usual.
    """
    normal = tiles.normal
    prior = PRIOR_TILES * (TRUNCATED / NORMAL_BIAS) ** 2
    outer = np.einsum('n,ni,nj->nij', weight, normal, normal)

    def cost(shifts):
        """What is left at each of the shifts: squared with the prior, and linear, both (s,)."""
        direction = np.empty((len(shifts), *tiles.plane.shape))
        direction[..., :2] = -tiles.plane[:, :2]
        direction[..., 2] = -tiles.plane[:, 2] - shifts[:, None]
        direction /= np.sqrt((direction ** 2).sum(-1, keepdims=True))
        wanted = _cross(normal, direction)                                     # (s, n, 3)
        turn = np.zeros((len(shifts), 1, 3))
        for _ in range(2):
            turned = normal + _cross(turn, normal)
            missing = ((_cross(turned, direction)) ** 2).sum(-1) / TRUNCATED ** 2
            trust = np.clip(1 - missing, 0, None)                              # (s, n)
            # turn x n = direction - n in the least squares: (I - n n') turn = n x direction
            moments = (np.eye(3) * ((trust * weight).sum(-1) + prior)[:, None, None]
                       - (trust @ outer.reshape(len(weight), 9)).reshape(-1, 3, 3))
            right = ((trust * weight)[..., None] * wanted).sum(1)
            turn = np.linalg.solve(moments, right[..., None])[:, None, :, 0]
        turned = normal + _cross(turn, normal)
        cosine = (turned * direction).sum(-1) / np.sqrt((turned ** 2).sum(-1))
        angle = np.minimum(np.arccos(np.clip(cosine, -1, 1)) / TRUNCATED, 1)
        held = prior * (turn ** 2).sum((1, 2)) / TRUNCATED ** 2
        return (angle ** 2 @ weight + held) / weight.sum(), angle @ weight / weight.sum()

    # The mean over what is about as good, not the best: far views leave a wide choice, whose lower
    # end (all of the picture's far side at infinity) would make everything too far.
    costs, left = cost(SHIFTS)
    lowest = float(left[np.argmin(costs)])
    near = np.flatnonzero(costs < costs.min() + 4 * SPREAD)
    first, last = max(near[0] - 1, 0), min(near[-1] + 1, len(SHIFTS) - 1)
    fine = np.geomspace(SHIFTS[first], SHIFTS[last], 25)
    costs, _ = cost(fine)
    likely = np.exp((costs.min() - costs) / SPREAD) * fine  # times the step, which grows with c
    return float(likely @ fine / likely.sum()), lowest


def _cross(one, other):
    """Cross products along the last axis, of shapes that broadcast."""
    x, y, z = one[..., 0], one[..., 1], one[..., 2]
    u, v, w = other[..., 0], other[..., 1], other[..., 2]
    return np.stack(np.broadcast_arrays(y * w - z * v, z * u - x * w, x * v - y * u), -1)


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


def _tilt(vector, normal):
    """Degrees between the normal that a plane's disparity tells and the one that was seen."""
    return np.degrees(np.arccos(np.clip(-vector @ normal / np.linalg.norm(vector), -1, 1)))


def _shift_of_floor(floor, normal):
    """c that makes the plane's normal lie along `normal`, in the least squares of the two
    tangents; None where the plane is seen face on and any c would do."""
    # (alpha, beta, gamma + c) = -s n; s from the first two, c from the third.
    sideways = normal[:2] @ normal[:2]
    if sideways < 0.05:
        return None
    s = -(floor[:2] @ normal[:2]) / sideways
    return float(-s * normal[2] - floor[2]) if s > 0 else None

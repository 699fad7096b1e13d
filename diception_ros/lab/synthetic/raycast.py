# SPDX-License-Identifier: Apache-2.0
"""Which surface every pixel's ray meets first, and how far off: analytic ray casting.

Rays are (x, y, 1) in the optical frame, so a ray's parameter IS the depth. Each solid is tried only
at the pixels of its bounding box; small solids of a kind go through one formula together.
"""

import numpy as np

from diception_ros.lab.synthetic import solids as shapes
from diception_ros.lab.synthetic.camera import corner_bounds, ellipsoid_bounds

LARGE = 1500        # pixels
_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)


class Placed:
    """Solids as one camera sees them: local_from_camera maps, the camera locally, bounds."""

    def __init__(self, solids, pose):
        rotation = pose[:3, :3]
        self.solids = solids
        local = solids.local()
        offset = pose[:3, 3] - solids.centre
        self.rays = (local @ rotation).astype(np.float32)       # (N, 3, 3): local ray of camera ray
        self.origin = (local @ offset[:, :, None])[:, :, 0]     # (N, 3): the camera, locally
        axes = rotation.T @ solids.axes()                       # (N, 3, 3): camera_from_local
        centre = -offset @ rotation
        bounds = np.empty((len(solids), 4))
        cones = solids.kind == shapes.ROUND_CONE
        if cones.any():
            a, c, s = axes[cones], centre[cones], solids.shape[cones]
            spread = a @ np.swapaxes(a, 1, 2)
            top = c + a[:, :, 2] * s[:, :1]
            first = ellipsoid_bounds(c, spread * (s[:, 1] ** 2)[:, None, None])
            second = ellipsoid_bounds(top, spread * (s[:, 2] ** 2)[:, None, None])
            bounds[cones, :2] = np.minimum(first, second)[:, :2]
            bounds[cones, 2:] = np.maximum(first, second)[:, 2:]
        rest = ~cones
        if rest.any():
            corners = centre[rest, None] + np.einsum('nij,kj->nki', axes[rest], _CORNERS)
            bounds[rest] = corner_bounds(corners)
        self.bounds = bounds

    def rectangles(self, x, y):
        """int (N, 4): left, top, right, bottom (exclusive) of pixels that may see each solid."""
        bounds = self.bounds.astype(np.float32)
        columns = np.searchsorted(x, bounds[:, [0, 2]].ravel()).reshape(-1, 2)
        rows = np.searchsorted(y, bounds[:, [1, 3]].ravel()).reshape(-1, 2)
        return np.stack([columns[:, 0], rows[:, 0], columns[:, 1], rows[:, 1]], axis=1)


def cast(placed, x, y, depth, surface, first=0):
    """Puts solids into a depth picture.

    `x`, `y`: slopes of columns (W,) and rows (H,), ascending. `depth` float32 (H, W) and `surface`
    int32 (H, W) hold what is known so far and are changed in place; solid n is surface `first + n`.
    """
    rectangles = placed.rectangles(x, y)
    width = rectangles[:, 2] - rectangles[:, 0]
    height = rectangles[:, 3] - rectangles[:, 1]
    seen = (width > 0) & (height > 0)
    kinds = placed.solids.kind
    for kind, meet in MEET.items():
        rows = np.flatnonzero(seen & (kinds == kind))
        area = width[rows] * height[rows]
        # what fills much of the picture goes alone, the many small ones together
        for row in rows[area > LARGE]:
            _cast_large(placed, row, rectangles[row], meet, x, y, depth, surface, first)
        rows = rows[area <= LARGE]
        start = 0
        while start < len(rows):        # in portions, so that large pictures stay in the cache
            areas = np.cumsum(width[rows[start:]] * height[rows[start:]])
            stop = start + max(1, int(np.searchsorted(areas, 60000, side='right')))
            _cast_small(placed, rows[start:stop], rectangles, meet, x, y, depth, surface, first)
            start = stop


def _cast_large(placed, row, rectangle, meet, x, y, depth, surface, first):
    left, top, right, bottom = rectangle.tolist()
    rays = placed.rays[row]
    step = max(1, 60000 // (right - left))
    for start in range(top, bottom, step):
        part = slice(start, min(bottom, start + step)), slice(left, right)
        across = rays[:, :1] * x[part[1]] + rays[:, 2:]
        down = rays[:, 1:2] * y[part[0]]
        d = (down[:, :, None] + across[:, None, :]).reshape(3, -1)
        with np.errstate(divide='ignore', invalid='ignore'):
            hit = meet(d, placed.origin[row:row + 1], placed.solids.shape[row:row + 1], slice(None))
        _keep_nearest(depth[part], surface[part], hit, first + row)


def _cast_small(placed, rows, rectangles, meet, x, y, depth, surface, first):
    left, top, right, bottom = rectangles[rows].T
    width, height = right - left, bottom - top
    area = width * height
    which = np.repeat(np.arange(len(rows)), area)
    ends = np.cumsum(area)
    rx = np.empty(ends[-1], np.float32)
    ry = np.empty(ends[-1], np.float32)
    begin = 0
    pieces = []
    for west, t, east, b, end in zip(left.tolist(), top.tolist(), right.tolist(), bottom.tolist(),
                               ends.tolist(), strict=True):
        shape = (b - t, east - west)
        rx[begin:end].reshape(shape)[:] = x[west:east]
        ry[begin:end].reshape(shape)[:] = y[t:b, None]
        pieces.append((begin, end, (slice(t, b), slice(west, east))))
        begin = end
    maps = placed.rays[rows].reshape(-1, 9).T
    d = []
    for i in range(0, 9, 3):
        ray = maps[i][which]
        ray *= rx
        tilt = maps[i + 1][which]
        tilt *= ry
        ray += tilt
        ray += maps[i + 2][which]
        d.append(ray)
    with np.errstate(divide='ignore', invalid='ignore'):
        hit = meet(d, placed.origin[rows], placed.solids.shape[rows], which)
    for row, (begin, end, part) in zip(rows.tolist(), pieces, strict=True):
        _keep_nearest(depth[part], surface[part], hit[begin:end], first + row)


def _keep_nearest(depth, surface, hit, number):
    hit = hit.reshape(depth.shape)
    nearer = hit < depth
    np.copyto(depth, hit, where=nearer)
    np.copyto(surface, np.int32(number), where=nearer)


def _meet_boxes(d, origin, _, which):
    near, far = None, None
    for axis in range(3):
        inverse = 1 / d[axis]
        middle = (-origin[:, axis]).astype(np.float32)[which] * inverse
        reach = np.abs(inverse, out=inverse)
        enter = middle - reach
        leave = np.add(middle, reach, out=middle)
        near = enter if near is None else np.maximum(near, enter, out=near)
        far = leave if far is None else np.minimum(far, leave, out=far)
    near[~((near < far) & (near > 0))] = np.inf
    return near


def _meet_cylinders(d, origin, _, which):
    ox, oy, oz = (column[which] for column in origin.astype(np.float32).T)
    # Measured from the ray's point nearest to the axis: float32 would lose a thin cylinder's roots.
    inverse = 1 / (d[0] * d[0] + d[1] * d[1])
    middle = -(d[0] * ox + d[1] * oy) * inverse
    cx, cy = ox + middle * d[0], oy + middle * d[1]
    root = np.sqrt((1 - (cx * cx + cy * cy)) * inverse)
    near, far = middle - root, middle + root
    inverse = 1 / d[2]
    middle, reach = -oz * inverse, np.abs(inverse)
    near = np.maximum(near, middle - reach, out=near)
    far = np.minimum(far, middle + reach, out=far)
    near[~((near < far) & (near > 0))] = np.inf
    return near


def _meet_round_cones(d, origin, shape, which):
    # Ball a at the origin, ball b at (0, 0, length); the cone that touches both has the half angle
    # asin(k). A point at height s and distance q from the axis is on it where c q + k s = ra,
    # c^2 + k^2 = 1.
    length, ra, rb = shape.T
    k = np.where(length > 0, (ra - rb) / np.maximum(length, 1e-9), 0)
    table = np.stack([*origin.T, length, ra, rb, k]).astype(np.float32)
    ox, oy, oz, length, ra, rb, k = (column[which] for column in table)
    dz = d[2]
    # Measured from the ray's point nearest to the origin: float32 would lose a small ball's roots.
    inverse = 1 / (d[0] * d[0] + d[1] * d[1] + dz * dz)
    middle = -(d[0] * ox + d[1] * oy + dz * oz) * inverse
    cx, cy, s = ox + middle * d[0], oy + middle * d[1], oz + middle * dz
    cc = cx * cx + cy * cy + s * s
    hit = np.sqrt((ra * ra - cc) * inverse)              # ball a
    np.negative(hit, out=hit)
    along = length * dz * inverse
    ball = along - np.sqrt(along * along - (cc + length * (length - 2 * s) - rb * rb) * inverse)
    hit = np.fmin(hit, ball, out=hit)
    low = ra * k
    a = (1 - k * k) - dz * dz * inverse                  # the cone, everything divided by |d|^2
    b = (low - s) * dz * inverse
    c = ((1 - k * k) * cc - s * s + 2 * low * s - ra * ra) * inverse
    cone = (-b - np.sqrt(b * b - a * c)) / a
    at = s + cone * dz
    cone[~((at > low) & (at < length + rb * k))] = np.inf
    hit = np.fmin(hit, cone, out=hit)
    hit += middle
    hit[~(hit > 0)] = np.inf
    return hit


# Depths (P,) at which rays enter their solids, inf where they miss. d: local rays, three of (P,);
# origin (N, 3) and shape (N, 3) of the solids; which (P,): the solid of each ray.
MEET = {shapes.BOX: _meet_boxes, shapes.CYLINDER: _meet_cylinders,
        shapes.ROUND_CONE: _meet_round_cones}


def surface_normals(placed, solid, rays, depth):
    """Normals in the optical frame, float32 (3, P), of any length, and the local hit points (3, P).

    `solid` int (P,): rows of `placed`; `rays` the two slopes (P,) each; `depth` (P,).
    """
    maps = placed.rays.reshape(-1, 9).T
    m = [column[solid] for column in maps]
    origin = placed.origin.astype(np.float32).T
    px, py = rays[0] * depth, rays[1] * depth
    p = [m[3 * i] * px + m[3 * i + 1] * py + m[3 * i + 2] * depth + origin[i][solid]
         for i in range(3)]
    kind = placed.solids.kind[solid]
    normal = np.empty((3, len(solid)), np.float32)

    cone = np.flatnonzero(kind == shapes.ROUND_CONE)
    x, y, z = (q[cone] for q in p)
    length, ra, rb = placed.solids.shape.T
    k = np.where(length > 0, (ra - rb) / np.maximum(length, 1e-9), 0)
    slant = (k / np.sqrt(1 - k * k)).astype(np.float32)[solid[cone]]
    foot = np.clip(z - np.sqrt(x * x + y * y) * slant, 0, length.astype(np.float32)[solid[cone]])
    normal[0, cone], normal[1, cone], normal[2, cone] = x, y, z - foot

    for flat in (shapes.BOX, shapes.CYLINDER):
        rows = np.flatnonzero(kind == flat)
        x, y, z = (q[rows] for q in p)
        if flat == shapes.BOX:
            ax, ay, az = np.abs(x), np.abs(y), np.abs(z)
            face = (ax >= ay) & (ax >= az)
            normal[0, rows] = np.where(face, np.sign(x), 0)
            side = ~face & (ay >= az)
            normal[1, rows] = np.where(side, np.sign(y), 0)
            normal[2, rows] = np.where(face | side, 0, np.sign(z))
        else:
            cap = z * z > x * x + y * y
            normal[0, rows] = np.where(cap, 0, x)
            normal[1, rows] = np.where(cap, 0, y)
            normal[2, rows] = np.where(cap, np.sign(z), 0)
    # A normal is a covector: it goes back by the transpose of the map.
    return np.stack([m[i] * normal[0] + m[3 + i] * normal[1] + m[6 + i] * normal[2]
                     for i in range(3)]), p

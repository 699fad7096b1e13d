# SPDX-License-Identifier: Apache-2.0
"""Point clouds from metric depth, packed as a PointCloud2 carries them, without the pixels that
fly between surfaces."""

from dataclasses import dataclass

import cv2
import numpy as np

from diception_ros.geometry.camera import as_camera

FIELDS = ('x', 'y', 'z', 'rgb', 'normal_x', 'normal_y', 'normal_z')  # float32 each
FLYING = 0.075  # relative distance, in inverse depth, from both the near and the far surface
FLYING_WINDOW = 7  # pixels
STRIP = 60  # rows
GOING_ON = 0.2  # of the change from -3 to 3 pixels: what a surface adds beyond that on either side


@dataclass(frozen=True)
class Cloud:
    """Points ready for a PointCloud2: little-endian float32 `fields`, one after the other, no
    padding.

    data: float32 (height, width, len(fields)), C-contiguous; width points a row, one row when not
    organised. rgb: the bits 0x00RRGGBB in a float32. is_dense: no point is NaN.
    """

    data: np.ndarray
    fields: tuple
    is_dense: bool

    @property
    def width(self):
        """Points a row."""
        return self.data.shape[1]

    @property
    def height(self):
        """Rows."""
        return self.data.shape[0]

    @property
    def point_step(self):
        """Bytes a point."""
        return 4 * len(self.fields)

    @property
    def row_step(self):
        """Bytes a row."""
        return self.point_step * self.width

    def tobytes(self):
        """The message's data."""
        return self.data.tobytes()


def point_cloud(depth, camera, rgb=None, normals=None, *, organised=False, stride=1, flying=False):
    """The cloud of a depth picture, in the optical frame.

    depth: (H, W) metres along Z, NaN or inf where unknown. camera: K (3, 3) or a CameraModel,
    distortion included. rgb: uint8 (H, W, 3); normals: float32 (H, W, 3), optical frame.
    organised: keep the picture's rows and columns, NaN for unknown points; otherwise only known
    points, one row. stride: every n-th row and column. flying: keep the pixels that
    `flying_pixels` would take out. Raises ValueError, one line, for a stride below 1, an
    uncalibrated camera, or pictures whose shapes differ from the depth's.
    """
    depth = np.asarray(depth, np.float32)
    if depth.ndim != 2:
        raise ValueError(f'depth: (H, W) is needed, got {depth.shape}')
    if int(stride) < 1:
        raise ValueError(f'points.stride: {stride}, it must be 1 or more')
    for name, picture in (('rgb', rgb), ('normals', normals)):
        if picture is not None and np.shape(picture) != (*depth.shape, 3):
            raise ValueError(f'{name}: {np.shape(picture)} does not belong to depth {depth.shape}')
    fields = FIELDS[:3] + FIELDS[3:4] * (rgb is not None) + FIELDS[4:] * (normals is not None)
    if not depth.size:
        return Cloud(np.zeros((1, 0, len(fields)), np.float32), fields, True)

    every = (slice(None, None, int(stride)),) * 2
    camera = as_camera(camera, depth.shape)
    x, y = (ray[every] for ray in camera.rays())
    z = depth[every]
    known = (z > 0) & (z < np.inf)
    if not flying:
        known &= ~flying_pixels(depth)[every]
    if camera.distorted:
        known &= np.isfinite(x)
    if normals is not None:
        normals = np.asarray(normals, np.float32)[every]
    parts = x, y, z, None if rgb is None else np.asarray(rgb)[every], normals
    if organised:
        data = np.empty((*z.shape, len(fields)), np.float32)
        _merge(parts, data)
        data[~known] = np.nan
        return Cloud(data, fields, bool(known.all()))
    # Strip by strip: what the processor's cache holds takes half the time of whole pictures.
    points = np.empty(np.count_nonzero(known), f'V{4 * len(fields)}')
    strip = np.empty((STRIP, z.shape[1], len(fields)), np.float32)
    done = 0
    for top in range(0, len(z), STRIP):
        rows = np.s_[top:top + STRIP]
        merged = strip[:len(z[rows])]
        _merge([None if part is None else part[rows] for part in parts], merged)
        chosen = merged.view(points.dtype)[..., 0][known[rows]]
        points[done:done + len(chosen)] = chosen
        done += len(chosen)
    return Cloud(points.view(np.float32).reshape(1, -1, len(fields)), fields, True)


def _merge(parts, data):
    """Writes the points of rays x, y (H, W), depth z, colours and normals (or None) into data."""
    x, y, z, rgb, normals = parts
    z = np.ascontiguousarray(z)
    planes = [cv2.multiply(np.ascontiguousarray(ray), z) for ray in (x, y)] + [z]
    if rgb is not None:
        planes.append(packed_rgb(rgb))
    if normals is not None:
        planes.append(np.ascontiguousarray(normals))
    cv2.mixChannels(planes, [data], [k for k in range(data.shape[2]) for _ in range(2)])


def packed_rgb(rgb):
    """uint8 (H, W, 3) to float32 (H, W) whose bits are 0x00RRGGBB, as RViz and PCL read them."""
    # B, G, R, 0 is how a little-endian 0x00RRGGBB lies in memory.
    four = cv2.cvtColor(np.ascontiguousarray(rgb, np.uint8), cv2.COLOR_RGB2BGRA)
    four[..., 3] = 0
    return four.view(np.float32)[..., 0]


def flying_pixels(depth):
    """Pixels of (H, W) depth that hang between a near and a far surface, bool (H, W).

    A blurred edge in a depth picture passes through every distance between the two sides; those
    points exist in no world. A pixel flies when its inverse depth is more than 7.5 % from both the
    least and the greatest of its 7x7 neighbourhood, unless the change goes on at the same pace on
    both sides: that is a surface seen at a grazing angle, linear in inverse depth. What is
    unknown does not fly, and counts as far away, as the sky is.
    """
    depth = np.asarray(depth, np.float32)
    if not depth.size:
        return np.zeros(depth.shape, bool)
    known = (depth > 1e-6) & (depth < np.inf)  # no more than float32 can invert
    with np.errstate(divide='ignore', invalid='ignore', over='ignore'):
        inverse = np.reciprocal(depth)
    inverse[~known] = 0
    square = np.ones((FLYING_WINDOW, FLYING_WINDOW), np.uint8)
    least, most = cv2.erode(inverse, square), cv2.dilate(inverse, square)
    between = cv2.min(cv2.subtract(inverse, least), cv2.subtract(most, inverse))
    flying = between > FLYING * inverse
    v, u = np.nonzero(flying)
    down = _at(inverse, v + 2, u) - _at(inverse, v - 2, u)
    right = _at(inverse, v, u + 2) - _at(inverse, v, u - 2)
    steepness = np.sqrt(down * down + right * right) + 1e-12
    down, right = down / steepness, right / steepness
    far_up, up, back, far_back = (
        _at(inverse, np.rint(v + r * down).astype(int), np.rint(u + r * right).astype(int))
        for r in (7, 3, -3, -7))
    going_on = np.minimum(far_up - up, back - far_back) > GOING_ON * (up - back)
    flying[v[going_on], u[going_on]] = False
    return flying


def _at(picture, rows, columns):
    """Values of a picture (H, W) at pixels, the border's beyond it."""
    height, width = picture.shape
    return picture[rows.clip(0, height - 1), columns.clip(0, width - 1)]

# SPDX-License-Identifier: Apache-2.0
"""Point clouds from metric depth, packed as a PointCloud2 carries them, without the pixels that
fly between surfaces."""

from dataclasses import dataclass

import cv2
import numpy as np

from diception_ros.geometry.camera import as_camera

FIELDS = ('x', 'y', 'z', 'rgb', 'normal_x', 'normal_y', 'normal_z')  # each a float32, in this order
FLYING = 0.08  # relative distance from both the nearer and the farther surface
FLYING_WINDOW = 9  # pixels


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
    x, y = (ray[every] for ray in as_camera(camera, depth.shape).rays())
    # Taking the infinite out here makes every later NaN the same kind of unknown.
    z = np.where(depth < np.inf, depth, np.float32(np.nan)) if np.isinf(depth).any() else depth
    z = z[every] if flying else np.where(flying_pixels(z)[every], np.float32(np.nan), z[every])
    planes = [x * z, y * z, z]
    if rgb is not None:
        planes.append(packed_rgb(np.asarray(rgb)[every]))
    if normals is not None:
        planes.extend(cv2.split(np.ascontiguousarray(np.asarray(normals, np.float32)[every])))
    data = cv2.merge([np.ascontiguousarray(plane) for plane in planes])
    known = (z > 0) & np.isfinite(x)
    if organised:
        data[~known] = np.nan
        return Cloud(data, fields, bool(known.all()))
    points = np.ascontiguousarray(data).view(f'V{4 * len(fields)}')[..., 0][known]
    return Cloud(points.view(np.float32).reshape(1, -1, len(fields)), fields, True)


def packed_rgb(rgb):
    """uint8 (H, W, 3) to float32 (H, W) whose bits are 0x00RRGGBB, as RViz and PCL read them."""
    # B, G, R, 0 is how a little-endian 0x00RRGGBB lies in memory.
    four = cv2.cvtColor(np.ascontiguousarray(rgb, np.uint8), cv2.COLOR_RGB2BGRA)
    four[..., 3] = 0
    return four.view(np.float32)[..., 0]


def flying_pixels(depth):
    """Pixels of (H, W) depth that hang between a near and a far surface, bool (H, W).

    A blurred edge in a depth picture passes through every distance between the two sides; those
    points exist in no world. A pixel flies when it is more than 8 % away from both the nearest and
    the farthest depth of its 9x9 neighbourhood. Unknown pixels neither fly nor count.
    """
    depth = np.asarray(depth, np.float32)
    if not depth.size:
        return np.zeros(depth.shape, bool)
    unknown = ~np.isfinite(depth)
    square = np.ones((FLYING_WINDOW, FLYING_WINDOW), np.uint8)
    holes = bool(unknown.any())
    nearest = cv2.erode(np.where(unknown, np.float32(np.inf), depth) if holes else depth, square)
    farthest = cv2.dilate(np.where(unknown, np.float32(-np.inf), depth) if holes else depth, square)
    with np.errstate(invalid='ignore'):
        return np.minimum(depth - nearest, farthest - depth) > FLYING * depth

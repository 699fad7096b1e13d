# SPDX-License-Identifier: Apache-2.0
"""Surface normals differentiated from depth: what the published normals are compared with, and
what a cloud gets when no normals are asked for."""

import numpy as np

from diception_ros.geometry.camera import as_camera


def normals_from_depth(depth, camera, step=1):
    """Unit normals of a depth picture: float32 (H, W, 3), optical frame, facing the camera; NaN
    where unknown.

    depth: (H, W) metres along Z, NaN or inf where unknown. camera: K (3, 3) or a CameraModel,
    distortion included. step: pixels between the differentiated neighbours; more is smoother.
    Exact on planes, because 1 / z is linear there in ray coordinates; of the differences to either
    side the smaller one is taken, which is the side of the same surface. Raises ValueError for an
    uncalibrated camera.
    """
    depth = np.asarray(depth, np.float32)
    if depth.ndim != 2 or min(depth.shape) < step + 1:
        return np.full((*depth.shape[:2], 3), np.nan, np.float32)
    x, y = as_camera(camera, depth.shape).rays()
    with np.errstate(divide='ignore', invalid='ignore'):
        inverse = np.where(depth > 0, 1 / depth, np.nan)
        inverse[~np.isfinite(depth)] = np.nan
    du, dv = _difference(inverse, 1, step), _difference(inverse, 0, step)
    # The chain rule through the lens: (dq/du, dq/dv) = J' (dq/dx, dq/dy), J = d(x, y) / d(u, v).
    xu, xv, yu, yv = (np.gradient(ray, axis=axis) for ray in (x, y) for axis in (1, 0))
    with np.errstate(divide='ignore', invalid='ignore'):
        determinant = xu * yv - xv * yu
        alpha = (du * yv - dv * yu) / determinant
        beta = (dv * xu - du * xv) / determinant
        gamma = inverse - alpha * x - beta * y
        normals = -np.stack([alpha, beta, gamma], -1)
        normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return normals.astype(np.float32)


def angle_between(one, other):
    """Degrees between two normal pictures (..., 3), float32 (...); NaN where either is unknown
    (NaN or zero)."""
    one, other = np.asarray(one, np.float32), np.asarray(other, np.float32)
    with np.errstate(divide='ignore', invalid='ignore'):
        lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
        cosine = np.where(lengths > 0, (one * other).sum(-1) / lengths, np.nan)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1))).astype(np.float32)


def _difference(picture, axis, step):
    """Difference per pixel along an axis: of the one to the pixel before and the one to the
    pixel after, the smaller."""
    picture = np.moveaxis(picture, axis, 0)
    ahead = np.full(picture.shape, np.nan, np.float32)
    behind = np.full(picture.shape, np.nan, np.float32)
    ahead[:-step] = (picture[step:] - picture[:-step]) / step
    behind[step:] = ahead[:-step]
    with np.errstate(invalid='ignore'):
        smaller = np.where((np.abs(ahead) <= np.abs(behind)) | np.isnan(behind), ahead, behind)
    return np.moveaxis(smaller, 0, axis)

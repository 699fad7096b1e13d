# SPDX-License-Identifier: Apache-2.0
"""Surface normals differentiated from depth: what the published normals are compared with, and
what a cloud gets when no normals are asked for."""

import cv2
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
    camera = as_camera(camera, depth.shape)
    x, y = camera.rays()
    with np.errstate(divide='ignore', invalid='ignore', over='ignore'):
        inverse = np.where((depth > 1e-6) & (depth < np.inf), 1 / depth, np.float32(np.nan))
        du, dv = _difference(inverse, 1, step), _difference(inverse, 0, step)
        alpha, beta = _along_rays(du, dv, camera)
        gamma = inverse - alpha * x - beta * y
        scale = -1 / np.sqrt(alpha * alpha + beta * beta + gamma * gamma)
        return cv2.merge([alpha * scale, beta * scale, gamma * scale])


def _along_rays(du, dv, camera):
    """Derivatives along x and y of what changes by du, dv per pixel: the chain rule through the
    lens, (dq/du, dq/dv) = J' (dq/dx, dq/dy) with J = d(x, y) / d(u, v)."""
    if not camera.distorted:
        alpha = du * np.float32(camera.K[0, 0])
        return alpha, dv * np.float32(camera.K[1, 1]) + alpha * np.float32(
            camera.K[0, 1] / camera.K[0, 0])
    xu, xv, yu, yv = (np.gradient(ray, axis=axis) for ray in camera.rays() for axis in (1, 0))
    determinant = xu * yv - xv * yu
    return (du * yv - dv * yu) / determinant, (dv * xu - du * xv) / determinant


def angle_between(one, other):
    """Degrees between two normal pictures (..., 3), float32 (...); NaN where either is unknown
    (NaN or zero)."""
    one, other = np.asarray(one, np.float32), np.asarray(other, np.float32)
    with np.errstate(divide='ignore', invalid='ignore'):
        lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
        cosine = np.where(lengths > 0, (one * other).sum(-1) / lengths, np.nan)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1))).astype(np.float32)


def _difference(picture, axis, step):
    """Difference per pixel along an axis: of the one to the pixel before and the one to the pixel
    after, the smaller, or the only one."""
    ahead, behind = np.full((2, *picture.shape), np.nan, np.float32)
    first, last = ((np.s_[:-step], np.s_[step:]) if axis == 0
                   else (np.s_[:, :-step], np.s_[:, step:]))
    ahead[first] = behind[last] = (picture[last] - picture[first]) / np.float32(step)
    return np.where(np.isnan(behind) | (np.abs(ahead) <= np.abs(behind)), ahead, behind)

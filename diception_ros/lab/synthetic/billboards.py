# SPDX-License-Identifier: Apache-2.0
"""Real pixels in a scene: flat cut-outs at known places, standing like cardboard or lying flat."""

from dataclasses import dataclass

import cv2
import numpy as np

from diception_ros.tasks import Person

NEAREST = .15        # metres: what comes nearer to the camera is not shown


@dataclass
class Billboard:
    """An RGBA picture on a rectangle in the world; only where it is opaque there is something."""

    rgba: np.ndarray         # uint8 (H, W, 4), sRGB
    foot: np.ndarray         # float64 (3,), world: the middle of its lower edge
    right: np.ndarray        # float64 (3,), unit: along its lower edge
    up: np.ndarray           # float64 (3,), unit: towards its upper edge
    size: tuple              # width, height in metres
    instance: int
    gain: tuple = (1.0, 1.0, 1.0)     # of its linear colours, in the scene's light
    lit: bool = False        # shaded as the surface is that it lies on
    keypoints: np.ndarray | None = None   # float (17, 3) of a person: x, y in pixels of rgba, v

    def map(self, camera):
        """float64 (3, 3): the optical frame's point of a texel (u, v, 1), or None: too near."""
        rotation = camera.pose[:3, :3]
        high, wide = self.rgba.shape[:2]
        foot = (self.foot - camera.pose[:3, 3]) @ rotation
        across = self.right @ rotation * (self.size[0] / wide)
        down = self.up @ rotation * (-self.size[1] / high)
        corner = foot - across * (wide / 2 - .5) - down * (high - .5)
        matrix = np.stack([across, down, corner], axis=1)
        ends = matrix @ np.array([[-.5, wide - .5, -.5, wide - .5],
                                  [-.5, -.5, high - .5, high - .5], [1, 1, 1, 1]])
        return None if ends[2].min() < NEAREST else matrix

    def warped(self, camera):
        """What a camera sees of it: a part (rows, columns) of the picture, premultiplied linear
        RGB and alpha float32 (h, w, 4) and depth float32 (h, w) there; None: nothing."""
        matrix = self.map(camera)
        if matrix is None:
            return None
        rgba = self.rgba
        high, wide = rgba.shape[:2]
        project = camera.intrinsics @ matrix
        ends = project @ np.array([[-.5, wide - .5, -.5, wide - .5],
                                   [-.5, -.5, high - .5, high - .5], [1, 1, 1, 1]])
        ends = ends[:2] / ends[2]
        low = np.maximum(np.floor(ends.min(axis=1)).astype(int) - 1, 0)
        top = np.minimum(np.ceil(ends.max(axis=1)).astype(int) + 2, camera.size)
        size = top - low
        if size.min() < 1:
            return None
        # no more texels than there are pixels, or they would flicker
        extent = np.maximum(np.ptp(ends, axis=1), 1)
        shrink = np.minimum(1, extent / (wide, high))
        alpha = np.ascontiguousarray(rgba[..., 3])
        image = cv2.multiply(np.ascontiguousarray(rgba[..., :3]), cv2.merge([alpha] * 3),
                             scale=1 / 255)
        if shrink.min() < .9:
            small = np.maximum(2, np.round((wide, high) * shrink)).astype(int)
            image = cv2.resize(image, small.tolist(), interpolation=cv2.INTER_AREA)
            alpha = cv2.resize(alpha, small.tolist(), interpolation=cv2.INTER_AREA)
            step = (wide, high) / small
            project = project @ np.array([[step[0], 0, step[0] / 2 - .5],
                                          [0, step[1], step[1] / 2 - .5], [0, 0, 1]])
        linear = np.empty((*alpha.shape, 4), np.float32)
        linear[..., 3] = alpha * np.float32(1 / 255)
        colour = image / np.maximum(alpha, 1)[..., None].astype(np.float32)
        linear[..., :3] = colour * colour * (.8 + .2 * colour) * linear[..., 3:]    # about ** 2.2
        project = np.array([[1, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1]]) @ project
        image = cv2.warpPerspective(linear, project, size.tolist(), flags=cv2.INTER_LINEAR)
        normal = np.cross(matrix[:, 0], matrix[:, 1])
        x, y = camera.slopes()
        x, y = x[low[0]:top[0]], y[low[1]:top[1]]
        with np.errstate(divide='ignore'):
            depth = (normal @ matrix[:, 2]) / (normal[0] * x + (normal[1] * y + normal[2])[:, None])
        return (slice(low[1], top[1]), slice(low[0], top[0])), image, depth.astype(np.float32)

    def normal(self, camera):
        """float32 (3,): its normal in the optical frame, facing the camera."""
        normal = np.cross(self.right, self.up)
        normal = normal if normal @ (camera.pose[:3, 3] - self.foot) > 0 else -normal
        return (normal @ camera.pose[:3, :3]).astype(np.float32)

    def joints(self):
        """float64 (17, 3): the keypoints in the world."""
        high, wide = self.rgba.shape[:2]
        along = ((self.keypoints[:, :1] + .5) / wide - .5) * self.size[0]
        above = (1 - (self.keypoints[:, 1:2] + .5) / high) * self.size[1]
        return self.foot + along * self.right + above * self.up


def warp(boards, camera):
    """Billboards that a camera may see, from the farthest to the nearest, with what they show."""
    found = [(board, board.warped(camera)) for board in boards]
    found = [(board, seen) for board, seen in found if seen is not None]
    return sorted(found, key=lambda pair: -float(np.median(pair[1][2])))


def show(found, camera, depth, instances, normals, colour=None, light=None):
    """Puts billboards, as `warp` returns them, into a picture, in place.

    depth float32 (H, W), instances int32 (H, W), normals: three float32 (H * W,); colour and light
    float32 (3, H * W), linear. Returns the mask bool (H, W) of where billboards are seen.
    """
    shown = np.zeros(depth.shape, bool)
    planes = [n.reshape(depth.shape) for n in normals]
    shape = (3, *depth.shape)
    for board, (part, image, distance) in found:
        free = (distance < depth[part]) & (distance > 0)
        if colour is not None:
            alpha = image[..., 3] * free
            colours = colour.reshape(shape)[:, part[0], part[1]]
            lights = light.reshape(shape)[:, part[0], part[1]]
            if not board.lit:
                lights = lights.mean(axis=(1, 2), keepdims=True)
            gain = np.reshape(np.float32(board.gain), (3, 1, 1))
            own = image[..., :3].transpose(2, 0, 1) * (gain * lights) * free
            colours *= 1 - alpha
            colours += own
        mask = free & (image[..., 3] > .5)
        depth[part][mask] = distance[mask]
        instances[part][mask] = board.instance
        shown[part][mask] = not board.lit
        for plane, component in zip(planes, board.normal(camera), strict=True):
            plane[part][mask] = component
    return shown


def people_of(boards, camera, instances, categories):
    """The Persons of whom the picture shows a pixel, joints 0 where the cut-out does not know."""
    people = []
    for board in boards:
        if board.keypoints is None or board.instance not in categories:
            continue
        joints = board.joints()
        pixels, _ = camera.project(joints)
        height, width = instances.shape
        keypoints = np.zeros((17, 3), np.float32)
        known = board.keypoints[:, 2] > 0
        inside = known & ((pixels > -.5) & (pixels < (width - .5, height - .5))).all(axis=1)
        column, row = np.rint(pixels[inside]).astype(int).T
        own = _near(instances == board.instance)[row, column]
        keypoints[inside, :2] = pixels[inside]
        keypoints[inside, 2] = np.where(own, 2, 1)
        people.append(Person(board.instance, keypoints,
                             camera.to_camera(joints).astype(np.float32)))
    return people


def _near(mask):
    return cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0

# SPDX-License-Identifier: Apache-2.0
"""The camera: pixels to rays and 3-D points to pixels, with OpenCV's distortion models and no ROS
message.

Optical frame throughout (x right, y down, z forward), pixel centres at integers, as in OpenCV and
REP-103.
"""

import cv2
import numpy as np

POLYNOMIAL = ('plumb_bob', 'rational_polynomial')
FISHEYE = ('equidistant', 'fisheye')
LARGEST = 1e9  # pixels, and coefficients: what no camera has, and what overflows when multiplied
REPROJECTION_LIMIT = 0.5  # pixels: a ray whose own projection is further off than this is no ray


class CameraModel:
    """One calibrated camera, from the plain arrays of a CameraInfo.

    K: 9 numbers or (3, 3), of the image as it comes (`matrices_of_image` brings those of a
    CameraInfo with binning or a ROI to it). D: distortion coefficients, empty for none.
    R, P: 9 and 12 numbers, the rectification, used only where `rectified`. model: 'plumb_bob',
    'rational_polynomial', 'equidistant', 'fisheye' or '' (no distortion). size: (width, height) in
    pixels. rectified: the pictures are rectified already, so P alone describes them (image_rect
    and image_raw share one CameraInfo); the baseline in P's last column belongs to the stereo pair
    and is left out.

    Raises ValueError, one line, for a camera without calibration (K or P all zero), an unknown
    model, a coefficient count the model does not have, or an empty size.
    """

    def __init__(self, K, size, D=(), R=None, P=None, model='plumb_bob', rectified=False):
        self.size = int(size[0]), int(size[1])
        if min(self.size) < 1:
            raise ValueError(f'camera_info: the picture size is {self.size[0]}x{self.size[1]}, '
                             'it must be positive')
        if rectified and (P is None or not np.any(P)):
            raise ValueError('camera_info: P is empty, calibrate the camera or use the '
                             'unrectified picture')
        if rectified:
            self.K = np.asarray(P, np.float64).reshape(3, 4)[:, :3].copy()
        elif np.size(K) != 9:
            raise ValueError(f'camera_info: K has {np.size(K)} numbers, it must have 9')
        else:
            self.K = np.array(K, np.float64).reshape(3, 3)
        if not np.isfinite(self.K).all() or self.K[0, 0] <= 0 or self.K[1, 1] <= 0:
            raise ValueError('camera_info: the focal length is not positive, the camera is not '
                             'calibrated')
        if np.abs(self.K).max() > LARGEST or min(self.K[0, 0], self.K[1, 1]) < 1 / LARGEST:
            raise ValueError('camera_info: the focal length or the centre is out of this world')
        coefficients = np.zeros(0) if rectified or D is None else np.array(D, np.float64).ravel()
        if not np.isfinite(coefficients).all() or np.abs(coefficients).max(initial=0) > LARGEST:
            raise ValueError('camera_info: D holds a number that is not finite or too large')
        if not coefficients.any():
            coefficients = np.zeros(0)
        elif model in FISHEYE:
            if len(coefficients) != 4:
                raise ValueError(f'camera_info: {model} has 4 coefficients, D has '
                                 f'{len(coefficients)}')
        elif model in POLYNOMIAL:
            if len(coefficients) not in (4, 5, 8, 12, 14):
                raise ValueError(f'camera_info: {model} has 4, 5, 8, 12 or 14 coefficients, D has '
                                 f'{len(coefficients)}')
        else:
            known = ', '.join(POLYNOMIAL + FISHEYE)
            raise ValueError(f"camera_info: unknown distortion_model '{model}', known are "
                             f'{known}')
        self.D = coefficients
        # Even with all coefficients zero an equidistant lens is no pinhole: radius = f * angle.
        self.fisheye = (model in FISHEYE and not rectified and D is not None
                        and np.size(D) == 4)
        if self.fisheye and not coefficients.size:
            self.D = np.zeros(4)
        self._rays = None
        self._resized = {}

    @property
    def distorted(self):
        """Whether straight lines are bent in the picture."""
        return self.fisheye or bool(self.D.size)

    def resized(self, size):
        """The same camera for the same picture resampled to `size` = (width, height). Kept, so
        cheap to ask again."""
        size = int(size[0]), int(size[1])
        if size == self.size:
            return self
        if size not in self._resized:
            K = _resampled(self.K, self.size, size)
            D, model = (self.D, FISHEYE[0]) if self.fisheye else (self.D, POLYNOMIAL[0])
            self._resized[size] = CameraModel(K, size, D=D, model=model)
        return self._resized[size]

    def rays(self):
        """x / z and y / z of every pixel: two read-only float32 (H, W), computed once; NaN
        where the lens model ends."""
        if self._rays is None:
            width, height = self.size
            if not self.distorted:
                v, u = np.mgrid[:height, :width].astype(np.float64)
                y = (v - self.K[1, 2]) / self.K[1, 1]
                x = (u - self.K[0, 2] - self.K[0, 1] * y) / self.K[0, 0]
            else:
                v, u = np.mgrid[:height, :width]
                xy = self.unproject(np.stack([u.ravel(), v.ravel()], -1))
                x, y = xy.T.reshape(2, height, width)
            with np.errstate(over='ignore'):  # a lens that cannot be sees infinitely far aside
                self._rays = tuple(np.ascontiguousarray(part, np.float32) for part in (x, y))
            for part in self._rays:
                part.flags.writeable = False
        return self._rays

    def project(self, points):
        """Pixels of 3-D points: (N, 3) in the optical frame to float64 (N, 2).

        NaN for points at or behind the camera's plane, not finite, or so far off the axis that the
        lens model folds them back into the picture. Pixels may lie outside of the picture:
        `contains` tells.
        """
        points = np.asarray(points, np.float64).reshape(-1, 3)
        usable = np.isfinite(points).all(1) & (points[:, 2] > 1e-6)
        pixels = np.full((len(points), 2), np.nan)
        if usable.any():
            xy = points[usable, :2] / points[usable, 2:]
            projected = self._distort(xy)
            if self.distorted:
                back = self._undistort(projected)
                same = np.abs(back - xy).max(1) < 0.02 * (1 + np.abs(xy).max(1))
                projected[~same] = np.nan
            pixels[usable] = projected
        return pixels

    def unproject(self, pixels):
        """Rays of pixels: (N, 2) to float64 (N, 2), x / z and y / z; NaN where the lens model
        has no ray."""
        pixels = np.asarray(pixels, np.float64).reshape(-1, 2)
        rays = np.full(pixels.shape, np.nan)
        usable = np.isfinite(pixels).all(1)
        if usable.any():
            rays[usable] = self._undistort(pixels[usable])
        return rays

    def contains(self, pixels):
        """Which pixels (N, 2) lie inside the picture, bool (N,); NaN does not."""
        pixels = np.asarray(pixels, np.float64).reshape(-1, 2)
        with np.errstate(invalid='ignore'):
            return ((pixels >= -0.5) & (pixels <= np.asarray(self.size) - 0.5)).all(1)

    def depth_of(self, points):
        """A sparse depth picture of 3-D points (a lidar's): (N, 3) in the optical frame to
        float32 (H, W), metres along Z, NaN where no point falls; the nearest point of a pixel
        wins."""
        points = np.asarray(points, np.float64).reshape(-1, 3)
        pixels = self.project(points)
        seen = self.contains(pixels)
        column, row = np.rint(pixels[seen]).astype(int).clip(0, np.asarray(self.size) - 1).T
        z = points[seen, 2]
        order = np.argsort(-z, kind='stable')  # of several writes to one pixel the last stays
        depth = np.full(self.size[::-1], np.nan, np.float32)
        depth[row[order], column[order]] = z[order]
        return depth

    def _distort(self, xy):
        """Rays (N, 2) to pixels (N, 2), no checks."""
        if not self.distorted:
            return np.stack([xy[:, 0] * self.K[0, 0] + xy[:, 1] * self.K[0, 1] + self.K[0, 2],
                             xy[:, 1] * self.K[1, 1] + self.K[1, 2]], -1)
        still = np.zeros(3)
        if self.fisheye:
            points = np.column_stack([xy, np.ones(len(xy))])[:, None]
            pixels = cv2.fisheye.projectPoints(points, still, still, self.K, self.D)[0]
            return pixels.reshape(-1, 2)
        points = np.column_stack([xy, np.ones(len(xy))])
        return cv2.projectPoints(points, still, still, self.K, self.D)[0].reshape(-1, 2)

    def _undistort(self, pixels):
        """Pixels (N, 2) to rays (N, 2); NaN where the inversion does not come back to its
        pixel."""
        if not self.distorted:
            y = (pixels[:, 1] - self.K[1, 2]) / self.K[1, 1]
            x = (pixels[:, 0] - self.K[0, 2] - self.K[0, 1] * y) / self.K[0, 0]
            return np.stack([x, y], -1)
        invert = cv2.fisheye.undistortPoints if self.fisheye else cv2.undistortPoints
        xy = invert(np.ascontiguousarray(pixels[:, None]), self.K, self.D).reshape(-1, 2)
        xy[~(np.abs(xy) < 1e3).all(1)] = np.nan
        focal = self.K[[0, 1], [0, 1]]
        # OpenCV stops after a fixed number of rounds; wide lenses need more of the same.
        left = np.arange(len(xy))
        for _ in range(30):
            error = pixels[left] - self._distort(xy[left])
            off = np.abs(error).max(1)
            left, error = left[off > 1e-3], error[off > 1e-3]  # False for NaN
            if not len(left):
                break
            xy[left] += error / focal
        if len(left):
            off = np.abs(pixels[left] - self._distort(xy[left])).max(1)
            xy[left[~(off < REPROJECTION_LIMIT)]] = np.nan
        return xy


@np.errstate(all='ignore')  # CameraModel refuses what is not finite
def matrices_of_image(K, P, size, image_size, binning=(0, 0), roi=(0, 0, 0, 0)):
    """Bring the matrices of a CameraInfo to the image that came with it.

    K, P: 9 and 12 numbers, zeros where there is no calibration (and they stay zeros). size: width
    and height of the CameraInfo, pixels. image_size: those of the image. binning: binning_x and
    binning_y, 0 counts as 1. roi: x_offset, y_offset, width and height in unbinned pixels; a width
    or height of 0 reaches to the border.

    Returns K float64 (3, 3) and P (3, 4) of the image itself, and what was taken otherwise than
    CameraInfo's comments say, one line, or ''. By the image's size it is

    - the ROI, binned: the offset is subtracted, then both rows are divided by the binning, as
      image_geometry's PinholeCameraModel does;
    - the CameraInfo's own, of a driver that fills in the size, or all, of the image that it sends;
    - a multiple of the ROI, binned: a resampled image.

    Whether K is of the full sensor or of what was made of it, in the first two, is told by the
    middle that the principal point is nearer to. Raises ValueError, one line, for any other size
    and for a ROI that is not on the sensor.
    """
    K = np.array(K, np.float64).reshape(3, 3)
    P = np.array(P, np.float64).reshape(3, 4)
    size, image_size = tuple(map(int, size)), tuple(map(int, image_size))
    binning = tuple(max(1, int(number)) for number in binning)
    x, y, width, height = map(int, roi)
    if min(size) < 1 or image_size == size and binning == (1, 1) and (x, y) == (0, 0):
        return K, P, ''  # without a size CameraModel says what is missing
    told = K if K.any() else P
    said = f'its size is {size[0]}x{size[1]}'
    if (x, y, width, height) not in ((0, 0, 0, 0), (0, 0, *size)):
        said += f', its ROI {width}x{height} at ({x}, {y})'
    if binning != (1, 1):
        said += f', its binning {binning[0]}x{binning[1]}'
    centre = f'the principal point is at ({told[0, 2]:g}, {told[1, 2]:g})'
    if image_size == size:
        cut = _cut_out(told, (x, y), binning)
        if _off_centre(cut, size) < _off_centre(told, size):
            return (_cut_out(K, (x, y), binning), _cut_out(P, (x, y), binning),
                    f"{said}, which is the image's, but {centre}: K is taken as of the full "
                    'sensor, ROI and binning are applied')
        return K, P, (f'{said}, and the image has the same size: K is taken as of the image, ROI '
                      'and binning are not applied')
    width, height = width or size[0] - x, height or size[1] - y
    if min(width, height) < 1 or x + width > size[0] or y + height > size[1]:
        raise ValueError(f'camera_info: {said}, which is not within: correct the driver')
    came = width / binning[0], height / binning[1]
    fits = all(abs(a - b) < 1 for a, b in zip(came, image_size))  # drivers round up or down
    cropped = (width, height) != size
    if not fits and (cropped and _same_shape(size, image_size)
                     or not _same_shape(came, image_size)):
        raise ValueError(f'camera_info: {said}, the image is {image_size[0]}x{image_size[1]}: '
                         f'{"it may be either" if cropped else "another shape"}; publish the '
                         'camera_info of this image')
    meant, offset, step = '', (x, y), binning
    binned = size[0] / binning[0], size[1] / binning[1]
    if _off_centre(told, binned) < _off_centre(told, size):
        meant = f'{said}, but {centre}: K is taken as of the binned sensor'
        offset, step = (x / binning[0], y / binning[1]), (1, 1)
    K, P = (_cut_out(matrix, offset, step) for matrix in (K, P))
    if not fits:
        K, P = (_resampled(matrix, came, image_size) for matrix in (K, P))
    return K, P, meant


def _cut_out(matrix, offset, binning):
    """K or P, (3, n), of the part of an image from `offset` on, binned; zeros stay zeros."""
    if not matrix.any():
        return matrix
    matrix = matrix.copy()
    matrix[:2, 2] -= offset
    matrix[:2] /= np.array(binning)[:, None]
    return matrix


def _off_centre(matrix, size):
    """How far the principal point is from the middle of an image of `size`, in its sizes."""
    return np.hypot(*(matrix[:2, 2] / size - 0.5))


def _same_shape(a, b):
    """Whether an image of size b can be one of size a, resampled; to a pixel of a."""
    return abs(a[0] * b[1] - a[1] * b[0]) <= max(b)


def _resampled(matrix, size, new_size):
    """K or P, (3, n), of the same image resampled from `size` to `new_size`; zeros stay zeros."""
    if not matrix.any():
        return matrix
    scale = np.array([new_size[0] / size[0], new_size[1] / size[1]])
    matrix = np.vstack([matrix[:2] * scale[:, None], matrix[2:]])
    # The image's corner, at (-0.5, -0.5), stays in place when pixels change their size.
    matrix[:2, 2] += 0.5 * scale - 0.5
    return matrix


def as_camera(camera, shape):
    """`camera` as a CameraModel for a picture of `shape` (H, W): a CameraModel is resized to
    it, a plain K (3, 3) is taken as a pinhole of exactly this picture. ValueError as in
    CameraModel."""
    size = shape[1], shape[0]
    if isinstance(camera, CameraModel):
        return camera.resized(size)
    return CameraModel(camera, size)

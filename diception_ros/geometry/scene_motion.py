# SPDX-License-Identifier: Apache-2.0
"""How a scene at rest moves from one frame of a camera to the next.

Corners all over the picture are followed by pyramidal Lucas-Kanade and followed back. Where
disparity is known, the move of every pixel follows from its place and its disparity (`Flow`);
where it is not, the corners around a pixel say how it moves.
"""

from dataclasses import dataclass

import cv2
import numpy as np

LUCAS_KANADE = {'winSize': (21, 21), 'maxLevel': 3, 'minEigThreshold': 1e-4,
                'criteria': (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 10, 0.03)}
RETURN = 1.0  # pixels that a point may be off after being followed there and back
AGREE = 1.5  # pixels from the common motion
SQUARE = 20  # pixels at half size; the scene's motion is read from one corner in each
FEWEST_CORNERS = 30
NEIGHBOURS = 60  # corners that say how a place between them moves, where disparity is unknown


class SceneMotion:
    """The motion between two grey frames (H, W), `before` and `after`.

    disparity: float (H, W), near = 1, of the first, or None. last: what `corners_then` was for the
    two frames before these, or None: it tells how the units of disparity changed.
    """

    def __init__(self, before, after, disparity=None, last=None):
        self.before, self.after = before, after
        small = min(before.shape) < 4 * SQUARE
        if disparity is not None:
            disparity = np.asarray(disparity, np.float32)
            if small or disparity.shape != before.shape or not np.isfinite(disparity).all():
                disparity = None
        self.disparity = disparity
        self._flow = False
        self._corners = (np.zeros((0, 2), np.float32),) * 2 if small else None
        known = last is not None and disparity is not None
        self.units = _units(*last, disparity) if known else (1.0, 0.0)

    @property
    def corners(self):
        """Corners that were followed, float32 (n, 2) on the first frame and on the second."""
        if self._corners is None:
            # Half the size: less noise, less time, and a window that sees twice as far.
            before, after = (cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
                             for grey in (self.before, self.after))
            starts = _corner_of_every_square(before)
            ends, returned = followed(before, after, starts)
            self._corners = 2 * starts[returned] + 0.5, 2 * ends[returned] + 0.5
        return self._corners

    @property
    def corners_then(self):
        """The corners on the second frame (n, 2), and their disparity on the first (n,), or
        None."""
        if self.disparity is None:
            return None
        starts, ends = self.corners
        return ends, _values_at(self.disparity, starts)

    @property
    def flow(self):
        """The Flow of all pixels; None where it cannot be told."""
        if self._flow is False:
            self._flow = None
            if self.disparity is not None:
                starts, ends = self.corners
                self._flow = Flow.fit(starts, ends, _values_at(self.disparity, starts),
                                      self.before.shape)
        return self._flow

    def of(self, point):
        """Where a point (2,) at rest goes, and the standard error of that in pixels; None, infinity
        where it is not known."""
        if self.flow is None:
            return neighbours_motion(point, *self.corners)
        move, error = self.flow.at(point[None], _values_at(self.disparity, point[None]))
        return point + move[0], float(error[0])


@dataclass
class Flow:
    """How every pixel of a scene at rest moves, from its place and its disparity.

    Rotation moves pixels by a quadratic in their place, translation by a term linear in inverse
    depth, hence in disparity: eleven numbers, linear least squares, no calibration needed.
    `covariance` is theirs, for moves in pixels.
    """

    parameters: np.ndarray
    covariance: np.ndarray
    shape: tuple

    @classmethod
    def fit(cls, starts, ends, disparity, shape):
        """Fits point pairs (n, 2), (n, 2) with their disparity (n,); None when too few agree."""
        if len(starts) < FEWEST_CORNERS:
            return None
        terms = cls._terms(starts, disparity, shape)                           # (n, 2, 11)
        moves = (ends - starts).astype(np.float64)
        ridge = np.diag(np.full(terms.shape[2], 1e-4 * len(starts)))
        first, common = cv2.estimateAffine2D(starts, ends, ransacReprojThreshold=6.0)
        if first is None:
            return None
        weight = common[:, 0].astype(float)
        for reach in (12.0, 8.0, 5.0, 3.0, 3.0, 3.0):
            weighted = terms * weight[:, None, None]
            moments = np.einsum('nij,nik->jk', weighted, terms) + ridge
            parameters = np.linalg.solve(moments, np.einsum('nij,ni->j', weighted, moves))
            miss = np.linalg.norm(terms @ parameters - moves, axis=1)
            weight = np.clip(1 - (miss / reach) ** 2, 0, None) ** 2
        agree = np.count_nonzero(miss < AGREE)
        if agree < max(FEWEST_CORNERS, 0.4 * len(starts)):
            return None
        variance = (weight @ miss ** 2) / weight.sum() / 2 * len(starts) / (agree - 6)
        return cls(parameters, variance * np.linalg.inv(moments), shape)

    def at(self, points, disparity):
        """The moves (n, 2) of pixels (n, 2) of those disparities (n,), and their standard errors
        in pixels (n,)."""
        terms = self._terms(points, disparity, self.shape)
        variance = np.einsum('nij,jk,nik->n', terms, self.covariance, terms)
        return terms @ self.parameters, np.sqrt(np.maximum(variance, 0))

    @staticmethod
    def _terms(points, disparity, shape):
        x, y = ((points - np.asarray(shape[::-1]) / 2) / max(shape)).T.astype(np.float64)
        d = np.asarray(disparity, np.float64)
        one, zero = np.ones_like(x), np.zeros_like(x)
        along = [one, x, y, zero, zero, zero, x * x, x * y, d, zero, -x * d]
        down = [zero, zero, zero, one, x, y, x * y, y * y, zero, d, -y * d]
        return np.stack([np.stack(along, -1), np.stack(down, -1)], 1)


def neighbours_motion(point, starts, ends):
    """Where a point (2,) goes if it moves as the corners around it do, one affine motion for most
    of them, and the error of that in pixels; None, infinity when too few agree."""
    away = np.linalg.norm(starts - point, axis=1)
    near = np.argsort(away)[:NEIGHBOURS]
    if len(near) < FEWEST_CORNERS // 2:
        return None, np.inf
    places, moves, away = starts[near] - point, (ends - starts)[near], away[near]
    affine, common = cv2.estimateAffine2D(places, places + moves, ransacReprojThreshold=AGREE)
    if affine is None or common.sum() < 0.4 * len(near):
        return None, np.inf
    common = common[:, 0] > 0
    nearness = 1 / (20 + away) ** 2
    weight = nearness * common
    terms = np.column_stack([places, np.ones(len(near))])
    moments = terms.T @ (weight[:, None] * terms) + np.diag([1e-6, 1e-6, 0])
    motion = np.linalg.solve(moments, terms.T @ (weight[:, None] * moves))     # (3, 2)
    # Fitted to the errors on worlds: what is left over, how far the nearest one is that agrees,
    # and how much of what is near goes another way.
    miss = weight @ np.linalg.norm(terms @ motion - moves, axis=1) / weight.sum()
    astray = nearness[~common].sum() / nearness.sum()
    error = 1.3 * miss + 0.004 * away[common].min() + 0.8 * astray - 0.3
    return point + motion[2], max(0.15, float(error))


def followed(before, after, starts):
    """Where points (n, 2) of one grey picture are on the next, and which came back, bool (n,)."""
    if not len(starts):
        return starts, np.zeros(0, bool)
    ends, there, _ = cv2.calcOpticalFlowPyrLK(before, after, starts[:, None], None, **LUCAS_KANADE)
    back, here, _ = cv2.calcOpticalFlowPyrLK(after, before, ends, None, **LUCAS_KANADE)
    ends, back = ends[:, 0], back[:, 0]
    returned = (there[:, 0] > 0) & (here[:, 0] > 0)
    returned &= np.linalg.norm(back - starts, axis=1) < RETURN
    return ends, returned & ((ends >= 0) & (ends <= np.asarray(after.shape[::-1]) - 1)).all(1)


def _corner_of_every_square(grey):
    """The strongest corner of every square of a picture, float32 (n, 2), where there is any."""
    strength = cv2.cornerMinEigenVal(grey, 7)
    rows, columns = strength.shape[0] // SQUARE, strength.shape[1] // SQUARE
    squares = strength[:rows * SQUARE, :columns * SQUARE].reshape(rows, SQUARE, columns, SQUARE)
    squares = squares.transpose(0, 2, 1, 3).reshape(rows, columns, SQUARE * SQUARE)
    row, column = np.nonzero(squares.max(-1, initial=0) > 1e-6)
    v, u = np.divmod(squares[row, column].argmax(-1), SQUARE)
    return np.stack([column * SQUARE + u, row * SQUARE + v], -1).astype(np.float32)


def _values_at(picture, points):
    """The values (n,) of the pixels nearest to points (n, 2), at its edge for those beyond."""
    column, row = np.rint(points).astype(int).T
    height, width = picture.shape
    return picture[row.clip(0, height - 1), column.clip(0, width - 1)]


def _units(spots, last, disparity):
    """Slope and offset from the disparity of the frame before (n,), seen at spots (n, 2), to this
    frame's (H, W): every picture is normalised by itself."""
    now = _values_at(disparity, spots)
    if len(last) < FEWEST_CORNERS or np.std(last) < 0.05:
        return 1.0, 0.0
    slope, offset = 1.0, float(np.median(now - last))
    for _ in range(5):
        weight = 1 / (1 + ((slope * last + offset - now) / 0.02) ** 2)
        slope, offset = np.polyfit(last, now, 1, w=np.sqrt(weight))
    return (slope, offset) if 0.5 < slope < 2 and abs(offset) < 0.3 else (1.0, 0.0)

# SPDX-License-Identifier: Apache-2.0
"""Clicks that stay on their thing while the camera moves, and that are given up rather than wrong.

A single tracked point slides along edges and off corners unnoticed. A click is therefore carried
by a cluster of points around it: each is followed by pyramidal Lucas-Kanade and followed back (one
that does not return is dropped), and the survivors must agree on one small similarity transform,
which moves the click. Where disparity is known, the rest of the picture has its say: in a scene at
rest the flow of every pixel follows from its place and its disparity (`Flow`). That carries the
click where the cluster is weak or disagrees, until the errors that may have gathered are large;
what many points and the looks of the place say moves on its own is followed alone.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np

GRID = np.stack(np.meshgrid(*[np.arange(-2, 3) * 7.0] * 2), -1).reshape(-1, 2)  # around the click
CORNERS = 20  # strong corners added, within CORNER_REACH pixels
CORNER_REACH = 32
SAME_SURFACE = 0.05  # disparity within which a point of the cluster counts as the clicked thing
RETURN = 1.0  # pixels that a point may be off after being followed there and back
AGREE = 1.5  # pixels from the common motion
FEWEST = 6  # points that must agree
SURVIVORS = 0.25  # share of the cluster that must
RESEED = 5  # frames after which the cluster is renewed
APART = 3.0  # pixels between the cluster's motion and the scene's: it moves, or one is wrong
LUCAS_KANADE = {'winSize': (21, 21), 'maxLevel': 3, 'minEigThreshold': 1e-4,
                'criteria': (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 10, 0.03)}
PATCH = 31, 31  # pixels; the surroundings that are compared
JUMP = 0.12  # disparity between two frames that no camera's motion explains
SQUARE = 20  # pixels at half size; the scene's motion is read from one corner in each
FEWEST_CORNERS = 30
DOUBT = 10.0  # pixels; gathered error up to which the scene's motion carries a click


@dataclass
class Click:
    """One tracked click: where it is (2,) in pixels, and the cluster (n, 2) that carries it."""

    position: np.ndarray
    cluster: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    seeded: int = 0
    age: int = RESEED
    moving: bool = False  # it has been seen to move on its own
    disparity: float | None = None  # where it was
    doubt: float = 0.0  # pixels; errors that may have gathered


class ClickTracker:
    """Follows clicks from frame to frame.

    `follow` once for every frame, with the clicks where they were on the frame before. `lost` then
    holds those that could not be followed any more, and why: {key: reason}. All pictures must have
    one size: another size loses every click. Not thread-safe.
    """

    def __init__(self):
        self.lost = {}
        self._clicks = {}
        self._before = None

    def follow(self, picture, points, keys=None, disparity=None):
        """Where clicks are on the next frame: float32 (n, 2) pixels, NaN for what is lost.

        picture: uint8 (H, W) or RGB (H, W, 3). points: (n, 2), where the clicks were on the frame
        before. keys: what tells them apart from frame to frame, hashable; their places in `points`
        when None. A new key, or one whose point was moved from outside, starts here, on this
        frame, and comes back as it is, unless it lies outside of the picture; a key that is
        missing is forgotten. disparity: float (H, W), near = 1, of the frame BEFORE (the newest
        one that a model has answered), if there is one: it keeps a cluster from spilling over the
        thing's edge, and carries clicks on plain surfaces.
        """
        picture = np.asarray(picture)
        points = np.asarray(points, np.float32).reshape(-1, 2)
        keys = list(range(len(points))) if keys is None else list(keys)
        self.lost = {}
        if picture.size == 0:
            self._clicks = {}
            self.lost = {key: 'the picture is empty' for key in keys}
            return np.full(points.shape, np.nan, np.float32)
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) if picture.ndim == 3 else picture
        # A little blur: noise has corners too, and they would be followed.
        grey = cv2.GaussianBlur(grey, (0, 0), 1.0)
        before, self._before = self._before, grey

        known = {key for key, point in zip(keys, points) if key in self._clicks
                 and np.array_equal(self._clicks[key].position, point)}
        self._clicks = {key: click for key, click in self._clicks.items() if key in known}
        if self._clicks:
            if before is None or before.shape != grey.shape:
                self._lose({key: 'the picture changed its size' for key in self._clicks})
            else:
                self._follow(_Step(before, grey, disparity))
        height, width = grey.shape
        for key, point in zip(keys, points):
            if key in known:
                continue
            if 0 <= point[0] <= width - 1 and 0 <= point[1] <= height - 1:
                self._clicks[key] = Click(point.copy())
            else:
                self.lost[key] = 'it is outside of the picture'
        moved = [self._clicks[key].position if key in self._clicks else (np.nan, np.nan)
                 for key in keys]
        return np.array(moved, np.float32).reshape(-1, 2)

    def _lose(self, reasons):
        self.lost.update(reasons)
        for key in reasons:
            del self._clicks[key]

    def _follow(self, step):
        """Moves every click by what its cluster, or else the scene, did in this step."""
        for click in self._clicks.values():
            if click.age >= RESEED or len(click.cluster) < 0.6 * click.seeded:
                _seed(click, step)
        starts = np.concatenate([click.cluster for click in self._clicks.values()])
        ends, returned = followed(step.before, step.after, starts)
        ends_of = np.cumsum([len(click.cluster) for click in self._clicks.values()])[:-1]
        reasons = {}
        parts = (np.split(part, ends_of) for part in (starts, ends, returned))
        for (key, click), begin, end, good in zip(self._clicks.items(), *parts):
            reason = _move(click, begin[good], end[good], step)
            if reason:
                reasons[key] = reason
        self._lose(reasons)


class _Step:
    """Two frames, one after the other, and the disparity of the first or None."""

    def __init__(self, before, after, disparity):
        self.before, self.after = before, after
        if disparity is not None:
            disparity = np.asarray(disparity, np.float32)
            if (disparity.shape != before.shape or min(before.shape) < 4 * SQUARE
                    or not np.isfinite(disparity).all()):
                disparity = None
        self.disparity = disparity
        self._flow = False

    def difference(self, start, end):
        """How different the surroundings of two points (2,) look, mean squared grey levels."""
        patches = [cv2.getRectSubPix(grey, PATCH, (float(x), float(y))).astype(np.float32)
                   for grey, (x, y) in ((self.before, start), (self.after, end))]
        return float(np.mean((patches[0] - patches[1]) ** 2))

    def jumps(self, click):
        """Whether the disparity where the click is has changed since the last step."""
        if self.disparity is None:
            return False
        x, y = np.rint(click.position).astype(int)
        around = self.disparity[max(0, y - 3):y + 4:3, max(0, x - 3):x + 4:3]
        last, click.disparity = click.disparity, float(self.disparity[y, x])
        return last is not None and np.abs(around - last).min() > JUMP

    def prediction(self, point):
        """Where the scene's motion takes a point (2,), and the standard error of that in pixels;
        None, infinity where it is not known."""
        if self.flow is None:
            return None, np.inf
        column, row = np.rint(point).astype(int)
        move, error = self.flow.at(point[None], self.disparity[row, column][None])
        return point + move[0], error[0]

    @property
    def flow(self):
        """The scene's motion, a Flow; None where it cannot be told."""
        if self._flow is False:
            self._flow = None if self.disparity is None else self._fit_flow()
        return self._flow

    def _fit_flow(self):
        # Half the size: less noise, less time, and a window that sees twice as far.
        before, after = (cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
                         for grey in (self.before, self.after))
        starts = _corner_of_every_square(before)
        ends, returned = followed(before, after, starts)
        starts, ends = 2 * starts[returned] + 0.5, 2 * ends[returned] + 0.5
        column, row = np.rint(starts).astype(int).T
        return Flow.fit(starts, ends, self.disparity[row, column], self.before.shape)


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
    row, column = np.nonzero(squares.max(-1) > 1e-6)
    v, u = np.divmod(squares[row, column].argmax(-1), SQUARE)
    return np.stack([column * SQUARE + u, row * SQUARE + v], -1).astype(np.float32)


def _move(click, starts, ends, step):
    """Moves a click by the similarity that most of its points agree on, or with the scene; a
    reason if neither can be believed."""
    reason, moved = None, None
    needed = max(FEWEST, SURVIVORS * click.seeded)
    if len(starts) < needed:
        reason = 'too few of the points around it were found again'
    else:
        transform, agree = trimmed_similarity(starts, ends)
        scale = np.sqrt(abs(np.linalg.det(transform[:, :2])))
        if np.count_nonzero(agree) < max(needed, 0.6 * len(starts)):
            reason = 'the points around it went different ways'
        elif not 0.8 < scale < 1.25:
            reason = 'it changed its size too fast'
        else:
            moved = transform[:, :2] @ click.position + transform[:, 2]
    if step.jumps(click):
        return 'something came in front of it, or it moved away'
    carried, error = step.prediction(click.position)
    if click.doubt + error < DOUBT and not click.moving:
        apart = np.inf if moved is None else np.linalg.norm(moved - carried)
        many = np.count_nonzero(agree) > 0.5 * click.seeded if moved is not None else False
        # What the scene's motion cannot explain, and many points agree on, moves on its own.
        click.moving = bool(many and APART < apart < np.inf and step.difference(
            click.position, moved) < 0.4 * step.difference(click.position, carried))
        if not click.moving and not (many and apart < 1 + error):
            if moved is None:
                agree = np.zeros(len(starts), bool)
            moved = carried
            # Added, not as squares: what is wrong about one step is wrong about the next.
            click.doubt += float(error)
    if moved is None:
        return reason
    height, width = step.after.shape
    if not (0 <= moved[0] <= width - 1 and 0 <= moved[1] <= height - 1):
        return 'it left the picture'
    click.position = moved.astype(np.float32)
    click.cluster = ends[agree]
    click.age += 1
    return None


def _seed(click, step):
    """Renews a click's cluster on the first frame of a step: a grid and strong corners around it,
    on the same surface where disparity tells."""
    height, width = step.before.shape
    x, y = np.rint(click.position).astype(int)
    points = [GRID + click.position]
    left, top = max(0, x - CORNER_REACH), max(0, y - CORNER_REACH)
    patch = step.before[top:y + CORNER_REACH + 1, left:x + CORNER_REACH + 1]
    corners = cv2.goodFeaturesToTrack(np.ascontiguousarray(patch), CORNERS, 0.05, 4)
    if corners is not None:
        points.append(corners[:, 0] + [left, top])
    points = np.concatenate(points).astype(np.float32)
    points = points[((points >= 0) & (points <= [width - 1, height - 1])).all(1)]
    if step.disparity is not None:
        column, row = np.rint(points).astype(int).T
        points = points[np.abs(step.disparity[row, column] - step.disparity[y, x]) < SAME_SURFACE]
    click.cluster, click.seeded, click.age = points, len(points), 0


def trimmed_similarity(starts, ends):
    """The similarity transform (2, 3) that most point pairs (n, 2) agree on, and which, bool (n,).

    Starts from the median shift, which half of the points being wrong does not move, and fits
    rotation and size to those that agree with it, three times over.
    """
    starts, ends = starts.astype(np.float64), ends.astype(np.float64)
    shift = np.median(ends - starts, axis=0)
    transform = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
    for reach in (4 * AGREE, 2 * AGREE, AGREE):
        miss = np.linalg.norm(starts @ transform[:, :2].T + transform[:, 2] - ends, axis=1)
        agree = miss < reach
        if np.count_nonzero(agree) < 3:
            break
        s, e = starts[agree], ends[agree]
        ms, me = s.mean(0), e.mean(0)
        s, e = s - ms, e - me
        spread = (s * s).sum()
        if spread < 1e-6:
            break
        real = (s * e).sum() / spread
        imaginary = (s[:, 0] * e[:, 1] - s[:, 1] * e[:, 0]).sum() / spread
        turn = np.array([[real, -imaginary], [imaginary, real]])
        transform = np.column_stack([turn, me - turn @ ms])
    miss = np.linalg.norm(starts @ transform[:, :2].T + transform[:, 2] - ends, axis=1)
    return transform, miss < AGREE

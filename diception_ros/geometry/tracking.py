# SPDX-License-Identifier: Apache-2.0
"""Clicks that stay on their thing while the camera moves, and that are given up rather than lost sight of.

A single tracked point slides along edges and off corners unnoticed. A click is therefore carried by a cluster of points
around it: each is followed by pyramidal Lucas-Kanade and followed back (one that does not return is dropped), and
the survivors must agree on one small similarity transform, which moves the click.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np

GRID = np.stack(np.meshgrid(*[np.arange(-3, 4) * 5.0] * 2), -1).reshape(-1, 2)  # pixels around the click
CORNERS = 24  # strong corners added, within CORNER_REACH pixels
CORNER_REACH = 24
SAME_SURFACE = 0.05  # disparity within which a point of the cluster counts as the clicked thing
RETURN = 1.0  # pixels that a point may be off after being followed there and back
AGREE = 1.5  # pixels from the common motion
FEWEST = 6  # points that must agree
SURVIVORS = 0.15  # share of the cluster that must
RESEED = 10  # frames after which the cluster is renewed
LUCAS_KANADE = {'winSize': (15, 15), 'maxLevel': 3, 'minEigThreshold': 1e-4,
                'criteria': (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 20, 0.03)}


@dataclass
class Click:
    """One tracked click: where it is (2,) in pixels, and the cluster (n, 2) that carries it."""

    position: np.ndarray
    cluster: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    seeded: int = 0
    age: int = 0


class ClickTracker:
    """Follows clicks from frame to frame.

    `update(picture)` once for every frame, `add(x, y)` for a click on the newest one. Positions are pixels of those
    pictures, which must all have one size: another size loses all clicks. `lost` holds, after an update, what could not
    be followed any more and why: {id: reason}; those ids are gone. Not thread-safe.
    """

    def __init__(self):
        self.lost = {}
        self._clicks = {}
        self._newest = None
        self._disparity = None
        self._next = 1

    @property
    def positions(self):
        """{id: (x, y)} of the clicks that are followed, in the order they were added."""
        return {key: (float(click.position[0]), float(click.position[1])) for key, click in self._clicks.items()}

    def add(self, x, y):
        """Starts to follow a click at pixel (x, y) of the newest frame and returns its id.

        Raises ValueError, one line, before the first frame or outside of the picture.
        """
        if self._newest is None:
            raise ValueError('clicked_pixel: no picture has been seen yet')
        height, width = self._newest.shape
        if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
            raise ValueError(f'clicked_pixel: ({x:g}, {y:g}) is outside of the {width}x{height} picture')
        key, self._next = self._next, self._next + 1
        self._clicks[key] = click = Click(np.array([x, y], np.float32))
        self._seed(click)
        return key

    def remove(self, key):
        """Stops following a click; an unknown id is no error."""
        self._clicks.pop(key, None)

    def clear(self):
        """Stops following all clicks."""
        self._clicks.clear()

    def update(self, picture, disparity=None):
        """Takes the next frame and returns `positions`.

        picture: uint8 (H, W) or (H, W, 3). disparity: float (H, W) of the same frame if there is one; it keeps the
        clusters from spilling over the thing's edge.
        """
        picture = np.asarray(picture)
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) if picture.ndim == 3 else picture
        # A little blur: noise has corners too, and they would be followed.
        grey = cv2.GaussianBlur(grey, (0, 0), 1.0)
        before, self._newest = self._newest, grey
        self._disparity = None if disparity is None else np.asarray(disparity, np.float32)
        self.lost = {}
        if not self._clicks:
            return {}
        if before is None or before.shape != grey.shape:
            self._lose({key: 'the picture changed its size' for key in self._clicks})
            return {}
        self._follow(before, grey)
        return self.positions

    def _lose(self, reasons):
        for key, reason in reasons.items():
            self.lost[key] = reason
            del self._clicks[key]

    def _follow(self, before, grey):
        """Moves every click by what its cluster did from one frame to the next."""
        starts = np.concatenate([click.cluster for click in self._clicks.values()])
        lengths = [len(click.cluster) for click in self._clicks.values()]
        if len(starts):
            ends, there, _ = cv2.calcOpticalFlowPyrLK(before, grey, starts[:, None], None, **LUCAS_KANADE)
            back, here, _ = cv2.calcOpticalFlowPyrLK(grey, before, ends, None, **LUCAS_KANADE)
            ends, back = ends[:, 0], back[:, 0]
            returned = (there[:, 0] > 0) & (here[:, 0] > 0) & (np.linalg.norm(back - starts, axis=1) < RETURN)
            limits = np.asarray(grey.shape[::-1]) - 1
            returned &= ((ends >= 0) & (ends <= limits)).all(1)
        reasons = {}
        offset = 0
        for (key, click), length in zip(list(self._clicks.items()), lengths):
            part = slice(offset, offset + length)
            offset += length
            if not length:
                reasons[key] = 'nothing around it can be told apart from its surroundings'
                continue
            reason = self._move(click, starts[part][returned[part]], ends[part][returned[part]])
            if reason:
                reasons[key] = reason
        self._lose(reasons)

    def _move(self, click, starts, ends):
        """Moves a click by the similarity that most of its points agree on; a reason if there is none."""
        needed = max(FEWEST, SURVIVORS * click.seeded)
        if len(starts) < needed:
            return 'too few of the points around it were found again'
        transform, agree = trimmed_similarity(starts, ends)
        if np.count_nonzero(agree) < needed:
            return 'the points around it went different ways'
        scale = np.sqrt(abs(np.linalg.det(transform[:, :2])))
        if not 0.8 < scale < 1.25:
            return 'it changed its size too fast'
        click.position = (transform[:, :2] @ click.position + transform[:, 2]).astype(np.float32)
        height, width = self._newest.shape
        if not (0 <= click.position[0] <= width - 1 and 0 <= click.position[1] <= height - 1):
            return 'it left the picture'
        click.cluster = ends[agree]
        click.age += 1
        if click.age >= RESEED or len(click.cluster) < 0.5 * click.seeded:
            self._seed(click)
        return None

    def _seed(self, click):
        """Renews a click's cluster: a grid and strong corners around it, on the same surface where disparity tells."""
        height, width = self._newest.shape
        x, y = np.rint(click.position).astype(int)
        points = [GRID + click.position]
        left, top = max(0, x - CORNER_REACH), max(0, y - CORNER_REACH)
        patch = np.ascontiguousarray(self._newest[top:y + CORNER_REACH + 1, left:x + CORNER_REACH + 1])
        corners = cv2.goodFeaturesToTrack(patch, CORNERS, 0.05, 3)
        if corners is not None:
            points.append(corners[:, 0] + [left, top])
        points.append(click.cluster)
        points = np.concatenate(points).astype(np.float32)
        points = points[((points >= 0) & (points <= [width - 1, height - 1])).all(1)]
        disparity = self._disparity
        if disparity is not None and disparity.shape == self._newest.shape:
            column, row = np.rint(points).astype(int).T
            with np.errstate(invalid='ignore'):
                same = np.abs(disparity[row, column] - disparity[y, x]) < SAME_SURFACE
            if same.any():
                points = points[same]
        click.cluster = points
        click.seeded = len(points)
        click.age = 0


def trimmed_similarity(starts, ends):
    """The similarity transform (2, 3) that most point pairs (n, 2) agree on, and which do, bool (n,).

    Starts from the median shift, which half of the points being wrong does not move, and fits rotation and size to
    those that agree with it, three times over.
    """
    starts, ends = starts.astype(np.float64), ends.astype(np.float64)
    shift = np.median(ends - starts, axis=0)
    transform = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
    agree = np.ones(len(starts), bool)
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

# SPDX-License-Identifier: Apache-2.0
"""Clicks that stay on their thing while the camera moves, and that are given up rather than wrong.

A single tracked point slides along edges and off corners unnoticed. A click is therefore carried
by a cluster of points around it: each is followed by pyramidal Lucas-Kanade and followed back (one
that does not return is dropped), and the survivors must agree on one small similarity transform,
which moves the click. The rest of the picture has its say (`SceneMotion`): it carries the click
where the cluster is weak or disagrees, until the errors that may have gathered are large; what
many points and the first look of the place say moves on its own is followed alone. Whenever the
first look is recognised, it sets the click right again, so that small errors do not add up.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np

from diception_ros.geometry.scene_motion import AGREE, SceneMotion, followed

GRID = np.stack(np.meshgrid(*[np.arange(-2, 3) * 7.0] * 2), -1).reshape(-1, 2)  # around the click
CORNERS = 20  # strong corners added, within CORNER_REACH pixels
CORNER_REACH = 32
SAME_SURFACE = 0.05  # disparity within which a point of the cluster counts as the clicked thing
FEWEST = 6  # points that must agree
SURVIVORS = 0.25  # share of the cluster that must
RESEED = 5  # frames after which the cluster is renewed
APART = 3.0  # pixels between the cluster's motion and the scene's: it moves, or one is wrong
JUMP = 0.12  # disparity between two frames that no camera's motion explains
DOUBT = 10.0  # pixels; gathered error up to which the scene's motion carries a click
LOOK = 32  # pixels each way that belong to the look of a click
CENTRE = 15  # pixels each way that are compared
LOOK_SPOTS, LOOK_FEWEST, LOOK_SHARE = 40, 8, 0.4  # corners of a look, and those to find again
LOOK_DOUBT = 1.0  # pixels; error of a click whose look was recognised


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
    look: 'Look | None' = None


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
        self._corners = None

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
        corners, self._corners = self._corners, None
        if self._clicks:
            if before is None or before.shape != grey.shape:
                self._lose({key: 'the picture changed its size' for key in self._clicks})
            else:
                scene = SceneMotion(before, grey, disparity, corners)
                self._follow(scene)
                self._corners = scene.corners_then
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

    def _follow(self, scene):
        """Moves every click by what its cluster, or else the scene, did in this step."""
        for click in self._clicks.values():
            if click.look is None:
                click.look = Look(scene.before, click.position, scene.disparity)
            if click.age >= RESEED or len(click.cluster) < 0.6 * click.seeded:
                _seed(click, scene)
        starts = np.concatenate([click.cluster for click in self._clicks.values()])
        ends, returned = followed(scene.before, scene.after, starts)
        ends_of = np.cumsum([len(click.cluster) for click in self._clicks.values()])[:-1]
        reasons = {}
        parts = (np.split(part, ends_of) for part in (starts, ends, returned))
        for (key, click), begin, end, good in zip(self._clicks.items(), *parts):
            reason = _move(click, begin[good], end[good], scene)
            if reason:
                reasons[key] = reason
        self._lose(reasons)


class Look:
    """How a click's surroundings looked at first, and the similarity `way` (2, 3) from that picture
    to the present one. What is followed from frame to frame drifts; this does not."""

    def __init__(self, grey, position, disparity=None):
        self.way = _shift((0, 0))
        self.position = np.asarray(position, np.float64)
        x, y = np.rint(position).astype(int)
        # Of one size everywhere, so that it can be compared: the picture's edge goes on outside.
        self.corner = np.array([x - LOOK, y - LOOK], np.float64)
        self.grey = _cut(grey, _shift(self.corner), LOOK)
        left, top = max(0, LOOK - x), max(0, LOOK - y)
        inside = self.grey[top:LOOK + grey.shape[0] - y, left:LOOK + grey.shape[1] - x]
        spots = cv2.goodFeaturesToTrack(np.ascontiguousarray(inside), LOOK_SPOTS, 0.03, 5)
        self.spots = np.zeros((0, 2), np.float32) if spots is None else spots[:, 0] + [left, top]
        if disparity is not None:
            column, row = np.rint(self.spots + self.corner).astype(int).T
            near = np.abs(disparity[row, column] - disparity[y, x]) < SAME_SURFACE
            self.spots = self.spots[near]
        self.spots = np.ascontiguousarray(self.spots, np.float32)

    def moved(self, transform):
        """Goes one step on by a similarity (2, 3)."""
        self.way = _after(transform, self.way)

    def difference(self, grey, spot):
        """How different a spot (2,) of the present picture looks, mean squared grey levels."""
        way = self.way.copy()
        way[:, 2] = spot - way[:, :2] @ self.position
        way = _after(way, _shift(np.rint(self.position) - CENTRE))
        here = self.grey[LOOK - CENTRE:LOOK + CENTRE + 1, LOOK - CENTRE:LOOK + CENTRE + 1]
        return float(np.mean((_cut(grey, way, CENTRE).astype(np.float32) - here) ** 2))

    def recognised(self, grey, slack):
        """Where the click is by its look, up to `slack` pixels from where it is thought to be, or
        None; `way` is set right then."""
        if len(self.spots) < LOOK_FEWEST:
            return None
        way = _after(self.way, _shift(self.corner))
        ends, returned = followed(self.grey, _cut(grey, way, LOOK), self.spots)
        needed = max(LOOK_FEWEST, LOOK_SHARE * len(self.spots))
        if np.count_nonzero(returned) < needed:
            return None
        transform, agree = trimmed_similarity(self.spots[returned], ends[returned])
        if np.count_nonzero(agree) < max(needed, 0.6 * np.count_nonzero(returned)):
            return None
        way = _after(_after(way, transform), _shift(-self.corner))
        spot, thought = (one @ (*self.position, 1.0) for one in (way, self.way))
        if not 0.85 < _scale(transform) < 1.18 or np.linalg.norm(spot - thought) > slack:
            return None
        self.way = way
        return spot

    @property
    def outgrown(self):
        """Whether the thing has become so much larger or smaller that it looks otherwise."""
        return not 0.7 < _scale(self.way) < 1.4


def _shift(by):
    """The similarity (2, 3) that only moves, by (2,) pixels."""
    return np.column_stack([np.eye(2), by])


def _scale(transform):
    """How many times larger a similarity (2, 3) makes things."""
    return np.sqrt(abs(np.linalg.det(transform[:, :2])))


def _after(second, first):
    """Two similarities (2, 3), one after the other."""
    both = second[:, :2] @ first
    both[:, 2] += second[:, 2]
    return both


def _cut(grey, way, reach):
    """A square of 2 reach + 1 pixels whose pixels lie at `way` (2, 3) of a picture."""
    return cv2.warpAffine(grey, way, (2 * reach + 1, 2 * reach + 1),
                          flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                          borderMode=cv2.BORDER_REPLICATE)


def _jumps(click, scene):
    """Whether the disparity where the click is has changed since the last step."""
    if scene.disparity is None:
        return False
    x, y = np.rint(click.position).astype(int)
    around = scene.disparity[max(0, y - 3):y + 4:3, max(0, x - 3):x + 4:3]
    last, click.disparity = click.disparity, float(scene.disparity[y, x])
    if last is None:
        return False
    slope, offset = scene.units
    return np.abs(around - (slope * last + offset)).min() > JUMP


def _agreed(click, starts, ends):
    """The similarity (2, 3) of most of a click's points, which agree, bool (n,), and ''; or None,
    none, and why there is none."""
    none = np.zeros(len(starts), bool)
    needed = max(FEWEST, SURVIVORS * click.seeded)
    if len(starts) < needed:
        return None, none, 'too few of the points around it were found again'
    transform, agree = trimmed_similarity(starts, ends)
    if np.count_nonzero(agree) < max(needed, 0.6 * len(starts)):
        return None, none, 'the points around it went different ways'
    if not 0.8 < _scale(transform) < 1.25:
        return None, none, 'it changed its size too fast'
    return transform, agree, ''


def _move(click, starts, ends, scene):
    """Moves a click by the similarity that most of its points agree on, or with the scene; a
    reason if neither can be believed."""
    transform, agree, reason = _agreed(click, starts, ends)
    if _jumps(click, scene):
        return 'something came in front of it, or it moved away'
    carried, error = scene.of(click.position)
    if click.doubt + error < DOUBT and not click.moving:
        many = np.count_nonzero(agree) > 0.5 * click.seeded
        moved = None if transform is None else transform @ (*click.position, 1.0)
        apart = np.inf if moved is None else np.linalg.norm(moved - carried)
        # What the scene's motion cannot explain, and many points agree on, moves on its own.
        click.moving = bool(many and APART + error < apart < np.inf and click.look.difference(
            scene.after, moved) < 0.4 * click.look.difference(scene.after, carried))
        known = scene.flow is not None  # where disparity is not, the cluster knows better
        together = (many and apart < 1 + error) if known else apart < APART + 3 * error
        if not click.moving and not together:
            transform, agree = _shift(carried - click.position), np.zeros(len(starts), bool)
            # Added, not as squares: what is wrong about one step is wrong about the next.
            click.doubt += float(error)
    if transform is None:
        return reason
    moved = transform @ (*click.position, 1.0)
    click.look.moved(transform)
    spot = click.look.recognised(scene.after, max(3.0, 1.5 * click.doubt))
    if spot is not None:
        moved, click.doubt = spot, min(click.doubt, LOOK_DOUBT)
    height, width = scene.after.shape
    if not (0 <= moved[0] <= width - 1 and 0 <= moved[1] <= height - 1):
        return 'it left the picture'
    if spot is not None and click.look.outgrown:
        click.look = None  # looked at anew in the next step
    click.position = moved.astype(np.float32)
    click.cluster = ends[agree]
    click.age += 1
    return None


def _seed(click, scene):
    """Renews a click's cluster on the first frame of a scene: a grid and strong corners around it,
    on the same surface where disparity tells."""
    height, width = scene.before.shape
    x, y = np.rint(click.position).astype(int)
    points = [GRID + click.position]
    left, top = max(0, x - CORNER_REACH), max(0, y - CORNER_REACH)
    patch = scene.before[top:y + CORNER_REACH + 1, left:x + CORNER_REACH + 1]
    corners = cv2.goodFeaturesToTrack(np.ascontiguousarray(patch), CORNERS, 0.05, 4)
    if corners is not None:
        points.append(corners[:, 0] + [left, top])
    points = np.concatenate(points).astype(np.float32)
    points = points[((points >= 0) & (points <= [width - 1, height - 1])).all(1)]
    if scene.disparity is not None:
        column, row = np.rint(points).astype(int).T
        points = points[np.abs(scene.disparity[row, column] - scene.disparity[y, x]) < SAME_SURFACE]
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

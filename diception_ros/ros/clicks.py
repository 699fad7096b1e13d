# SPDX-License-Identifier: Apache-2.0
"""Clicked points -> points on the picture, frame after frame.

A clicked pixel is held on its pixel, or followed by tracking; a clicked 3-D point is projected anew
into every picture, so that it stays where it is in the world. Coordinates in pixels, pixel centres
at integers, as OpenCV has them.
"""

import math
import threading
from dataclasses import dataclass

import numpy as np

from diception_ros.geometry import ClickTracker

FARTHEST = 1e9  # metres: what is meant by no click, and overflows when it is projected


@dataclass(eq=False)
class PixelClick:
    """A clicked pixel and where it is now."""

    x: float
    y: float
    fresh: bool = True       # no picture has been seen since the click


@dataclass(eq=False)
class SpaceClick:
    """A clicked point in space: metres in `frame`; `stamp` is a builtin_interfaces Time."""

    xyz: tuple
    frame: str
    stamp: object = None


class Clicks:
    """The points of the segmentation task, oldest first; thread-safe.

    warn(key, text) logs one throttled line. transforms has `matrix(target, source, stamp)`, which
    gives float64 (4, 4) or raises LookupError with the reason (ros/transforms.py).
    """

    def __init__(self, warn, transforms):
        self._warn = warn
        self._transforms = transforms
        self._tracker = ClickTracker()
        self._disparity = None
        self._lock = threading.Lock()
        self._clicks = []

    def __len__(self):
        return len(self._clicks)

    def add_pixel(self, x, y, capacity, on_full):
        """Add a clicked pixel; return why not, None when it is added."""
        if not (math.isfinite(x) and math.isfinite(y)):
            return f'({x}, {y}) is not a pixel'
        return self._add(PixelClick(float(x), float(y)), capacity, on_full)

    def add_point(self, xyz, frame, stamp, capacity, on_full):
        """Add a clicked point in space; return why not, None when it is added."""
        if not all(abs(v) < FARTHEST for v in xyz):  # nor NaN
            return f'({", ".join(map(str, xyz))}) is not a point'
        return self._add(SpaceClick(tuple(map(float, xyz)), frame, stamp), capacity, on_full)

    def _add(self, click, capacity, on_full):
        with self._lock:
            if capacity < 1:
                return 'the model takes no points'
            if len(self._clicks) >= capacity and on_full == 'refuse':
                return (f'{capacity} points are set already: call ~/undo_point or ~/clear_points, '
                        'or set points.on_full to replace')
            self._clicks = (self._clicks + [click])[-capacity:]
        return None

    def undo(self):
        """Forget the newest point; return whether there was one."""
        with self._lock:
            return bool(self._clicks) and self._clicks.pop() is not None

    def clear(self):
        """Forget all points; return how many there were."""
        with self._lock:
            count, self._clicks = len(self._clicks), []
        return count

    def on_picture(self, rgb, header, camera, mode, fixed_frame=''):
        """Return the points on this picture, [(x, y)] in pixels, oldest first.

        rgb: uint8 (H, W, 3). camera: geometry CameraModel of this picture or None. mode and
        fixed_frame: the parameters points.mode and points.fixed_frame. Called once for every
        picture, in order, by the worker.
        """
        height, width = rgb.shape[:2]
        pixels = self._pixels()  # looked at once: a click that comes now waits for the next picture
        outside = self._drop_outside([click for click in pixels if click.fresh], width, height)
        # In the other modes the tracker forgets, or it would later compare with an old picture.
        self._track([click for click in pixels if click not in outside] if mode == 'track' else [],
                    rgb)
        self._disparity = None
        points = []
        with self._lock:
            clicks = list(self._clicks)
            if mode == 'once':
                self._clicks = []
        for click in clicks:
            if isinstance(click, PixelClick):
                points.append((click.x, click.y))
            else:
                spot = self._project(click, header, camera, fixed_frame)
                if spot is not None:
                    points.append(spot)
        return [(x, y) for x, y in points if 0 <= x <= width - 1 and 0 <= y <= height - 1]

    def note_disparity(self, disparity):
        """Take the relative depth, float32 (H, W) or None, of the picture last given to on_picture:
        it helps to follow clicks on to the next."""
        self._disparity = disparity

    def _pixels(self):
        with self._lock:
            return [click for click in self._clicks if isinstance(click, PixelClick)]

    def _remove(self, lost):
        with self._lock:
            self._clicks = [click for click in self._clicks if click not in lost]

    def _drop_outside(self, fresh, width, height):
        outside = [c for c in fresh if not (0 <= c.x <= width - 1 and 0 <= c.y <= height - 1)]
        for click in outside:
            self._warn('click outside', f'clicked_pixel ({click.x:g}, {click.y:g}) is outside of '
                       f'the {width}x{height} picture, ignored')
        self._remove(outside)
        for click in fresh:
            click.fresh = False
        return outside

    def _track(self, clicks, rgb):
        if not clicks:
            self._tracker = ClickTracker()
            return
        moved = self._tracker.follow(rgb, [(c.x, c.y) for c in clicks], keys=clicks,
                                     disparity=self._disparity)
        for click, (x, y) in zip(clicks, moved):
            if click not in self._tracker.lost:
                click.x, click.y = float(x), float(y)
        for click, reason in self._tracker.lost.items():
            self._warn('click lost', f'the clicked thing at ({click.x:.0f}, {click.y:.0f}) is '
                       f'lost: {reason}; click it again')
        self._remove(self._tracker.lost)

    def _project(self, click, header, camera, fixed_frame):
        """Return the pixel (x, y) of a point in space; None while it is out of sight or unknown."""
        if camera is None:
            self._warn('click without camera', 'clicked_point is ignored: no usable camera_info '
                       'has arrived')
            return None
        try:
            if fixed_frame and click.frame != fixed_frame:
                click.xyz = self._moved(click.xyz, fixed_frame, click.frame, click.stamp)
                click.frame = fixed_frame
            xyz = click.xyz
            if click.frame != header.frame_id:
                xyz = self._moved(xyz, header.frame_id, click.frame, header.stamp)
        except LookupError as error:
            self._warn('click without transform', f'clicked_point is ignored: {error}')
            return None
        x, y = camera.project(np.array([xyz]))[0]
        return (float(x), float(y)) if math.isfinite(x) and math.isfinite(y) else None

    def _moved(self, xyz, target, source, stamp):
        moved = self._transforms.matrix(target, source, stamp) @ np.array([*xyz, 1.0])
        return tuple(moved[:3])

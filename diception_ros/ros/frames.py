# SPDX-License-Identifier: Apache-2.0
"""The hand-over of frames from the executor to the worker: newest wins, or a bounded queue; and
which frames are handed over at all where their rate is limited."""

import collections
import threading
from dataclasses import dataclass
from typing import Any


@dataclass
class Frame:
    """One image on its way: the message and what was known when it arrived."""

    message: Any            # sensor_msgs Image or CompressedImage
    arrived: float          # time.monotonic(), seconds: latencies only, never compared with stamps
    generation: int = 0     # of the node's activation: a frame of an earlier one is not answered


class FrameBuffer:
    """Frames waiting for the worker, in order of arrival; thread-safe.

    With `capacity` 1 the newest frame wins: it replaces the one that waits, which is counted in
    `dropped`. With more, frames queue, and only what exceeds the capacity is dropped, oldest first.
    """

    def __init__(self, capacity=1):
        self.dropped = 0
        self._lock = threading.Lock()
        self._frames = collections.deque()
        self._capacity = capacity

    def set_capacity(self, capacity):
        """Change how many frames may wait; what no longer fits is dropped, oldest first."""
        with self._lock:
            self._capacity = capacity
            self._trim()

    def put(self, frame):
        """Add the newest frame; return how many were dropped for it."""
        with self._lock:
            self._frames.append(frame)
            return self._trim()

    def take(self):
        """Return the oldest waiting frame, None when there is none."""
        with self._lock:
            return self._frames.popleft() if self._frames else None

    def clear(self):
        """Forget what waits; it is not counted as dropped."""
        with self._lock:
            self._frames.clear()

    def __len__(self):
        return len(self._frames)

    def _trim(self):
        excess = max(0, len(self._frames) - self._capacity)
        for _ in range(excess):
            self._frames.popleft()
        self.dropped += excess
        return excess


class RateLimit:
    """At most so many frames per second, whatever the rate and the jitter of the camera.

    A token bucket: a frame takes a token, tokens come at the rate, and what a frame leaves over
    counts for the next one, so that no phase is lost. It holds BURST tokens: in any t seconds at
    most rate * t + BURST frames pass, two in a row after a pause.
    """

    BURST = 2.0  # with less, the jitter of a camera at the very rate costs frames

    def __init__(self):
        self._tokens, self._last = 1.0, None

    def admits(self, now, rate):
        """Whether a frame that comes at `now`, seconds, may pass; rate: per second, 0 = all."""
        if not rate:
            self.__init__()
            return True
        if self._last is not None:
            self._tokens = min(self._tokens + (now - self._last) * rate, self.BURST)
        self._last = now
        if self._tokens < 1 - 1e-9:  # a sum of equal steps is not exact
            return False
        self._tokens -= 1
        return True

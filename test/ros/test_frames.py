# SPDX-License-Identifier: Apache-2.0
"""The hand-over of frames to the worker, and how many are handed over."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diception_ros.ros.frames import FrameBuffer, RateLimit


def test_the_newest_frame_wins_and_the_replaced_ones_are_counted():
    frames = FrameBuffer()
    assert [frames.put(number) for number in (1, 2, 3)] == [0, 1, 1]
    assert frames.take() == 3 and frames.take() is None
    assert frames.dropped == 2


def test_a_queue_keeps_the_order_and_drops_the_oldest_beyond_its_capacity():
    frames = FrameBuffer(capacity=3)
    assert [frames.put(number) for number in range(5)] == [0, 0, 0, 1, 1]
    assert [frames.take() for _ in range(4)] == [2, 3, 4, None]
    assert frames.dropped == 2


def test_a_smaller_capacity_drops_what_no_longer_fits():
    frames = FrameBuffer(capacity=10)
    for number in range(4):
        frames.put(number)
    frames.set_capacity(1)
    assert len(frames) == 1 and frames.take() == 3


def test_forgotten_frames_are_not_counted_as_dropped():
    frames = FrameBuffer(capacity=2)
    frames.put(1)
    frames.clear()
    assert frames.take() is None and frames.dropped == 0


def passed(limit, arrivals):
    """Return the times of those frames that a RateLimit lets pass."""
    gate = RateLimit()
    return np.array([now for now in arrivals if gate.admits(now, limit)])


def camera(rate, seconds, jitter, rng, drifts):
    """Return the arrivals of a camera's frames: late by chance, or with periods that vary."""
    ticks = np.arange(int(rate * seconds)) / rate
    off = rng.uniform(-jitter, jitter, len(ticks)) / rate
    return 1000 + ticks + (np.cumsum(off) if drifts else off)


@pytest.mark.parametrize('drifts', [False, True], ids=['late', 'drifting'])
@pytest.mark.parametrize('rate', [1, 2, 5, 7, 10, 15, 25, 29.97, 30, 60])
def test_the_measured_rate_is_the_limit_or_the_camera_s_whatever_its_jitter(rate, drifts):
    """10 % jitter; limits below, at and above the camera's rate."""
    rng = np.random.default_rng(0)
    for limit in (0.3 * rate, 0.6 * rate, 0.9 * rate, 0.99 * rate, rate, 1.1 * rate, 5.0, 3.0):
        arrivals = camera(rate, 2000 / rate, 0.1, rng, drifts)
        seconds = arrivals[-1] - arrivals[0]
        measured = len(passed(limit, arrivals)) / seconds
        assert measured == pytest.approx(min(rate, limit), rel=0.05), limit


@settings(deadline=None)
@given(st.floats(0.1, 100), st.lists(st.floats(0, 2), min_size=1, max_size=200))
def test_no_window_has_more_frames_than_the_limit_and_a_burst_of_two(limit, gaps):
    times = passed(limit, np.cumsum(gaps))
    for first in range(len(times)):
        spans = times[first:] - times[first]
        numbers = np.arange(1, len(spans) + 1)
        assert (numbers <= limit * spans + RateLimit.BURST + 1e-6).all()


def test_the_first_frame_passes_and_without_a_limit_all_do():
    assert passed(0.1, [5.0, 5.1, 5.2]).tolist() == [5.0]
    assert len(passed(0.0, [5.0] * 9)) == 9


def test_a_camera_that_paused_gets_two_frames_at_once_and_no_more():
    assert passed(1.0, [0.0, 100.0, 100.1, 100.2, 100.3]).tolist() == [0.0, 100.0, 100.1]

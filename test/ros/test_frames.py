# SPDX-License-Identifier: Apache-2.0
"""The hand-over of frames to the worker."""

from diception_ros.ros.frames import FrameBuffer


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

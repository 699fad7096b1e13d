# SPDX-License-Identifier: Apache-2.0
"""Hostile messages by the hundred against a live node; DICEPTION_HOSTILE=10000 for more."""

import os

import hostile
import numpy as np
import pytest
from robot import OUTPUTS
from sensor_msgs.msg import CompressedImage, Image

from diception_ros.ros.images import from_array

NUMBER = int(os.environ.get('DICEPTION_HOSTILE', 200))
EVERY = max(40, NUMBER // 50)  # a good frame after so many hostile messages


@pytest.mark.parametrize('transport', ['raw', 'compressed'])
def test_no_hostile_message_kills_the_node_or_is_answered_wrongly(robot, transport):
    """1. All outputs on. 2. Hostile messages of every type. 3. Good frames between, all answered.

    What is answered has a header that was sent, and the size that was sent with it.
    """
    import cv2
    rng = np.random.default_rng(0)
    if transport == 'compressed':
        assert robot.change_state('deactivate')
        assert robot.set(image_transport='compressed') == ''
        assert robot.change_state('activate')
    assert robot.set(depth__scale='near_far') == ''
    # all but those that need a camera_info that was not made up
    topics = set(OUTPUTS) - {'restored', 'points', 'depth/camera_info'}
    robot.listen(*topics, 'points')
    sizes, wrong = {}, []
    references = robot.publisher(Image, 'reference_depth')

    def check(message):
        key = (message.header.stamp.sec, message.header.stamp.nanosec, message.header.frame_id)
        if key not in sizes:
            wrong.append(('nobody sent', key))
        elif hasattr(message, 'encoding') and sizes[key] not in (None, (message.width,
                                                                        message.height)):
            wrong.append(('size', key, message.width, message.height))

    def key_of(message):
        stamp = message.header.stamp
        return stamp.sec, stamp.nanosec, message.header.frame_id

    for number in range(NUMBER):
        kind = rng.choice(['image', 'camera_info', 'point', 'point_stamped', 'reference'])
        if kind == 'image':
            message = (hostile.image if transport == 'raw' else hostile.compressed)(
                rng, robot.header())
            sizes[key_of(message)] = ((message.width, message.height) if transport == 'raw'
                                      else None)
            robot.send(message)
        elif kind == 'reference':
            references.publish(hostile.image(rng, robot.header(), ('16UC1', '32FC1')))
        elif kind == 'point':
            robot.send(hostile.point(rng))
        else:
            robot.send(getattr(hostile, kind)(rng, robot.header()))
        robot.spin(0.005)
        if number % EVERY == EVERY - 1:
            rgb = rng.integers(0, 255, (48, 64, 3), np.uint8)
            good = from_array(rgb, 'rgb8', robot.header())
            if transport == 'compressed':
                good = CompressedImage(header=good.header, format='png')
                good.data.frombytes(cv2.imencode('.png', rgb)[1].tobytes())
            sizes[key_of(good)] = (64, 48)
            heard = list(robot.heard_all)
            robot.ask(good, *topics)
            for _, message in heard + robot.heard_all:
                check(message)
    assert not wrong
    assert 'Traceback' not in robot.node.text()
    if transport == 'compressed':
        assert robot.change_state('deactivate')
        assert robot.set(image_transport='raw') == ''
        assert robot.change_state('activate')

# SPDX-License-Identifier: Apache-2.0
"""Hostile messages by the hundred against a live node; DICEPTION_HOSTILE=10000 for more."""

import collections
import os

import cv2
import hostile
import numpy as np
import pytest
from robot import OUTPUTS
from sensor_msgs.msg import CompressedImage, Image

from diception_ros.ros.images import from_array

NUMBER = int(os.environ.get('DICEPTION_HOSTILE', 200))
EVERY = 40  # a good frame after so many hostile messages
# What a frame answers whatever was clicked, or said of the camera, before it
STEADY = ('depth/relative', 'normals/image_raw', 'semantic/labels')


def key_of(message):
    stamp = message.header.stamp
    return stamp.sec, stamp.nanosec, message.header.frame_id


def good_image(robot, transport, picture):
    image = from_array(picture, 'rgb8', robot.header())
    if transport == 'compressed':
        image = CompressedImage(header=image.header, format='png')
        image.data.frombytes(cv2.imencode('.png', picture[..., ::-1])[1].tobytes())
    return image


@pytest.mark.parametrize('transport', ['raw', 'compressed'])
def test_no_hostile_message_kills_the_node_or_is_answered_wrongly(robot, transport):
    """1. All outputs on. 2. Hostile messages of every type. 3. Good frames between, all answered.

    What is answered has a header that was sent, and the size that was sent with it; the answers to
    the good picture stay what they were before.
    """
    rng = np.random.default_rng(0)
    if transport == 'compressed':
        assert robot.change_state('deactivate')
        assert robot.set(image_transport='compressed') == ''
        assert robot.change_state('activate')
    assert robot.set(depth__scale='near_far') == ''
    # all but those that need a camera_info that was not made up
    topics = set(OUTPUTS) - {'restored', 'points', 'depth/camera_info'}
    robot.listen(*topics, 'points')
    sizes, wrong, sent, answers = {}, [], collections.Counter(), 0
    references = robot.publisher(Image, 'reference_depth')
    picture = rng.integers(0, 255, (48, 64, 3), np.uint8)
    right = robot.ask(good_image(robot, transport, picture), *topics)
    sizes[key_of(right['overlay'])] = 64, 48

    def check(message):
        size = sizes.get(key_of(message), 'nobody sent it')
        if size == 'nobody sent it' or (hasattr(message, 'encoding') and size is not None
                                        and size != (message.width, message.height)):
            wrong.append((key_of(message), type(message), size))

    for number in range(NUMBER):
        kind = str(rng.choice(['image', 'camera_info', 'point', 'point_stamped', 'reference']))
        sent[kind] += 1
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
            good = good_image(robot, transport, picture)
            sizes[key_of(good)] = (64, 48)
            heard = list(robot.heard_all)
            found = robot.ask(good, *topics)
            for _, message in heard + robot.heard_all:
                check(message)
            answers += len(heard) + len(robot.heard_all)
            robot.heard_all = []
            wrong += [(topic, number) for topic in STEADY
                      if not np.allclose(*(np.frombuffer(message[topic].data, {
                          '32': np.float32, 'mo': np.uint8}[message[topic].encoding[:2]])
                          for message in (found, right)), atol=1e-4)]
    print(f'{transport}: sent {dict(sent)}, {NUMBER // EVERY} good frames, {answers} messages back')
    assert not wrong
    assert 'Traceback' not in robot.node.text()
    for line in robot.node.text().splitlines():
        assert line.startswith('['), line  # ours, and not a library's
    if transport == 'compressed':
        assert robot.change_state('deactivate')
        assert robot.set(image_transport='raw') == ''
        assert robot.change_state('activate')

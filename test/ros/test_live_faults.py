# SPDX-License-Identifier: Apache-2.0
"""Faults inside a live node: said once, counted, and over with the next frame."""

import sys
from pathlib import Path

import numpy as np
import pytest
from robot import Robot

from diception_ros.ros.images import from_array

FAULTY_NODE = Path(__file__).resolve().parents[1] / 'fixtures/faulty_node.py'


@pytest.fixture(scope='module')
def robot(tiny_model, tmp_path_factory):
    robot = Robot(tmp_path_factory.mktemp('node') / 'log', device='cpu', model=tiny_model,
                  tasks='[depth, normals]', command=[sys.executable, FAULTY_NODE])
    robot.meet()
    robot.node.wait_for_line('configured: model')
    robot.spin(until=lambda: robot.state() == 'active', what='an active node')
    robot.listen('depth/relative', 'normals/color')
    yield robot
    robot.close()
    robot.node.stop()


def image(robot, fault):
    rgb = np.full((48, 64, 3), 100, np.uint8)
    rgb[0, 0] = fault
    return from_array(rgb, 'rgb8', robot.header())


@pytest.mark.parametrize('fault, words', [
    (1, 'a frame failed: RuntimeError: mat1 and mat2 shapes cannot be multiplied'),
    (2, 'out of memory.*fewer tasks'),
    (3, 'the worker thread died; it is started again'),
    (4, 'cannot publish the output normals: TypeError: not a message'),
    (5, 'a frame failed: not a picture'),
])
def test_a_fault_is_said_in_one_line_and_the_next_frame_is_answered(robot, fault, words):
    start = len(robot.node.text())
    robot.heard_all = []
    robot.send(image(robot, fault))
    robot.spin(0.5)
    line = robot.node.wait_for_line(words, after=start)
    assert 'ERROR' in line
    heard = {topic for topic, _ in robot.heard_all}
    # What was found before goes out under the frame's own stamp.
    assert heard == ({'depth/relative'} if fault > 3 else set())
    level, message, values = robot.report()
    assert level == b'\x02'
    assert values['last error'] in line
    robot.ask(image(robot, 100))


def test_a_camera_that_stops_and_returns_is_answered_again(robot):
    robot.spin(6.0)
    robot.node.wait_for_line('no image on /image')
    robot.ask(image(robot, 100))

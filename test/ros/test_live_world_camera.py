# SPDX-License-Identifier: Apache-2.0
"""The made-up camera as a process."""

import signal
import sys

import pytest
from robot import NodeProcess, Robot, claim_domain

COMMAND = [sys.executable, '-m', 'diception_ros.lab.synthetic.world_camera']


@pytest.mark.parametrize('parameters, words', [
    ({'rate': 0}, "'rate': 0 is not a number of 0.01 or more"),
    ({'rate': '.nan'}, "'rate': nan is not a number"),
    ({'width': 0}, "'width': 0 is not an integer of 16 or more"),
    ({'height': 'tall'}, "'height': 'tall' is not an integer"),
    ({'frames': 0}, "'frames': 0 is not an integer of 1 or more"),
    ({'worlds': 'odd'}, "worlds='odd': use 'easy', 'full'"),
])
def test_a_made_up_camera_that_cannot_be_is_refused_in_one_line(parameters, words, tmp_path):
    domain, claim = claim_domain()
    camera = NodeProcess(tmp_path / 'log', parameters, domain, command=COMMAND)
    status = camera.process.wait(60)
    [line] = [line for line in camera.text().splitlines() if 'tf2_ros' not in line]
    assert 'FATAL' in line and words in line and status == 2
    claim.close()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_made_up_camera_in_order_and_in_silence(number, tmp_path):
    robot = Robot(tmp_path / 'log', command=COMMAND, rate=20, width=64, height=48)
    robot.listen('camera/image_raw')
    robot.spin(until=lambda: robot.heard, what='a picture')
    start = len(robot.node.text())
    robot.close()
    assert robot.node.stop(number) == 0
    assert not robot.node.text()[start:]

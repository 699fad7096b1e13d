# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the live tests: one node process serves all tests that leave it as they found it."""

import importlib.util

import pytest

if importlib.util.find_spec('rclpy') is None:
    collect_ignore_glob = ['test_*.py']


def pytest_report_header():
    """Say why tests are missing where ROS 2 is."""
    return '' if importlib.util.find_spec('rclpy') else 'test/ros: not tested, no rclpy'


@pytest.fixture(scope='session')
def tiny_model(tmp_path_factory):
    """Return a model directory with random weights that answers in milliseconds."""
    from tiny_model import write_tiny_model
    # 16 pixels: noise any finer makes people and entities by the hundred, seconds to decode.
    return write_tiny_model(tmp_path_factory.mktemp('models') / 'tiny', size=16)


@pytest.fixture(scope='session')
def _started_robot(tiny_model, tmp_path_factory):
    from robot import Robot
    robot = Robot(tmp_path_factory.mktemp('node') / 'log', device='cpu', model=tiny_model)
    robot.meet()
    yield robot
    robot.close()
    robot.node.stop()


@pytest.fixture
def robot(_started_robot):
    """Return a Robot with an active node, all parameters as at the start, no clicks."""
    from diception_ros.ros.parameters import TABLE
    from diception_ros.tasks.parameter import ANY_TIME
    robot = _started_robot
    robot.node.wait_for_line('configured: model')
    if robot.get('image_transport') != 'raw':  # a test failed half way
        robot.change_state('deactivate')
        assert robot.set(image_transport='raw') == ''
    if robot.state() == 'inactive':
        assert robot.change_state('activate')
    robot.spin(until=lambda: robot.state() == 'active', what='an active node')
    robot.heard_all = []
    yield robot
    changed = {p.name: p.default for p in TABLE if p.when == ANY_TIME}
    # Two steps: what ground_plane needs may be taken away only after ground_plane is.
    assert robot.set(**{'depth.scale': 'reference'}) == ''
    assert robot.set(**changed) == ''
    robot.trigger('clear_points')
    robot.enable(True)

# SPDX-License-Identifier: Apache-2.0
"""A live node whose model is slow: it answers while it loads, and what is quick does not wait."""

import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from robot import Robot

from diception_ros.ros.images import from_array

SLOW_NODE = Path(__file__).resolve().parents[1] / 'fixtures/slow_node.py'
RGB = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)


@pytest.fixture
def start(tiny_model, tmp_path):
    """A function that starts a slow node and returns (Robot, the folder of its gates)."""
    robots = []

    def begin(**parameters):
        gate = tmp_path / 'gate'
        gate.mkdir()
        robots.append(Robot(tmp_path / 'log', device='cpu', model=tiny_model,
                            command=[sys.executable, SLOW_NODE, gate], **parameters))
        robots[-1].node.wait_for_line('loading model')
        robots[-1].meet()
        return robots[-1], gate

    yield begin
    for robot in robots:
        robot.close()
        robot.node.stop()


def test_while_the_model_loads_everybody_is_answered_and_told_how_far_it_is(start):
    robot, gate = start(tasks='[depth, normals]')
    for _ in range(120):                       # the imports and the transformer come first
        if 'loading vae' in robot.report()[1]:
            break
    for _ in range(8):
        assert robot.state() == 'configuring'
        assert robot.report()[1].startswith('configuring, loading vae: ')
        robot.spin(0.8)
    robot.node.wait_for_line(r'loading vae: \d+% \(\d+ s so far\)')
    level, _, values = robot.report()
    assert level == b'\x00' and values['progress'].startswith('loading vae: ')
    assert float(values['busy seconds']) > 0
    assert robot.trigger('clear_points')[0]
    assert 'configuring' in robot.set(model='other')
    assert robot.set(tasks=['depth']) == ''
    (gate / 'load').touch()
    robot.node.wait_for_line('configured: model .* tasks depth$')
    robot.spin(until=lambda: robot.state() == 'active', what='an active node')
    assert robot.report()[2]['progress'] == 'none'
    robot.listen('depth/relative')
    robot.ask(from_array(RGB, 'rgb8', robot.header()))


def test_a_change_of_state_while_it_loads_is_refused_with_the_reason(start):
    robot, gate = start(tasks='[depth]')
    for name, word in (('activate', 'activate'), ('configure', 'configure'),
                       ('unconfigured_shutdown', 'shutdown')):
        begin = len(robot.node.text())
        assert not robot.change_state(name)
        assert robot.state() == 'configuring'
        if name == 'activate':  # the others are held back, being alike
            line = robot.node.wait_for_line(f'cannot {word}: the node is configuring, loading vae',
                                            after=begin)
            assert 'WARN' in line
    (gate / 'load').touch()
    robot.spin(until=lambda: robot.state() == 'active', what='an active node')
    assert robot.change_state('deactivate')


def test_a_node_that_was_asked_to_configure_answers_as_well(start):
    robot, gate = start(tasks='[depth]')
    (gate / 'load').touch()
    robot.spin(until=lambda: robot.state() == 'active', what='an active node')
    assert robot.change_state('deactivate') and robot.change_state('cleanup')
    (gate / 'load').unlink()
    future = robot.begin_change('configure')
    robot.spin(until=lambda: robot.state() == 'configuring', what='a node that loads')
    for _ in range(5):
        assert robot.state() == 'configuring' and not future.done()
    # A setting that the model cannot do, which nobody can know yet
    assert robot.set(tasks=['depth', 'adapter:none']) == ''
    begin = len(robot.node.text())
    (gate / 'load').touch()
    robot.spin(until=future.done, what='the end of the transition')
    assert not future.result().success
    robot.node.wait_for_line("cannot configure: parameter 'tasks': the model cannot do "
                             "'adapter:none'", after=begin)
    assert robot.state() == 'unconfigured'
    assert robot.set(tasks=['depth']) == ''
    assert robot.change_state('configure') and robot.change_state('activate')


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_a_node_that_loads(start, number):
    robot, _ = start(tasks='[depth]')
    assert robot.state() == 'configuring'
    assert robot.node.stop(number) == 0
    for word in ('Traceback', 'ERROR', 'rror:', 'Failed'):
        assert word not in robot.node.text()


def test_what_takes_one_step_is_published_while_28_steps_are_still_painted(start):
    robot, gate = start(**{'tasks': '[depth, entities, pose]', 'num_inference_steps': 1,
                           'guidance_scale': 1.0, 'pose.num_inference_steps': 28})
    (gate / 'load').touch()
    robot.spin(until=lambda: robot.state() == 'active', what='an active node')
    robot.listen('depth/relative', 'entities/labels', 'poses')
    header = robot.header()
    robot.ask(from_array(RGB, 'rgb8', header), 'depth/relative', 'entities/labels')
    assert 'poses' not in {topic for topic, _ in robot.heard_all}
    (gate / 'paint').touch()
    robot.spin(until=lambda: ('poses', header) in [
        (topic, message.header) for topic, message in robot.heard_all], what='the poses')

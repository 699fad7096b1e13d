# SPDX-License-Identifier: Apache-2.0
"""The lifecycle of a live node: every step undone by its opposite, and an end without a trace."""

import os
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from rclpy.qos import (
    DurabilityPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_profile_sensor_data,
)
from robot import NodeProcess, Robot, claim_domain
from sensor_msgs.msg import Image

from diception_ros.ros.images import from_array
from diception_ros.ros.isolation import PROFILE_VARIABLES

CYCLES = int(os.environ.get('DICEPTION_CYCLES', 4))


@pytest.fixture(scope='module')
def started(tiny_model, tmp_path_factory):
    robot = Robot(tmp_path_factory.mktemp('node') / 'log', device='cpu', model=tiny_model,
                  autostart='false', tasks='[depth, normals]')
    robot.meet()
    yield robot
    robot.close()
    robot.node.stop()


@pytest.fixture
def robot(started, tiny_model):
    """Return a Robot whose node is unconfigured, as at the start, whatever a failed test left."""
    if started.state() == 'active':
        started.change_state('deactivate')
    if started.state() == 'inactive':
        started.change_state('cleanup')
    assert started.state() == 'unconfigured'
    assert started.set(drop_frames=True, model=str(tiny_model), device='cpu',
                       tasks=['depth', 'normals']) == ''
    started.listen()
    return started


def image(robot):
    rgb = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    return from_array(rgb, 'rgb8', robot.header())


def activate(robot):
    assert robot.change_state('configure') and robot.change_state('activate')


def memory(robot):
    return int(robot.report()[2]['memory of the process MiB'])


def shared_memory(process):
    """Return the files of the middleware's shared memory that a process has open, but for ports.

    Ports are shared, and are cleared away by whoever finds them dead.
    """
    maps = Path(f'/proc/{process.pid}/maps').read_text()
    return [Path(name) for name in set(re.findall(r'/dev/shm/fast(?:dds|rtps)_[0-9a-f]{16}', maps))]


def test_without_autostart_the_node_waits_and_says_for_what(robot):
    robot.node.wait_for_line('unconfigured: ros2 lifecycle set it to configure')
    assert robot.own.count_subscribers('image') == 0


def test_configure_loads_activate_subscribes_deactivate_unsubscribes_cleanup_frees(robot):
    assert robot.change_state('configure')
    assert 'memory of transformer MiB' in robot.report()[2]
    assert robot.own.count_subscribers('image') == 0
    assert robot.change_state('activate')
    robot.listen('depth/relative')
    robot.ask(image(robot))
    assert robot.change_state('deactivate')
    robot.spin(until=lambda: robot.own.count_subscribers('image') == 0, what='an unsubscription')
    assert robot.change_state('cleanup')
    assert 'memory of transformer MiB' not in robot.report()[2]


@pytest.mark.parametrize('parameters, words', [
    ({'model': '/nowhere/at/all'}, '/nowhere/at/all'),
    ({'device': 'cuda:0'}, 'device.*cpu'),
    ({'tasks': ['depth', 'adapter:none']}, "cannot do 'adapter:none'"),
    ({'model': 'truncated'}, 'transformer/diffusion_pytorch_model.safetensors'),
])
def test_a_model_that_cannot_be_used_is_refused_in_one_line_and_a_good_one_taken_after(
        robot, tiny_model, tmp_path, parameters, words):
    if parameters.get('device') == 'cuda:0':
        torch = pytest.importorskip('torch')
        if torch.cuda.is_available():
            pytest.skip('there is a CUDA device')
    if parameters.get('model') == 'truncated':
        shutil.copytree(tiny_model, tmp_path / 'truncated')
        file = tmp_path / 'truncated/transformer/diffusion_pytorch_model.safetensors'
        file.write_bytes(file.read_bytes()[:1000])
        parameters = {'model': str(tmp_path / 'truncated')}
    before = {name: robot.get(name) for name in parameters}
    assert robot.set(**parameters) == ''
    start = len(robot.node.text())
    assert not robot.change_state('configure')
    line = robot.node.wait_for_line(f'cannot configure: .*{words}', after=start)
    assert 'ERROR' in line and robot.state() == 'unconfigured'
    assert len(robot.node.text()[start:].splitlines()) == 2  # 'loading', and this
    level, message, _ = robot.report()
    assert level == b'\x02' and message in line
    assert robot.set(**before) == ''
    assert robot.change_state('configure')
    assert 'cannot configure' not in robot.report()[1]


def test_cycles_with_frames_streaming_leak_nothing_and_nothing_comes_after_deactivate(robot):
    levels = []
    for _ in range(CYCLES):
        activate(robot)
        robot.listen('depth/relative')
        robot.ask(image(robot))
        for _ in range(3):
            robot.send(image(robot))
        assert robot.change_state('deactivate')
        robot.heard_all = []
        robot.spin(0.5)
        assert not robot.heard_all
        assert robot.change_state('cleanup')
        levels.append(memory(robot))
    print('memory of the process by cycle, MiB:', *levels)
    assert levels[-1] <= levels[1] * 1.02 + 4


def test_another_model_can_be_taken_between_cleanup_and_configure(robot, tiny_model, tmp_path):
    from tiny_model import write_tiny_model
    small = write_tiny_model(tmp_path / 'depth_only', tasks={'depth': (1, 1.0)})
    assert robot.set(model=str(small)) == ''
    start = len(robot.node.text())
    assert not robot.change_state('configure')
    robot.node.wait_for_line("cannot configure: parameter 'tasks': the model cannot do 'normals'",
                             after=start)
    assert robot.state() == 'unconfigured'
    assert robot.set(tasks=['depth']) == ''
    activate(robot)
    robot.listen('depth/relative')
    robot.ask(image(robot))


def test_without_dropping_every_frame_is_answered_in_order(robot):
    activate(robot)  # first with the QoS of dropping
    assert robot.change_state('deactivate')
    assert robot.set(drop_frames=False, queue_size=30) == ''
    assert robot.change_state('activate')
    robot.listen('depth/relative', qos=QoSProfile(depth=30))
    publisher = robot.own.create_publisher(Image, 'image', QoSProfile(depth=30))
    robot.spin(until=lambda: [
        info.qos_profile.reliability for info in robot.own.get_subscriptions_info_by_topic('image')
    ] == [ReliabilityPolicy.RELIABLE], what='a reliable subscription alone')
    robot.spin(0.5)
    robot.heard_all = []
    before = robot.report()[2]
    sent = [image(robot) for _ in range(12)]
    for message in sent:
        publisher.publish(message)
    robot.spin(until=lambda: sent[-1].header in [answer.header for _, answer in robot.heard_all],
               what='the last answer')
    answered = [answer.header.stamp.sec for _, answer in robot.heard_all]
    assert answered == sorted(answered)
    after = robot.report()[2]
    assert int(after['frames answered']) - int(before['frames answered']) >= 12
    assert after['frames dropped'] == before['frames dropped']
    robot.own.destroy_publisher(publisher)
    robot.change_state('deactivate')
    assert robot.set(drop_frames=True) == ''


def test_who_cannot_be_heard_or_served_for_qos_is_named_with_the_cure(robot):
    robot.stop_publishing()
    assert robot.set(drop_frames=False) == ''
    activate(robot)
    start = len(robot.node.text())
    publisher = robot.own.create_publisher(Image, 'image', qos_profile_sensor_data)
    subscription = robot.own.create_subscription(
        Image, 'depth/relative', print,
        QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
    robot.spin(1.0)
    robot.node.wait_for_line('publisher of /image offers another reliability .*'
                             'qos_overrides./image.subscription.reliability', after=start)
    robot.node.wait_for_line('subscriber of /depth/relative asks for another durability .*'
                             'qos_overrides./depth/relative.publisher.durability', after=start)
    robot.own.destroy_publisher(publisher)
    robot.own.destroy_subscription(subscription)
    robot.change_state('deactivate')
    assert robot.set(drop_frames=True) == ''


def test_silence_is_reported_with_the_image_topics_that_exist(robot):
    robot.stop_publishing()
    camera = robot.own.create_publisher(Image, 'front/image_raw', 1)
    activate(robot)
    start = len(robot.node.text())
    line = robot.node.wait_for_line('no image on /image for', after=start)
    assert 'remap image to one of /front/image_raw' in line
    robot.spin(1.5)
    assert robot.report()[0] == b'\x01'
    robot.own.destroy_publisher(camera)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize('moment', ['unconfigured', 'loading'])
def test_a_signal_at_the_start_ends_the_process_in_order(
        number, moment, tiny_model, tmp_path, monkeypatch):
    """As a user's node runs, whose middleware makes files in shared memory: none stays."""
    for name in PROFILE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('FASTDDS_BUILTIN_TRANSPORTS', 'LARGE_DATA')
    domain, claim = claim_domain()
    node = NodeProcess(tmp_path / 'log', {'device': 'cpu', 'model': tiny_model, 'autostart':
                                          str(moment == 'loading').lower()}, domain)
    node.wait_for_line('loading model' if moment == 'loading' else 'unconfigured: ')
    memory = shared_memory(node.process)
    assert node.stop(number) == 0
    assert memory and not [file for file in memory if file.exists()]
    for word in ('Traceback', 'ERROR', 'rror:', 'Failed'):
        assert word not in node.text()
    claim.close()


def test_a_signal_to_an_active_node_with_frames_streaming_ends_it_in_order(robot):
    """The last test: nothing is left of the node after it."""
    activate(robot)
    robot.listen('depth/relative', 'normals/image_raw')
    robot.ask(image(robot))
    for _ in range(3):
        robot.send(image(robot))
    assert robot.node.stop(signal.SIGTERM) == 0
    assert 'Traceback' not in robot.node.text()

# SPDX-License-Identifier: Apache-2.0
"""Real launches, where launch is installed: all nodes live, frames answered, a clean end."""

import array
import importlib.util
import os
import re
import signal
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from robot import PATIENCE, Robot, descendants, name_of
from sensor_msgs.msg import CompressedImage

from diception_ros.bags import rosbag2 as bags
from diception_ros.ros.images import from_array

ROOT = Path(__file__).resolve().parents[2]
PLAYER = Path(__file__).resolve().parents[1] / 'fixtures/bag_player.py'
pytestmark = pytest.mark.skipif(not all(map(importlib.util.find_spec, (
    'launch_ros', 'ros2launch'))), reason='ros2 launch is not installed')


def processes_of(robot):
    """Return the ids of all processes on the robot's domain, also those that lost their parent."""
    found = []
    for file in Path('/proc').glob('[0-9]*/environ'):
        try:
            if f'ROS_DOMAIN_ID={robot.domain}'.encode() in file.read_bytes().split(b'\0'):
                found.append(int(file.parent.name))
        except OSError:
            pass  # it has ended, or is somebody else's
    return found


@pytest.fixture
def launch(tmp_path, monkeypatch):
    """Return a function that launches a file of ours, and ends what is left of it."""
    launched = []
    # An environment that stands on its own wheels is its own prefix, without a setup file.
    if Path(sys.prefix, 'share/ament_index/resource_index/packages/diception_ros').exists():
        for variable, folder in (('AMENT_PREFIX_PATH', sys.prefix),
                                 ('PATH', str(Path(sys.prefix, 'bin')))):
            monkeypatch.setenv(variable, folder, prepend=os.pathsep)

    def start(file, *arguments):
        robot = Robot(tmp_path / 'log', command=[
            sys.executable, '-c', 'import sys; from ros2cli.cli import main; sys.exit(main())',
            'launch', ROOT / 'launch' / file, *arguments])
        launched.append(robot)
        return robot

    yield start
    for robot in launched:
        robot.close()
        robot.node.stop()
        for process in processes_of(robot):
            os.kill(process, signal.SIGKILL)


def image(robot):
    rgb = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    return from_array(rgb, 'rgb8', robot.header())


def assert_ends_in_order(robot, *names):
    """Ctrl-C as a terminal sends it, to every process: all end in silence, and none stays."""
    start = len(robot.node.text())
    started = {process: name_of(process) for process in descendants(robot.node.process.pid)}
    for name in names:
        assert any(name in line for line in started.values()), name
    for process in started:
        os.kill(process, signal.SIGINT)
    assert robot.node.stop(signal.SIGINT) == 0
    patience = time.monotonic() + PATIENCE
    while left := [started[p] for p in started if Path('/proc', str(p)).exists()]:
        assert time.monotonic() < patience, left
        time.sleep(0.02)
    for word in ('Traceback', 'ERROR', 'rror:', 'Failed', 'escalating'):
        assert word not in robot.node.text()[start:]


def test_one_camera_is_answered_in_its_namespace_with_the_parameters_that_were_given(
        launch, tiny_model):
    robot = launch('diception.launch.py', f'model:={tiny_model}', 'device:=cpu', 'namespace:=robot',
                   'tasks:=depth,semantic:person', 'image:=/image', 'log_level:=warn',
                   'enclave:=/robot/eyes')
    robot.spin(until=lambda: robot.own.count_subscribers('/image'), what='an active node')
    robot.listen('robot/depth/relative', 'robot/semantic/color')
    robot.ask(image(robot))
    assert ('diception', '/robot', '/robot/eyes') in (
        robot.own.get_node_names_and_namespaces_with_enclaves())
    assert robot.own.count_subscribers('/camera_info') == 1
    assert robot.own.count_subscribers('/clicked_point') == 1
    assert 'INFO] [1' not in robot.node.text()
    assert_ends_in_order(robot, 'diception_node')


@pytest.mark.parametrize('image_topic', ['/camera/image_raw', '/camera/image_raw/compressed'])
def test_compressed_images_are_answered_in_either_spelling_with_the_camera_info_beside_them(
        launch, tiny_model, image_topic):
    robot = launch('diception.launch.py', f'model:={tiny_model}', 'device:=cpu', 'tasks:=depth',
                   f'image:={image_topic}', 'image_transport:=compressed')
    robot.listen('depth/relative')
    message = CompressedImage(header=robot.header(), format='jpeg')
    message.data = array.array('B', cv2.imencode('.jpg', np.zeros((48, 64, 3)))[1].tobytes())
    robot.ask(message, to='/camera/image_raw/compressed')
    assert robot.own.count_subscribers('/camera/camera_info') == 1


def test_a_killed_node_is_started_again_and_answers(launch, tiny_model):
    robot = launch('diception.launch.py', f'model:={tiny_model}', 'device:=cpu', 'respawn:=Yes')
    robot.listen('depth/relative')
    first = robot.ask(image(robot))['depth/relative']
    start = len(robot.node.text())
    [node] = [process for process in descendants(robot.node.process.pid)
              if 'diception_node' in name_of(process)]
    os.kill(node, signal.SIGKILL)
    robot.node.wait_for_line('configured: model', after=start)
    assert robot.ask(image(robot))['depth/relative'].data == first.data
    assert_ends_in_order(robot, 'diception_node')


def test_every_camera_of_the_list_has_its_node_and_the_command_line_holds_for_all(
        launch, tiny_model):
    cameras = ROOT / 'config/cameras.yaml'
    robot = launch('multi_camera.launch.py', f'cameras:={cameras}', f'model:={tiny_model}',
                   'device:=cpu')
    for camera in yaml.safe_load(cameras.read_text()):
        outputs = [f'{camera["namespace"]}/{name}' for name in ('depth/relative', 'overlay')]
        robot.listen(*outputs)
        robot.ask(image(robot), to=camera['image'])
        tasks = robot.node.wait_for_line(rf'{camera["namespace"]}\.diception\]: configured')
        assert camera['tasks'].replace(',', ', ') in tasks
    assert_ends_in_order(robot, 'front', 'rear')


def test_the_demo_has_a_camera_and_metres(launch, tiny_model):
    robot = launch('demo.launch.py', f'model:={tiny_model}', 'rviz:=false', 'width:=160',
                   'height:=120', 'tasks:=depth')
    robot.listen('overlay', 'depth/relative', 'depth/image_raw')
    robot.spin(until=lambda: 'depth/image_raw' in robot.heard, what='depth/image_raw')
    assert robot.heard['depth/image_raw'].width == 160
    assert robot.heard['depth/image_raw'].header.frame_id == 'camera_optical_frame'
    assert_ends_in_order(robot, 'diception_node', 'world_camera')


@pytest.fixture
def bag(tmp_path):
    """Return a bag of five frames in one second."""
    with bags.BagWriter(tmp_path / 'bag') as writer:
        for number in range(5):
            stamp = 1_000_000_000 + 200_000_000 * number
            writer.write('/camera/image_raw', stamp, bags.image(
                bags.header(stamp, 'camera'), np.full((48, 64, 3), 50 * number, np.uint8), 'rgb8'))
    return tmp_path / 'bag'


def test_a_bag_is_played_in_a_loop_on_its_own_time(launch, tiny_model, bag, tmp_path, monkeypatch):
    """The time jumps back at the end of every loop, and frames are answered before and after."""
    (tmp_path / 'bin').mkdir()
    player = tmp_path / 'bin/ros2'
    player.write_text(f'#!/bin/sh\nexec {sys.executable} {PLAYER} "$@"\n')
    player.chmod(0o755)
    monkeypatch.setenv('PATH', f'{player.parent}{os.pathsep}{os.environ["PATH"]}')
    robot = launch('replay.launch.py', f'bag:={bag}', f'model:={tiny_model}', 'device:=cpu',
                   'rate:=2.0', 'rviz:=false', 'tasks:=depth')
    robot.listen('depth/relative')
    assert robot.get('use_sim_time') is True
    robot.spin(until=lambda: len(robot.heard_all) > 12, what='answers of three loops')
    times = [answer.header.stamp.sec + 1e-9 * answer.header.stamp.nanosec
             for _, answer in robot.heard_all]
    assert any(later < earlier for earlier, later in zip(times, times[1:]))
    assert 1 <= min(times) and max(times) < 2
    assert 0 < robot.reports[-1].header.stamp.sec < 1000, 'the time of the bag, not of the wall'
    assert_ends_in_order(robot, 'diception_node', 'bag_player')


def test_without_a_player_the_replay_ends_and_says_why(launch, tiny_model, tmp_path, monkeypatch):
    player = tmp_path / 'ros2'
    player.write_text("#!/bin/sh\necho \"invalid choice: 'bag'\"\nexit 2\n")
    player.chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}{os.pathsep}{os.environ["PATH"]}')
    robot = launch('replay.launch.py', 'bag:=nowhere', f'model:={tiny_model}', 'device:=cpu',
                   'rviz:=false')
    robot.node.process.wait(60)
    assert "invalid choice: 'bag'" in robot.node.text()
    assert 'was required: shutting down' in robot.node.text()
    assert 'Traceback' not in robot.node.text()


def refusal(robot):
    """Return what launch says when it refuses: one line, before and after which nothing runs."""
    assert robot.node.process.wait(60) == 1
    assert not processes_of(robot)
    assert 'process started' not in robot.node.text()
    [line] = [line for line in robot.node.text().splitlines()
              if re.search('ERROR|WARN|rror:', line)]
    return line


@pytest.mark.skipif(any(Path(prefix, 'share/rviz2').exists() for prefix in [
    sys.prefix, *os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)]),
    reason='RViz is installed')
@pytest.mark.parametrize('arguments', [
    ('diception.launch.py', 'rviz:=on'), ('demo.launch.py',), ('replay.launch.py', 'bag:=nowhere')],
    ids=lambda arguments: arguments[0])
def test_where_rviz_is_missing_nothing_is_left_running(launch, arguments):
    assert "argument 'rviz': RViz is not installed" in refusal(launch(*arguments))


@pytest.mark.parametrize('arguments, words', [
    (('diception.launch.py', 'params_file:=/nowhere.yaml'),
     "argument 'params_file': there is no file '/nowhere.yaml'"),
    (('diception.launch.py', 'respawn:=perhaps'), "argument 'respawn': 'perhaps' is neither true"),
    (('diception.launch.py', 'image_transport:=theora'),
     "argument 'image_transport': 'theora' is neither raw nor compressed"),
    (('diception.launch.py', 'log_level:=loud'), "argument 'log_level': 'loud' is not one of"),
    (('demo.launch.py', 'rviz:=no', 'width:=wide'), "argument 'width': 'wide' is not an integer"),
    (('multi_camera.launch.py', 'cameras:=/nowhere.yaml'), "argument 'cameras': '/nowhere.yaml'"),
], ids=lambda value: value if isinstance(value, str) else value[-1])
def test_an_argument_that_cannot_be_is_refused_before_anything_is_started(
        launch, arguments, words):
    assert words in refusal(launch(*arguments))


@pytest.mark.parametrize('second, words', [
    ('namespace: rear, image: /rear, params_file: /nowhere.yaml', 'there is no file'),
    ('namespace: rear-view, image: /rear', "argument 'namespace'"),
])
def test_a_second_camera_that_cannot_be_is_refused_before_the_first_is_started(
        launch, tmp_path, second, words):
    cameras = tmp_path / 'cameras.yaml'
    cameras.write_text(f'- {{namespace: front, image: /front}}\n- {{{second}}}\n')
    line = refusal(launch('multi_camera.launch.py', f'cameras:={cameras}', 'device:=cpu'))
    assert f"{cameras}: camera 'rear" in line and words in line

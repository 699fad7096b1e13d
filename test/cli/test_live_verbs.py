# SPDX-License-Identifier: Apache-2.0
"""demo and replay drive a real node process over real DDS."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from rosbags.interfaces import QosDurability
from rosbags.rosbag2 import Writer

from diception_ros import cli
from diception_ros.bags import rosbag2 as bags
from diception_ros.ros.child_processes import ending_with_us

pytest.importorskip('rclpy', reason='a live node needs ROS 2')

from robot import PATIENCE, descendants, name_of  # noqa: E402


def status_of(*arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    return ended.value.code


@pytest.fixture(scope='module')
def replayed(small_bag, tiny_model, tmp_path_factory):
    """A function that replays the small bag; the new bag and the exit status."""
    def replay(name, *arguments):
        out = tmp_path_factory.mktemp('replays') / name
        status = status_of('replay', small_bag, '--out', out, '--image-topic', '/camera/image_raw',
                           '--model', tiny_model, *arguments)
        return out, status

    return replay


def test_a_replay_answers_every_frame_under_its_stamp_and_twice_the_same(replayed, small_bag):
    """1. Replay a bag with its input. 2. Every frame is answered, under its own stamp and time.
    3. Replay again and compare: byte for byte the same, status 0."""
    first, status = replayed('first')
    assert status == 0
    with bags.BagReader(small_bag) as bag:
        frames = [(bags.stamp_of(data), time)
                  for _, time, data in bag.messages(['/camera/image_raw'])]
    with bags.BagReader(first) as bag:
        assert bag.topics['/camera/image_raw'].count == len(frames)
        for topic in ('depth/relative', 'normals/color', 'segmentation/mask', 'poses', 'overlay'):
            answers = [(bags.stamp_of(data), time)
                       for _, time, data in bag.messages([f'/diception/{topic}'])]
            assert answers == frames, topic
        assert bag.topics['/diception/semantic/label_info'].count == 1

    second, status = replayed('second', '--no-with-input', '--compare', first)
    assert status == 0
    with bags.BagReader(first) as one, bags.BagReader(second) as two:
        topics = [topic for topic in one.topics if topic.startswith('/diception/')]
        assert sorted(topics) == sorted(two.topics)
        for topic in topics:
            assert list(one.messages([topic])) == list(two.messages([topic])), topic


def test_a_replay_of_chosen_outputs_that_differs_from_the_golden_one_fails(
        replayed, tiny_model, tmp_path, capsys):
    golden = tmp_path / 'golden'
    with bags.BagWriter(golden) as bag:
        head = bags.header(bags.CAMERA_START, bags.CAMERA_FRAME)
        bag.write('/diception/depth/relative', 0,
                  bags.image(head, np.zeros((48, 64), np.float32), '32FC1'))
    out, status = replayed('chosen', '--outputs', 'depth/relative', '--no-with-input',
                           '--compare', golden, '--tolerance', '0.01')
    assert status == 1
    assert 'depth/relative differs from' in capsys.readouterr().err
    with bags.BagReader(out) as bag:
        assert list(bag.topics) == ['/diception/depth/relative']


def test_the_demo_of_somebodys_bag_records_every_output_and_leaves_a_page(
        small_bag, tiny_model, tmp_path):
    out = tmp_path / 'demo'
    assert status_of('demo', '--bag', small_bag, '--image-topic', '/camera/image_raw', '--out', out,
                     '--model', tiny_model) == 0
    page = (out / 'index.html').read_text()
    assert 'depth/relative' in page and 'against the truth' in page
    assert list((out / 'pictures').glob('*_overlay.jpg'))
    with bags.BagReader(out / 'outputs') as bag:
        for topic in ('poses/color', 'segmentation/mask', 'semantic/label_info', 'points'):
            assert bag.topics[f'/diception/{topic}'].count > 0, topic


def everything(folder):
    """Every file of a folder, and its bytes."""
    return {str(file.relative_to(folder)): file.read_bytes()
            for file in sorted(folder.rglob('*')) if file.is_file()}


def test_a_demo_replaces_the_last_one_when_it_is_whole_and_keeps_what_is_not_its_own(
        small_bag, tiny_model, tmp_path, capsys):
    """1. A demo. 2. A demo that fails leaves it as it was. 3. Another demo, and nothing typed."""
    out, arguments = tmp_path / 'demo', ('--image-topic', '/camera/image_raw')
    arguments = ('demo', '--bag', small_bag, *arguments, '--out', out, '--model')
    assert status_of(*arguments, tiny_model) == 0
    (out / 'notes.txt').write_text('mine')
    (out / 'outputs/notes.txt').write_text('mine, too')
    before = everything(out)
    capsys.readouterr()
    assert status_of(*arguments, tmp_path / 'none') == 1
    err = capsys.readouterr().err
    assert everything(out) == before
    log = Path(re.search(r'see (.*/node\.log)', err).group(1))
    assert 'cannot configure' in log.read_text() and out not in log.parents
    assert status_of(*arguments, tiny_model) == 0
    after = everything(out)
    assert after['notes.txt'] == b'mine' and after['outputs/notes.txt'] == b'mine, too'
    assert after['index.html'] != before['index.html'], 'other latencies'
    assert not list(tmp_path.glob('.diception*')) and not list(out.glob('.diception-*'))


@pytest.mark.parametrize('verb', [('replay',), ('demo', '--bag')])
def test_a_run_that_is_killed_leaves_no_node_and_nothing_that_looks_whole(
        verb, small_bag, tiny_model, tmp_path):
    run = subprocess.Popen(
        [sys.executable, '-c', 'from diception_ros.cli import main; main()', *verb, small_bag,
         '--image-topic', '/camera/image_raw', '--out', tmp_path / 'out', '--model', tiny_model],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ending_with_us())

    def node():
        return [process for process in descendants(run.pid)
                if 'diception_node' in name_of(process)]

    patience = time.monotonic() + PATIENCE
    while not (started := node()) or not list(tmp_path.glob('.diception-*/out/**/*.mcap')):
        assert time.monotonic() < patience and run.poll() is None
        time.sleep(0.05)
    run.send_signal(signal.SIGKILL)
    run.wait()
    while any(Path('/proc', str(process)).exists() for process in started):
        assert time.monotonic() < patience
        time.sleep(0.05)
    assert not (tmp_path / 'out').exists()


def test_a_model_that_is_missing_ends_the_demo_in_one_line(small_bag, tmp_path, capsys):
    status = status_of('demo', '--bag', small_bag, '--image-topic', '/camera/image_raw',
                       '--out', tmp_path / 'demo', '--model', tmp_path / 'none')
    err = capsys.readouterr().err
    assert status == 1 and err.startswith('diception: ') and 'cannot configure' in err
    assert err.count('\n') == 1


def test_a_replay_beside_a_node_that_publishes_the_same_pictures_ends_in_one_line(
        small_bag, tiny_model, tmp_path, monkeypatch, capsys):
    """The user chose a domain, and there is a camera in it already."""
    monkeypatch.setenv('ROS_DOMAIN_ID', '114')
    with subprocess.Popen(
        [sys.executable, '-c',
         'import rclpy\nfrom sensor_msgs.msg import Image\nrclpy.init()\n'
         "node = rclpy.create_node('webcam')\n"
         "publisher = node.create_publisher(Image, '/camera/image_raw', 1)\n"
         "print('here', flush=True)\nrclpy.spin(node)"], stdout=subprocess.PIPE,
        env=ending_with_us()) as webcam:
        webcam.stdout.readline()
        status = status_of('replay', small_bag, '--out', tmp_path / 'out', '--image-topic',
                           '/camera/image_raw', '--model', tiny_model)
        webcam.kill()
    err = capsys.readouterr().err
    assert status == 1 and '/webcam, publishes /camera/image_raw' in err and err.count('\n') == 1
    assert not (tmp_path / 'out').exists()


@pytest.fixture(scope='module')
def real_bag(small_bag, tmp_path_factory):
    """A bag as people have them: two cameras without a namespace, pictures 25 s after the rest, a
    latched topic, a type that nobody knows, a topic of two types, metadata edited by hand."""
    path = tmp_path_factory.mktemp('bags') / 'real'
    with Writer(path, version=8) as bag:
        def add(topic, kind, latched=False, **text):
            qos = bags.LATCHED_QOS if latched else bags.DEFAULT_QOS
            return bag.add_connection(topic, kind, typestore=bags.types(),
                                      offered_qos_profiles=[qos], **text)

        begin, text = bags.CAMERA_START - 25 * 10**9, bags.make('std_msgs/msg/String', data='odd')
        bag.write(add('/robot_description', 'std_msgs/msg/String', True), begin, bags.encode(text))
        bag.write(add('/gripper', 'my_msgs/msg/Gripper', msgdef='float32 newton',
                      rihs01='RIHS01_' + 64 * 'b'), begin, b'\0\1\0\0\0\0\0\0')
        bag.write(add('/state', 'std_msgs/msg/String'), begin, bags.encode(text))
        bag.write(add('/state', 'std_msgs/msg/Float64'), begin,
                  bags.encode(bags.make('std_msgs/msg/Float64', data=1.0)))
        info = add('/camera_info', 'sensor_msgs/msg/CameraInfo')
        images = [add(topic, 'sensor_msgs/msg/Image')
                  for topic in ('/front_camera', '/rear_camera')]
        with bags.BagReader(small_bag) as camera:
            for topic, time, data in camera.messages():
                if topic == '/camera/camera_info':
                    bag.write(info, time - 25 * 10**9, data)
                elif topic == '/camera/image_raw':
                    for image in images:
                        bag.write(image, time, data)
    file = path / 'metadata.yaml'
    content = yaml.safe_load(file.read_text())
    for topic in content['rosbag2_bagfile_information']['topics_with_message_count']:
        del topic['message_count']
        if topic['topic_metadata']['name'] == '/front_camera':
            topic['topic_metadata']['offered_qos_profiles'] = '- reliability: best_effort'
    file.write_text(yaml.safe_dump(content))
    return path


def test_a_real_bag_of_two_cameras_is_copied_whole_and_each_camera_answered_by_its_name(
        real_bag, tiny_model, tmp_path, capsys):
    out = tmp_path / 'out'
    assert status_of('replay', real_bag, '--out', out, '--image-topic', '/front_camera',
                     '--image-topic', '/rear_camera', '--outputs', 'depth/relative',
                     '--model', tiny_model) == 0
    assert '/camera_info lies beside 2 of the cameras' in capsys.readouterr().out
    assert bags.copied_wrongly(real_bag, out) == ''
    with bags.BagReader(out) as bag:
        results = {name: topic.count for name, topic in bag.topics.items()
                   if name.startswith('/diception')}
        qos = {channel.topic: channel.qos[0] for channel in bag.channels}
    assert results == {'/diception/front_camera/depth/relative': 6,
                       '/diception/rear_camera/depth/relative': 6}
    assert qos['/robot_description'].durability == QosDurability.TRANSIENT_LOCAL

    again = tmp_path / 'again'
    assert status_of('replay', out, '--out', again, '--image-topic', '/front_camera') == 1
    err = capsys.readouterr().err
    assert 'give --no-with-input' in err and err.count('\n') == 1
    assert not Path(again).exists()


def test_a_demo_of_a_bag_whose_pictures_come_late_shows_them(real_bag, tiny_model, tmp_path):
    out = tmp_path / 'demo'
    assert status_of('demo', '--bag', real_bag, '--image-topic', '/rear_camera', '--out', out,
                     '--model', tiny_model, '--seconds', '5') == 0
    with bags.BagReader(out / 'outputs') as bag:
        assert bag.topics['/diception/overlay'].count > 0

# SPDX-License-Identifier: Apache-2.0
"""demo and replay drive a real node process over real DDS."""

import subprocess
import sys

import numpy as np
import pytest

from diception_ros import cli
from diception_ros.bags import rosbag2 as bags

pytest.importorskip('rclpy', reason='a live node needs ROS 2')


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
         "print('here', flush=True)\nrclpy.spin(node)"], stdout=subprocess.PIPE) as webcam:
        webcam.stdout.readline()
        status = status_of('replay', small_bag, '--out', tmp_path / 'out', '--image-topic',
                           '/camera/image_raw', '--model', tiny_model)
        webcam.kill()
    err = capsys.readouterr().err
    assert status == 1 and '/webcam, publishes /camera/image_raw' in err and err.count('\n') == 1
    assert not (tmp_path / 'out').exists()

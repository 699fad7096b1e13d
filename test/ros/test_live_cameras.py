# SPDX-License-Identifier: Apache-2.0
"""Cameras as they are: windows of the sensor, 16 bits, latched images, every spelling of topics."""

import array
import re
import sys

import cv2
import numpy as np
import pytest
from geometry_msgs.msg import Point
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from robot import Robot
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest

from diception_ros.ros.images import from_array

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def picture(width=64, height=48):
    small = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def sensor_info():
    """Return the CameraInfo of a 256x192 sensor of which the middle is read out, binned."""
    info = CameraInfo(width=256, height=192, distortion_model='plumb_bob', d=[0.0] * 5)
    info.k = [200.0, 0, 128, 0, 200, 96, 0, 0, 1]
    info.p = [200.0, 0, 128, 0, 0, 200, 96, 0, 0, 0, 1, 0]
    info.binning_x = info.binning_y = 2
    info.roi = RegionOfInterest(x_offset=40, y_offset=20, width=128, height=96, do_rectify=True)
    return info


def restart(robot):
    assert robot.change_state('deactivate')
    assert robot.change_state('activate')


def since(robot, pattern, start):
    return [line for line in robot.node.text()[start:].splitlines() if re.search(pattern, line)]


def test_a_window_of_the_sensor_gets_its_own_cloud_and_camera_info(robot):
    assert robot.set(depth__scale='near_far') == ''
    robot.listen('points', 'depth/camera_info', 'depth/image_raw')
    answers = robot.ask(from_array(picture(), 'rgb8', robot.header()),
                        before=lambda: robot.tell(sensor_info()))
    out = answers['depth/camera_info']
    assert (out.width, out.height) == (64, 48) and {out.binning_x, out.binning_y} <= {0, 1}
    assert out.roi == RegionOfInterest()
    assert out.k.tolist() == [100, 0, 44, 0, 100, 38, 0, 0, 1]
    assert out.p.tolist() == [100, 0, 44, 0, 0, 100, 38, 0, 0, 0, 1, 0]
    cloud = answers['points']
    points = np.frombuffer(cloud.data, np.float32).reshape(cloud.width * cloud.height, -1)
    pixels = points[:, :2] / points[:, 2:3] * 100 + (44, 38)
    np.testing.assert_allclose(pixels, np.rint(pixels), atol=1e-3)
    assert len(pixels) > 500 and (pixels.min(0) > -0.5).all() and (pixels.max(0) < (64, 48)).all()


def test_a_camera_info_of_another_image_is_said_and_not_used(robot):
    assert robot.set(depth__scale='near_far') == ''
    robot.listen('points', 'depth/camera_info', 'depth/image_raw')
    robot.spin(5.5)  # an earlier complaint would hold this one back
    start = len(robot.node.text())
    robot.tell(sensor_info())
    robot.ask(from_array(picture(64, 40), 'rgb8', robot.header()), 'depth/image_raw')
    robot.node.wait_for_line('/camera_info: camera_info: its size is 256x192, its ROI 128x96 at '
                             r'\(40, 20\), its binning 2x2, the image is 64x40', after=start)
    assert 'points' not in [topic for topic, _ in robot.heard_all]


def test_a_depth_image_as_image_is_refused_in_one_line_and_a_picture_is_answered(robot):
    robot.listen('depth/relative')
    robot.spin(5.5)
    start = len(robot.node.text())
    for _ in range(4):
        robot.send(from_array(np.full((48, 64), 1500, np.uint16), '16UC1', robot.header()))
        robot.spin(0.1)
    robot.node.wait_for_line("image ignored: its encoding '16UC1' is that of a depth image",
                             after=start)
    robot.ask(from_array(picture(), 'rgb8', robot.header()))
    assert len(since(robot, 'depth image', start)) == 1


def test_twelve_bits_in_sixteen_are_answered_like_eight_and_it_is_said_once(robot):
    restart(robot)
    robot.listen('depth/relative')
    grey = cv2.cvtColor(picture(), cv2.COLOR_RGB2GRAY)
    grey[:8, :8], grey[:8, 8:16] = 255, 0
    eight = robot.ask(from_array(grey, 'mono8', robot.header()))['depth/relative']
    start = len(robot.node.text())
    twelve = np.rint(grey * (4095 / 255)).astype(np.uint16)
    for _ in range(3):
        answer = robot.ask(from_array(twelve, 'mono16', robot.header()))['depth/relative']
        assert answer.data == eight.data
    [line] = since(robot, 'bits', start)
    assert '/image: 16-bit values up to 4095: 12 bits are taken as used; the parameter im' in line
    assert robot.set(image_bits=16) == ''
    dark = robot.ask(from_array(twelve, 'mono16', robot.header()))['depth/relative']
    assert dark.data != eight.data


@pytest.fixture
def publish():
    """Return a function that makes a publisher which ends with the test, and publishes once."""
    made = []

    def start(robot, kind, topic, qos, message=None):
        publisher = robot.own.create_publisher(kind, topic, qos)
        made.append((robot, publisher))
        if message is not None:
            publisher.publish(message)
        robot.spin(1.0)
        return publisher

    yield start
    for robot, publisher in made:
        robot.own.destroy_publisher(publisher)


@pytest.fixture
def queueing(robot):
    """Return a robot whose node asks for reliable images."""
    assert robot.change_state('deactivate')
    assert robot.set(drop_frames=False) == ''
    assert robot.change_state('activate')
    yield robot
    assert robot.change_state('deactivate')
    assert robot.set(drop_frames=True) == ''
    assert robot.change_state('activate')


def test_a_latched_camera_info_and_a_latched_image_are_seen_by_a_node_that_comes_later(
        robot, publish):
    """1. Both are published once. 2. The node comes. 3. Who listens later is answered, too."""
    assert robot.set(depth__scale='near_far') == ''
    robot.listen('points')
    assert robot.change_state('deactivate')
    robot.stop_publishing()
    info, image = sensor_info(), from_array(picture(), 'rgb8', robot.header())
    publish(robot, CameraInfo, 'camera_info', LATCHED, info)
    publish(robot, Image, 'image', LATCHED, image)
    assert robot.change_state('activate')
    robot.heard.clear()
    robot.spin(until=lambda: 'points' in robot.heard, what='the cloud of the latched image')
    assert robot.heard['points'].header == image.header
    start = len(robot.node.text())
    robot.listen('normals/color', 'segmentation/mask')
    robot.spin(until=lambda: 'normals/color' in robot.heard, what='the normals of it')
    robot.heard.clear()
    robot.send(Point(x=30.0, y=20.0))
    robot.spin(until=lambda: 'segmentation/mask' in robot.heard, what='what was clicked in it')
    robot.spin(2)
    answered = int(robot.report()[2]['frames answered'])
    robot.spin(7)  # it is no camera that fell silent, and nothing is computed for nobody
    assert not since(robot, 'no image', start)
    assert int(robot.report()[2]['frames answered']) == answered


def test_a_latching_camera_is_answered_frame_by_frame_and_a_volatile_one_beside_it(
        robot, publish):
    """Nothing is answered twice, although two subscriptions hear it for a while."""
    robot.listen('depth/relative')
    assert robot.change_state('deactivate')
    robot.stop_publishing()
    first = from_array(picture(), 'rgb8', robot.header())
    publisher = publish(robot, Image, 'image', LATCHED, first)
    assert robot.change_state('activate')
    robot.spin(until=lambda: robot.heard_all, what='the latched image')
    robot.spin(2.5)
    stamps = [first.header.stamp]
    for _ in range(5):
        message = from_array(picture(), 'rgb8', robot.header())
        stamps.append(message.header.stamp)
        publisher.publish(message)
        robot.spin(0.4)
    robot.spin(1.0)
    answered = [answer.header.stamp for _, answer in robot.heard_all]
    assert answered == stamps
    robot.ask(from_array(picture(), 'rgb8', robot.header()))


def test_a_publisher_whose_qos_does_not_fit_is_named_as_the_reason_of_silence(queueing, publish):
    queueing.stop_publishing()
    start = len(queueing.node.text())
    publish(queueing, Image, 'image', QoSProfile(
        depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
    queueing.node.wait_for_line('no image on /image .*QoS does not fit .*qos_overrides./image.subsc'
                                'ription', after=start)


def test_images_of_the_other_transport_are_named_as_the_reason_of_silence(robot, publish):
    restart(robot)
    robot.stop_publishing()
    start = len(robot.node.text())
    publish(robot, CompressedImage, 'image/compressed', 1)
    robot.node.wait_for_line('no image on /image .*on /image/compressed: set the parameter image_tr'
                             'ansport to compressed', after=start)


@pytest.fixture
def start_node(tiny_model, tmp_path):
    """Return a function that starts a node with remaps and parameters of its own."""
    robots = []

    def start(*remaps, **parameters):
        command = [sys.executable, '-m', 'diception_ros.node', '--ros-args']
        for remap in remaps:
            command += ['-r', remap]
        robots.append(Robot(tmp_path / 'log', command=command, device='cpu', model=tiny_model,
                            **parameters))
        robots[-1].meet()
        return robots[-1]

    yield start
    for robot in robots:
        robot.node.stop()
        robot.close()


@pytest.mark.parametrize('remap', [
    'image:=/camera/image_raw', 'image:=/camera/image_raw/compressed',
    'image/compressed:=/camera/image_raw/compressed'])
def test_compressed_images_are_answered_however_their_topic_is_spelt(start_node, remap):
    robot = start_node(remap, image_transport='compressed', tasks='[depth]')
    robot.listen('depth/relative')
    message = CompressedImage(header=robot.header(), format='rgb8; jpeg compressed bgr8')
    message.data = array.array('B', cv2.imencode('.jpg', picture())[1].tobytes())
    robot.ask(message, to='/camera/image_raw/compressed')


def test_a_durability_that_the_user_sets_is_kept(start_node, publish):
    """Volatile on purpose: what was latched before is not asked for, and the reason is said."""
    override = 'qos_overrides./image.subscription.durability'
    robot = start_node(tasks='[depth]', autostart='false', **{override: 'volatile'})
    publish(robot, Image, 'image', LATCHED, from_array(picture(), 'rgb8', robot.header()))
    assert robot.change_state('configure') and robot.change_state('activate')
    robot.listen('depth/relative')
    robot.node.wait_for_line(f'no image on /image .*latches.*{override}')
    assert not robot.heard_all

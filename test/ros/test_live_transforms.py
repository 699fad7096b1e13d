# SPDX-License-Identifier: Apache-2.0
"""TF on a live node, where tf2_ros is installed: clicks and lidar points of other frames."""

import dataclasses

import numpy as np
import pytest
from geometry_msgs.msg import Point, PointStamped
from sensor_msgs.msg import CameraInfo, PointCloud2
from std_msgs.msg import Header

from diception_ros.geometry import CameraModel, point_cloud
from diception_ros.lab.synthetic.world_camera import transform_of
from diception_ros.ros.clouds import from_cloud
from diception_ros.ros.images import from_array

tf2_ros = pytest.importorskip('tf2_ros')

K = [100.0, 0.0, 80.0, 0.0, 100.0, 60.0, 0.0, 0.0, 1.0]
# The world's x is the camera's z, its y to the left, its z up; the camera is 1 m behind the origin.
CAMERA_POSE = np.array([[0.0, 0, 1, -1], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])


@pytest.fixture
def robot(robot):
    robot.tell(CameraInfo(width=160, height=120, k=K, distortion_model='plumb_bob', d=[0.0] * 5))
    yield robot
    if hasattr(robot, 'broadcaster'):
        robot.own.destroy_publisher(robot.broadcaster.pub_tf)
        del robot.broadcaster


def image(robot):
    texture = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
    return from_array(np.kron(texture, np.ones((4, 4, 1), np.uint8)), 'rgb8', robot.header())


def place(robot, header, pose, frame='camera_optical'):
    """Publish where `frame` is in `map` at a header's stamp, (4, 4); return when it was heard."""
    if not hasattr(robot, 'broadcaster'):
        robot.broadcaster = tf2_ros.TransformBroadcaster(robot.own)
        robot.spin(1.0)
    transform = transform_of(pose, header)
    transform.child_frame_id = frame
    robot.broadcaster.sendTransform(transform)
    robot.spin(0.2)
    robot.state()


def asked(robot, topic, pose, before=lambda header: None):
    message = image(robot)

    def prepare():
        before(message.header)
        place(robot, message.header, pose)

    return robot.ask(message, topic, before=prepare)[topic]


def test_a_point_clicked_in_the_map_stays_there_while_the_camera_moves(robot):
    """1. Clicked 2 m before the camera, 0.25 m to its right. 2. The camera goes 0.5 m right."""
    robot.listen('segmentation/mask')
    click = PointStamped(header=robot.header('map'))
    click.point.x, click.point.y, click.point.z = 1.0, -0.25, 0.0
    robot.tell(click)
    moved = CAMERA_POSE.copy()
    moved[1, 3] = -0.5
    found = [asked(robot, 'segmentation/mask', pose).data for pose in (CAMERA_POSE, moved)]
    robot.trigger('clear_points')
    assert robot.set(points__mode='fixed') == ''
    for column, mask in zip((92.5, 67.5), found):
        robot.tell(Point(x=column, y=60.0))
        assert robot.ask(image(robot))['segmentation/mask'].data == mask
        robot.trigger('clear_points')
    assert found[0] != found[1] and any(found[0])


def test_an_image_without_a_transform_of_its_stamp_says_so_and_the_click_waits(robot):
    robot.listen('segmentation/mask')
    click = PointStamped(header=robot.header('map'))
    click.point.x = 1.0
    robot.tell(click)
    assert any(asked(robot, 'segmentation/mask', CAMERA_POSE).data)
    assert robot.set(lazy=True) == ''  # an earlier complaint does not hold this one back
    start = len(robot.node.text())
    late = image(robot)
    late.header.stamp.sec += 1000
    assert not any(robot.ask(late, 'segmentation/mask')['segmentation/mask'].data)
    robot.node.wait_for_line("clicked_point is ignored: no transform from 'map' to "
                             "'camera_optical' at the image's stamp: .*extrapolation",
                             after=start)
    assert any(asked(robot, 'segmentation/mask', CAMERA_POSE).data)


def test_metres_come_from_a_lidar_in_its_own_frame(robot):
    """A band of the picture at 2 m, as a lidar above and before the camera sees it."""
    robot.listen('depth/image_raw')
    measured = np.full((120, 160), np.nan, np.float32)
    measured[40:60] = 2.0
    lidar_pose = np.eye(4)
    lidar_pose[:3, 3] = 0, 0, 1
    lidar_from_camera = np.linalg.inv(lidar_pose) @ CAMERA_POSE
    cloud = point_cloud(measured, CameraModel(K, (160, 120)), flying=True)
    xyz = cloud.data @ lidar_from_camera[:3, :3].T + lidar_from_camera[:3, 3]
    cloud = dataclasses.replace(cloud, data=xyz.astype(np.float32))
    publisher = robot.publisher(PointCloud2, 'reference_points')

    def before(header):
        place(robot, header, lidar_pose, frame='lidar')
        message = from_cloud(cloud, header)
        message.header = Header(frame_id='lidar', stamp=header.stamp)
        publisher.publish(message)

    metres = asked(robot, 'depth/image_raw', CAMERA_POSE, before)
    metres = np.frombuffer(metres.data, np.float32).reshape(120, 160)
    np.testing.assert_allclose(metres[40:60], 2.0, atol=1e-3)


def test_a_gravity_frame_is_looked_up_at_the_images_stamp_and_only_missed_aloud(robot):
    robot.listen('depth/image_raw')
    robot.tell(CameraInfo(width=160, height=120, k=K, distortion_model='plumb_bob', d=[0.0] * 5))
    assert robot.set(depth__camera_height=1.0) == '' and robot.set(depth__gravity_frame='map') == ''
    assert robot.set(depth__scale='ground_plane') == ''
    start = len(robot.node.text())
    asked(robot, 'depth/image_raw', CAMERA_POSE)
    assert 'gravity_frame' not in robot.node.text()[start:]
    late = image(robot)
    late.header.stamp.sec += 1000
    robot.ask(late, 'depth/image_raw')
    robot.node.wait_for_line('depth.gravity_frame is not used, the floor is found by the normals '
                             "alone: no transform from 'map'", after=start)

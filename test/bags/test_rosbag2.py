# SPDX-License-Identifier: Apache-2.0
"""Bags are written and read without rclpy, and say in one line what is wrong with them."""

import numpy as np
import pytest

from diception_ros.bags import rosbag2 as bags
from diception_ros.tasks.truth import Person, Truth


def view(index: int) -> Truth:
    """A wall with a box that moves right, and half a person."""
    height, width = 48, 64
    instances = np.ones((height, width), np.int32)
    instances[10:30, 10 + index : 40 + index] = 2
    depth = np.where(instances == 2, 1.5, 3.0).astype(np.float32)
    depth[0] = np.inf
    keypoints = np.tile(np.float32([20, 20, 2]), (17, 1))
    keypoints[5] = [-3, 10, 0]
    truth = Truth(
        rgb=np.full((height, width, 3), 40 + index, np.uint8),
        depth=depth,
        normals=np.tile(np.float32([0, 0, -1]), (height, width, 1)),
        instances=instances,
        categories={1: 'wall', 2: 'box'},
        people=[Person(label=2, keypoints=keypoints, keypoints_3d=np.ones((17, 3), np.float32))],
        intrinsics=np.array([[60.0, 0, 31.5], [0, 60.0, 23.5], [0, 0, 1]]),
        camera_pose=np.eye(4),
    )
    truth.stamp = index * 0.1
    return truth


@pytest.fixture(scope='module')
def camera(tmp_path_factory):
    path = tmp_path_factory.mktemp('bags') / 'camera'
    assert bags.write_camera_bag(path, map(view, range(6)), clicked=2, click_every=2) == 6
    return path


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_messages_come_back_as_they_were_written_in_both_storages(tmp_path, storage):
    point = bags.make('geometry_msgs/msg/Point', x=1.0, y=2.0, z=3.0)
    with bags.BagWriter(tmp_path / 'bag', storage) as bag:
        bag.write('/p', 5, point)
        bag.write('/p', 7, bags.encode(point))
    with bags.BagReader(tmp_path / 'bag') as bag:
        assert bag.topics['/p'] == bags.Topic('/p', 'geometry_msgs/msg/Point', 2)
        data = bags.encode(point)
        assert list(bag.messages()) == [('/p', 5, data), ('/p', 7, data)]
        assert bag.duration == pytest.approx(2e-9)


def test_the_camera_bag_holds_the_camera_and_the_truth_under_the_same_stamps(camera):
    with bags.BagReader(camera) as bag:
        assert {name: topic.count for name, topic in bag.topics.items()} == {
            '/camera/image_raw': 6, '/camera/camera_info': 6, '/camera/reference_depth': 6,
            '/camera/clicked_pixel': 2, '/truth/depth': 6, '/truth/normals': 6,
            '/truth/entities/labels': 6, '/truth/entities': 6, '/truth/poses': 6,
        }  # fmt: skip
        stamps = {}
        for topic, _, data in bag.messages():
            if topic != '/camera/clicked_pixel':
                stamps.setdefault(topic, []).append(bags.stamp_of(data))
        assert set(map(tuple, stamps.values())) == {
            tuple(bags.CAMERA_START + index * 10**8 for index in range(6))
        }


def test_pictures_of_the_camera_bag_decode_to_the_view(camera):
    with bags.BagReader(camera) as bag:
        first = {}
        for topic, _, data in bag.messages():
            first.setdefault(topic, bags.decode(data, bag.topics[topic].type))
    picture = first['/camera/image_raw']
    assert (picture.height, picture.width, picture.step, picture.encoding) == (48, 64, 192, 'rgb8')
    assert (picture.data == 40).all()
    depth = first['/truth/depth'].data.view(np.float32).reshape(48, 64)
    np.testing.assert_array_equal(depth, view(0).depth)
    assert [entity.category for entity in first['/truth/entities'].entities] == ['wall', 'box']
    joints = first['/truth/poses'].people[0].keypoints
    assert len(joints) == 17 and np.isnan(joints[5].x) and joints[5].score == 0
    click = first['/camera/clicked_pixel']
    assert view(2).instances[int(click.y), int(click.x)] == 2


def test_reference_depth_is_sparse_and_noisy_and_mostly_right():
    true = np.full((480, 640), 2.0, np.float32)
    true[:10] = np.inf
    sparse = bags.sparse_depth(true, np.random.default_rng(0))
    measured = np.isfinite(sparse)
    assert 0.002 <= measured.mean() <= 0.01 and not measured[:10].any()
    error = np.abs(sparse[measured] - 2.0)
    assert 0.005 < np.median(error) < 0.05
    assert 0.01 < (error > 0.2).mean() < 0.06


@pytest.mark.parametrize('encoding, dtype', [('16UC1', np.uint16), ('32FC1', np.float32)])
def test_reference_depth_comes_in_millimetres_or_metres(tmp_path, encoding, dtype):
    bags.write_camera_bag(tmp_path / 'bag', [view(0)], reference_encoding=encoding)
    with bags.BagReader(tmp_path / 'bag') as bag:
        ((_, _, data),) = bag.messages(['/camera/reference_depth'])
        message = bags.decode(data, 'sensor_msgs/msg/Image')
    values = message.data.view(dtype).reshape(48, 64).astype(float)
    known = values[np.isfinite(values) & (values > 0)]
    assert message.encoding == encoding and len(known) > 0
    assert np.median(known) == pytest.approx(2500 if encoding == '16UC1' else 2.5, rel=0.5)


def test_the_thing_to_click_is_the_one_that_stays_largest_in_view():
    assert bags.thing_to_click(map(view, range(3))) == 2
    person = view(0)
    person.categories = {1: 'person', 2: 'ball'}
    assert bags.thing_to_click([person]) == 2, 'what stands still comes first'
    empty = view(0)
    empty.categories = {1: 'wall', 2: 'floor'}
    assert bags.thing_to_click([empty]) is None


def test_equal_messages_are_equal_bytes_whatever_was_left_between_their_fields():
    head = bags.header(5, 'cam')  # 4 bytes with its end: then the height, aligned; then 'rgb8'
    clean = bags.encode(bags.image(head, np.zeros((1, 1, 3), np.uint8), 'rgb8'))
    end = clean.index(b'rgb8\0') + 5
    dirty = clean[:end + 1] + b'\xaa\xbb' + clean[end + 3:]
    assert dirty != clean and bags.canonical(dirty, 'sensor_msgs/msg/Image') == clean


def test_a_restamped_message_differs_in_its_stamp_only():
    point = bags.encode(bags.make('geometry_msgs/msg/PointStamped', header=bags.header(5, 'map'),
                                  point=bags.make('geometry_msgs/msg/Point', x=1.0, y=2.0, z=3.0)))
    moved = bags.restamped(point, 7 * 10**9 + 8)
    assert bags.stamp_of(moved) == 7 * 10**9 + 8
    assert bags.restamped(moved, 5) == point


def test_a_missing_bag_is_said_in_one_line(tmp_path):
    with pytest.raises(bags.BagError, match='no such bag'):
        bags.BagReader(tmp_path / 'nothing')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(bags.BagError, match='no bag in it'):
        bags.BagReader(tmp_path / 'empty')


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('share', [0.0, 0.1, 0.6, 0.99])
def test_a_truncated_bag_is_said_in_one_line(tmp_path, storage, share):
    bags.write_camera_bag(tmp_path / 'bag', map(view, range(6)), storage=storage)
    (file,) = [*(tmp_path / 'bag').glob('*.mcap'), *(tmp_path / 'bag').glob('*.db3')]
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    for path in (tmp_path / 'bag', file):
        with pytest.raises(bags.BagError, match='unreadable bag') as caught:
            with bags.BagReader(path) as bag:
                list(bag.messages())
        assert '\n' not in str(caught.value)


def test_something_else_than_a_bag_is_said_in_one_line(tmp_path):
    (tmp_path / 'movie.mp4').write_bytes(b'ftyp')
    with pytest.raises(bags.BagError, match='movie.mp4'):
        bags.BagReader(tmp_path / 'movie.mp4')


def test_a_wrong_image_topic_names_those_that_exist(camera):
    with bags.BagReader(camera) as bag:
        assert bag.image_topic('/camera/image_raw').count == 6
        with pytest.raises(bags.BagError, match='no topic /nope.*/camera/image_raw'):
            bag.image_topic('/nope')
        with pytest.raises(bags.BagError, match='is a sensor_msgs/msg/CameraInfo'):
            bag.image_topic('/camera/camera_info')
        with pytest.raises(bags.BagError, match='which pictures'):
            bag.image_topic()


def test_a_bag_without_pictures_says_what_it_has(tmp_path):
    with bags.BagWriter(tmp_path / 'bag') as bag:
        bag.write('/p', 5, bags.make('geometry_msgs/msg/Point', x=1.0, y=2.0, z=3.0))
    with bags.BagReader(tmp_path / 'bag') as bag:
        with pytest.raises(bags.BagError, match='no topic with pictures in it .it has /p'):
            bag.image_topic()


def test_an_existing_bag_is_never_overwritten(camera):
    with pytest.raises(bags.BagError, match='exists already'):
        bags.BagWriter(camera)

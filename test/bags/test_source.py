# SPDX-License-Identifier: Apache-2.0
"""The topics that feed the node are found beside the pictures."""

import numpy as np
import pytest

from diception_ros.bags import rosbag2 as bags
from diception_ros.bags.source import FROM_SCALE, camera_names, source_of, sources_of


@pytest.fixture
def bag(tmp_path):
    """Two cameras, one with everything, one compressed and alone."""
    head = bags.header(5, 'camera')
    rgb = np.zeros((4, 6, 3), np.uint8)
    jpeg = bags.make('sensor_msgs/msg/CompressedImage', header=head, format='jpeg',
                     data=np.zeros(9, np.uint8))
    with bags.BagWriter(tmp_path / 'bag') as writer:
        writer.write('/front/image_raw', 5, bags.image(head, rgb, 'rgb8'))
        writer.write('/front/camera_info', 5, bags.camera_info(head, np.eye(3), (6, 4)))
        writer.write('/front/reference_depth', 5, bags.image(head, rgb[..., 0], '16UC1'))
        writer.write('/rear/image_raw/compressed', 5, jpeg)
        writer.write('/somewhere/depth', 5, bags.image(head, rgb[..., 0], '16UC1'))
    return tmp_path / 'bag'


def test_camera_info_and_reference_depth_beside_the_picture_are_taken(bag):
    source = source_of(bag, '/front/image_raw')
    assert source.remaps == {'image': '/front/image_raw', 'camera_info': '/front/camera_info',
                             'reference_depth': '/front/reference_depth'}
    assert set(FROM_SCALE) <= set(source.expected)


def test_a_compressed_topic_goes_to_the_compressed_input(bag):
    source = source_of(bag, '/rear/image_raw/compressed')
    assert source.remaps == {'image/compressed': '/rear/image_raw/compressed'}
    assert source.compressed and not set(FROM_SCALE) & set(source.expected)


def test_a_topic_that_is_named_is_taken_from_anywhere(bag):
    source = source_of(bag, '/front/image_raw', reference_depth='/somewhere/depth')
    assert source.side['reference_depth'] == '/somewhere/depth'


def test_a_named_topic_of_another_type_is_refused_with_those_that_fit(bag):
    with pytest.raises(bags.BagError, match='--reference-depth /front/camera_info.*/somewhere/dep'):
        source_of(bag, '/front/image_raw', reference_depth='/front/camera_info')


def test_several_cameras_must_be_chosen_from(bag):
    with pytest.raises(bags.BagError, match='which pictures.*/front/image_raw'):
        source_of(bag, None)


@pytest.mark.parametrize('images, names', [
    (['/front/image_raw', '/rear/image_raw/compressed'], ['front', 'rear']),
    (['/front_camera', '/rear_camera'], ['front_camera', 'rear_camera']),
    (['/robot/left', '/robot/right'], ['robot/left', 'robot/right']),
    (['/robot/left', '/robot/right', '/arm/image'], ['robot/left', 'robot/right', 'arm']),
    (['/cam/image_raw', '/cam/image_raw/compressed'],
     ['cam/image_raw', 'cam/image_raw/compressed']),
    (['/a', '/a/image_raw'], ['a', 'a/image_raw']),
])  # fmt: skip
def test_every_camera_has_a_name_of_its_own(images, names):
    assert camera_names(images) == names
    assert camera_names(images[::-1]) == names[::-1]


@pytest.fixture
def root_cameras(tmp_path):
    """Two cameras without a namespace, and what lies beside them."""
    rgb = np.zeros((4, 6, 3), np.uint8)
    with bags.BagWriter(tmp_path / 'root') as writer:
        head = bags.header(5, 'camera')
        for topic in ('/front_camera', '/rear_camera', '/top-camera'):
            writer.write(topic, 5, bags.image(head, rgb, 'rgb8'))
        writer.write('/camera_info', 5, bags.camera_info(head, np.eye(3), (6, 4)))
        writer.write('/reference_depth', 5, bags.image(head, rgb[..., 0], '16UC1'))
    return tmp_path / 'root'


def test_what_lies_beside_several_cameras_is_taken_for_each_and_said(root_cameras):
    sources = sources_of(root_cameras, ['/front_camera', '/rear_camera'])
    assert [source.name for source in sources] == ['front_camera', 'rear_camera']
    assert [source.side['camera_info'] for source in sources] == ['/camera_info'] * 2
    assert [note for note in sources[0].notes if '/camera_info lies beside 2' in note]
    assert sources_of(root_cameras, ['/front_camera'])[0].name == ''


@pytest.mark.parametrize('topics, depth, message', [
    (['/front_camera', '/front_camera'], None, '--image-topic /front_camera is given 2 times'),
    (['/front_camera', '/rear_camera'], '/reference_depth', '--reference-depth is of one camera'),
    (['/top-camera'], None, '/top-camera is no name that a ROS topic can have'),
])
def test_cameras_that_cannot_be_told_apart_are_refused(root_cameras, topics, depth, message):
    with pytest.raises(bags.BagError, match=message):
        sources_of(root_cameras, topics, reference_depth=depth)

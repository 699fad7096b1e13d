# SPDX-License-Identifier: Apache-2.0
"""The topics that feed the node are found beside the pictures."""

import numpy as np
import pytest

from diception_ros.bags import rosbag2 as bags
from diception_ros.bags.source import FROM_SCALE, source_of


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

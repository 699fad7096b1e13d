# SPDX-License-Identifier: Apache-2.0
"""Two replays are compared message by message, in figures from 0 (the same) to 1."""

import numpy as np
import pytest

from diception_ros.bags import rosbag2 as bags
from diception_ros.bags.comparing import compare_bags, distance


def picture(values, encoding, stamp=10):
    return bags.image(bags.header(stamp, 'camera'), np.asarray(values), encoding)


def replayed(path, depths):
    """A bag of depth/relative with a message per (stamp, value)."""
    with bags.BagWriter(path) as bag:
        bag.add('/diception/depth/relative', 'sensor_msgs/msg/Image')
        for stamp, value in depths:
            depth = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
            depth[0, 0] = value
            bag.write('/diception/depth/relative', stamp, picture(depth, '32FC1', stamp))
    return path


def test_equal_bags_do_not_differ(tmp_path):
    one = replayed(tmp_path / 'one', [(1, 0.0), (2, 0.0)])
    two = replayed(tmp_path / 'two', [(1, 0.0), (2, 0.0)])
    report = compare_bags(one, two)
    assert report.worst == 0 and report.topics[0].changed == 0 and report.topics[0].messages == 2


def test_a_changed_message_is_counted_and_measured(tmp_path):
    golden = replayed(tmp_path / 'golden', [(1, 0.0), (2, 0.0)])
    report = compare_bags(replayed(tmp_path / 'new', [(1, 0.0), (2, 0.6)]), golden)
    (topic,) = report.topics
    assert (topic.changed, topic.worst_stamp) == (1, 2)
    assert topic.worst == pytest.approx(0.6 / 12)
    assert topic.mean == pytest.approx(0.3 / 12)


def test_missing_and_new_messages_are_the_largest_difference(tmp_path):
    golden = replayed(tmp_path / 'golden', [(1, 0.0), (2, 0.0)])
    report = compare_bags(replayed(tmp_path / 'new', [(2, 0.0), (3, 0.0)]), golden)
    (topic,) = report.topics
    assert (topic.missing, topic.new, report.worst) == (1, 1, 1.0)


def test_label_images_differ_by_the_share_of_their_pixels():
    labels = np.zeros((2, 5), np.uint16)
    other = labels.copy()
    other[0, 0] = 900
    assert distance(picture(other, 'mono16'), picture(labels, 'mono16')) == pytest.approx(0.1)


def test_eight_bit_pictures_differ_by_a_share_of_255():
    black, grey = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 51, np.uint8)
    assert distance(picture(grey, 'rgb8'), picture(black, 'rgb8')) == pytest.approx(0.2)


def test_a_value_that_became_unknown_counts_whole():
    depth = np.linspace(1, 2, 4, dtype=np.float32).reshape(2, 2)
    holed = depth.copy()
    holed[0, 0] = np.nan
    assert distance(picture(holed, '32FC1'), picture(depth, '32FC1')) == pytest.approx(0.25)
    assert distance(picture(holed, '32FC1'), picture(holed, '32FC1')) == 0


def test_another_size_is_the_largest_difference():
    small, large = np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8)
    assert distance(picture(large, 'mono8'), picture(small, 'mono8')) == 1


def test_messages_without_pictures_are_compared_by_their_numbers_and_texts():
    def info(name, number):
        return bags.make('diception_ros/msg/LabelInfo', header=bags.header(5, 'camera'),
                         class_ids=np.array([number], np.uint16), names=[name])

    assert distance(info('person', 1), info('person', 1)) == 0
    assert distance(info('person', 1), info('floor', 1)) == 1
    assert distance(info('person', 2), info('person', 1)) == 1

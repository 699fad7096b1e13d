# SPDX-License-Identifier: Apache-2.0
"""Clicks on a live node: kept for the following frames, undone, cleared, replaced, refused."""

import numpy as np
from geometry_msgs.msg import Point, PointStamped
from sensor_msgs.msg import CameraInfo

from diception_ros.ros.images import from_array


def image(robot, shift=0):
    """Return a textured picture; `shift` moves it to the right."""
    rng = np.random.default_rng(0)
    texture = np.kron(rng.integers(0, 255, (40, 80, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    return from_array(texture[:120, 40 - shift:200 - shift], 'rgb8', robot.header())


def click(robot, *pixels):
    for x, y in pixels:
        robot.tell(Point(x=float(x), y=float(y)))


def points_set(robot):
    """Return how many points are set, by undoing them all."""
    count = 0
    while robot.trigger('undo_point')[0]:
        count += 1
    return count


def test_a_clicked_pixel_selects_in_this_frame_and_the_following_ones(robot):
    robot.listen('segmentation/mask', 'segmentation/color')
    assert not any(robot.ask(image(robot))['segmentation/mask'].data)
    click(robot, (80, 60))
    for _ in range(2):
        answers = robot.ask(image(robot))
        assert any(answers['segmentation/mask'].data)
        assert answers['segmentation/mask'].encoding == 'mono8'
    assert robot.trigger('clear_points') == (True, '1 points cleared')
    assert not any(robot.ask(image(robot))['segmentation/mask'].data)


def test_undo_takes_the_newest_point_back(robot):
    click(robot, (10, 10), (20, 20))
    robot.listen('segmentation/mask')
    two = robot.ask(image(robot))['segmentation/mask'].data
    assert robot.trigger('undo_point') == (True, '1 points left')
    assert robot.ask(image(robot))['segmentation/mask'].data != two
    assert robot.trigger('undo_point') == (True, '0 points left')
    assert robot.trigger('undo_point') == (False, '0 points left')


def test_a_sixth_point_replaces_the_oldest_or_is_refused(robot):
    click(robot, *[(10 * n, 10 * n) for n in range(1, 7)])
    assert points_set(robot) == 5
    assert robot.set(points__on_full='refuse') == ''
    start = len(robot.node.text())
    click(robot, *[(10 * n, 10 * n) for n in range(1, 7)])
    robot.node.wait_for_line('clicked_pixel: click ignored: 5 points are set', after=start)
    assert points_set(robot) == 5


def test_a_tracked_point_follows_its_thing_and_a_fixed_one_stays(robot):
    robot.listen('segmentation/mask')
    click(robot, (80, 60))
    robot.ask(image(robot))
    followed = robot.ask(image(robot, shift=9))['segmentation/mask'].data
    robot.trigger('clear_points')
    assert robot.set(points__mode='fixed') == ''
    click(robot, (80, 60))
    robot.ask(image(robot))
    stayed = robot.ask(image(robot, shift=9))['segmentation/mask'].data
    robot.trigger('clear_points')
    click(robot, (89, 60))
    expected = robot.ask(image(robot, shift=9))['segmentation/mask'].data
    difference = np.abs(np.frombuffer(followed, np.uint8).astype(int)
                        - np.frombuffer(expected, np.uint8))
    assert difference.max() <= 3
    assert stayed != expected


def test_a_point_that_cannot_be_followed_is_given_up_with_a_warning(robot):
    robot.listen('segmentation/mask')
    click(robot, (80, 60))
    robot.ask(image(robot))
    start = len(robot.node.text())
    blank = from_array(np.full((120, 160, 3), 90, np.uint8), 'rgb8', robot.header())
    assert not any(robot.ask(blank)['segmentation/mask'].data)
    robot.node.wait_for_line('is lost: .*; click it again', after=start)


def test_with_mode_once_a_click_gives_one_mask(robot):
    assert robot.set(points__mode='once') == ''
    robot.listen('segmentation/mask')
    click(robot, (80, 60))
    masks = []
    for _ in range(2):
        masks.append(any(robot.ask(image(robot))['segmentation/mask'].data))
    assert not masks[-1] and points_set(robot) == 0


def camera_info():
    info = CameraInfo(width=160, height=120, distortion_model='plumb_bob', d=[0.0] * 5)
    info.k = [100.0, 0.0, 80.0, 0.0, 100.0, 60.0, 0.0, 0.0, 1.0]
    info.p = [100.0, 0.0, 80.0, 0.0, 0.0, 100.0, 60.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


def test_a_point_in_the_cameras_frame_is_projected_into_every_picture(robot):
    """0.5 m right and 0.25 m down at 2 m: pixel (105, 72.5)."""
    robot.listen('segmentation/mask')
    robot.tell(camera_info())
    place = PointStamped(header=robot.header())
    place.point.x, place.point.y, place.point.z = 0.5, 0.25, 2.0
    robot.tell(place)
    by_space = robot.ask(image(robot))['segmentation/mask'].data
    robot.trigger('clear_points')
    click(robot, (105, 72.5))
    assert robot.ask(image(robot))['segmentation/mask'].data == by_space
    assert any(by_space)


def test_a_point_behind_the_camera_selects_nothing_and_is_kept(robot):
    robot.listen('segmentation/mask')
    robot.tell(camera_info())
    place = PointStamped(header=robot.header())
    place.point.z = -2.0
    robot.tell(place)
    assert not any(robot.ask(image(robot))['segmentation/mask'].data)
    assert points_set(robot) == 1


def test_a_point_in_another_frame_says_what_is_missing(robot):
    robot.listen('segmentation/mask')
    robot.tell(camera_info())
    place = PointStamped(header=robot.header('map'))
    place.point.z = 2.0
    start = len(robot.node.text())
    robot.tell(place)
    assert not any(robot.ask(image(robot))['segmentation/mask'].data)
    robot.node.wait_for_line("clicked_point is ignored: (it is in frame 'map', the camera in "
                             "'camera_optical': tf2_ros|no transform from 'map')", after=start)

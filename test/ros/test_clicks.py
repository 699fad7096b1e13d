# SPDX-License-Identifier: Apache-2.0
"""Clicked points in space and on the picture, without a graph."""

import warnings

import numpy as np
import pytest
from geometry_msgs.msg import Quaternion, Vector3
from std_msgs.msg import Header

from diception_ros.geometry import CameraModel
from diception_ros.ros.clicks import Clicks
from diception_ros.ros.transforms import matrix_of

CAMERA = CameraModel([100, 0, 80, 0, 100, 60, 0, 0, 1], (160, 120))
BLANK = np.zeros((120, 160, 3), np.uint8)


class World:
    """Transforms by hand: {(target, source, stamp seconds): matrix}."""

    def __init__(self):
        self.known = {}

    def matrix(self, target, source, stamp):
        try:
            return self.known[target, source, stamp.sec]
        except KeyError:
            raise LookupError(f"no transform from '{source}' to '{target}'") from None


def shift(x, y, z):
    matrix = np.eye(4)
    matrix[:3, 3] = x, y, z
    return matrix


def header_at(second):
    header = Header(frame_id='camera')
    header.stamp.sec = second
    return header


@pytest.fixture
def world():
    return World()


@pytest.fixture
def said():
    return []


@pytest.fixture
def clicks(world, said):
    return Clicks(lambda key, text: said.append(text), world)


def test_a_point_in_the_world_moves_on_the_picture_as_the_camera_moves(clicks, world):
    world.known = {('camera', 'map', 1): np.eye(4), ('camera', 'map', 2): shift(-0.2, 0, 0)}
    assert clicks.add_point((0.5, 0.25, 2.0), 'map', None, 5, 'replace') is None
    assert clicks.on_picture(BLANK, header_at(1), CAMERA, 'track') == [(105.0, 72.5)]
    assert clicks.on_picture(BLANK, header_at(2), CAMERA, 'track') == [(95.0, 72.5)]


def test_a_point_out_of_sight_is_ignored_and_comes_back(clicks, world):
    world.known = {('camera', 'map', 1): shift(0, 0, -5), ('camera', 'map', 2): shift(9, 0, 0),
                   ('camera', 'map', 3): np.eye(4)}
    clicks.add_point((0.0, 0.0, 2.0), 'map', None, 5, 'replace')
    assert clicks.on_picture(BLANK, header_at(1), CAMERA, 'track') == []
    assert clicks.on_picture(BLANK, header_at(2), CAMERA, 'track') == []
    assert clicks.on_picture(BLANK, header_at(3), CAMERA, 'track') == [(80.0, 60.0)]


@pytest.mark.parametrize('place', [(1e300, 0, 1), (0, float('nan'), 1), (0, 0, float('inf'))])
def test_a_point_that_is_nowhere_is_refused(clicks, place):
    assert 'is not a point' in clicks.add_point(place, 'map', None, 5, 'replace')


def test_a_missing_transform_is_said_and_the_point_waits_for_it(clicks, world, said):
    clicks.add_point((0.0, 0.0, 2.0), 'map', None, 5, 'replace')
    assert clicks.on_picture(BLANK, header_at(1), CAMERA, 'track') == []
    assert said == ["clicked_point is ignored: no transform from 'map' to 'camera'"]
    world.known = {('camera', 'map', 2): np.eye(4)}
    assert clicks.on_picture(BLANK, header_at(2), CAMERA, 'track') == [(80.0, 60.0)]


def test_with_a_fixed_frame_a_point_clicked_on_the_moving_robot_stays_in_the_world(clicks, world):
    """Clicked at second 1 in the robot's frame; then it drives, and the world stands still."""
    world.known = {('odom', 'robot', 1): shift(3, 0, 0), ('camera', 'odom', 2): shift(-3, 0, 0),
                   ('camera', 'odom', 3): shift(-3.4, 0, 0)}
    clicks.add_point((0.0, 0.0, 2.0), 'robot', header_at(1).stamp, 5, 'replace')
    assert clicks.on_picture(BLANK, header_at(2), CAMERA, 'track', 'odom') == [(80.0, 60.0)]
    assert clicks.on_picture(BLANK, header_at(3), CAMERA, 'track', 'odom') == [(60.0, 60.0)]


def test_without_a_camera_a_point_in_space_says_what_is_missing(clicks, said):
    clicks.add_point((0.0, 0.0, 2.0), 'camera', None, 5, 'replace')
    assert clicks.on_picture(BLANK, header_at(1), None, 'track') == []
    assert 'no usable camera_info' in said[0]


def test_the_oldest_point_makes_room_or_the_newest_is_refused(clicks):
    for x in range(6):
        assert clicks.add_pixel(x, 0, 5, 'replace') is None
    assert clicks.on_picture(BLANK, header_at(1), None, 'fixed') == [(x, 0) for x in range(1, 6)]
    assert 'call ~/undo_point' in clicks.add_pixel(9, 0, 5, 'refuse')
    assert clicks.add_pixel(9, 0, 0, 'replace') == 'the model takes no points'


def test_points_outside_of_the_first_picture_they_meet_are_dropped_with_a_word(clicks, said):
    clicks.add_pixel(160, 10, 5, 'replace')
    clicks.add_pixel(159, 10, 5, 'replace')
    clicks.add_pixel(1e300, -1e300, 5, 'replace')
    assert clicks.on_picture(BLANK, header_at(1), None, 'track') == [(159, 10)]
    assert len(said) == 2 and '(160, 10) is outside of the 160x120 picture' in said[0]


def test_a_click_that_comes_while_a_picture_is_looked_at_waits_for_the_next_one(world):
    late = []

    def warn(key, text):
        if not late:
            late.append(clicks.add_pixel(1e300, 1e300, 5, 'replace'))

    clicks = Clicks(warn, world)
    clicks.add_pixel(300, 300, 5, 'replace')  # outside, which is said: then comes the other
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert clicks.on_picture(BLANK, header_at(1), None, 'track') == []
    assert late == [None] and len(clicks) == 1


def test_a_quaternion_turns_as_it_should():
    """A quarter turn about z takes x to y."""
    half = 0.5 ** 0.5
    matrix = matrix_of(Vector3(x=1.0, y=2.0, z=3.0), Quaternion(z=half, w=half))
    np.testing.assert_allclose(matrix @ [1, 0, 0, 1], [1, 3, 3, 1], atol=1e-12)


def test_a_quaternion_need_not_have_unit_length_but_some():
    matrix = matrix_of(Vector3(), Quaternion(z=3.0, w=3.0))
    np.testing.assert_allclose(matrix @ [1, 0, 0, 1], [0, 1, 0, 1], atol=1e-12)
    with pytest.raises(ValueError):
        matrix_of(Vector3(), Quaternion(w=0.0))

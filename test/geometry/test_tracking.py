# SPDX-License-Identifier: Apache-2.0
"""Clicks that stay on their thing, and are lost rather than wrong."""

import cv2
import numpy as np
import pytest

from diception_ros.geometry import ClickTracker
from diception_ros.geometry.scene_motion import Flow, SceneMotion, neighbours_motion
from diception_ros.geometry.tracking import Look, trimmed_similarity


def textured(shape=(240, 320), seed=0):
    """A picture with corners everywhere."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (shape[0] // 8, shape[1] // 8)).astype(np.uint8)
    return cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC)


def swayed(picture, step, centre=(160, 120)):
    """The picture turned and grown a little more with each step, and where that takes points."""
    matrix = cv2.getRotationMatrix2D(centre, 0.4 * step, 1 + 0.004 * step)
    matrix[:, 2] += [1.5 * step, 0.6 * step]
    warped = cv2.warpAffine(picture, matrix, picture.shape[::-1], borderMode=cv2.BORDER_REFLECT)
    return warped, lambda points: points @ matrix[:, :2].T + matrix[:, 2]


def followed_for(tracker, frames, points, disparity=None):
    for frame in frames:
        points = tracker.follow(frame, points, disparity=disparity)
    return points


def test_clicks_stay_on_a_swaying_texture():
    picture = textured()
    clicks = np.float32([[100, 80], [160, 120], [200, 150]])
    tracker, points = ClickTracker(), clicks
    for step in range(30):
        frame, move = swayed(picture, step)
        points = tracker.follow(frame, points)
        assert not tracker.lost
        assert np.linalg.norm(points - move(clicks), axis=1).max() < 1.5


def test_a_new_click_comes_back_as_it_is_and_a_moved_one_starts_anew():
    tracker = ClickTracker()
    frames = [swayed(textured(), step)[0] for step in range(3)]
    first = tracker.follow(frames[0], [(50, 60)], ['a'])
    assert first.tolist() == [[50, 60]]
    both = tracker.follow(frames[1], [first[0], (70, 70)], ['a', 'b'])
    assert both[1].tolist() == [70, 70] and both[0].tolist() != [50, 60]
    again = tracker.follow(frames[2], [(90, 90), both[1]], ['a', 'b'])
    assert again[0].tolist() == [90, 90]


def test_on_nothing_to_hold_on_to_a_click_is_lost():
    tracker = ClickTracker()
    noise = np.random.default_rng(0)
    frames = [np.clip(120 + noise.normal(0, 2, (240, 320)), 0, 255).astype(np.uint8)
              for _ in range(5)]
    points = tracker.follow(frames[0], [(160, 120)])
    for frame in frames[1:]:
        points = tracker.follow(frame, points)
        if np.isnan(points).any():
            break
    assert np.isnan(points).all()
    assert 'points around it' in tracker.lost[0]


def test_a_click_on_something_that_vanishes_is_lost():
    tracker = ClickTracker()
    points = followed_for(tracker, [textured(seed=0)] * 2, np.float32([[160, 120]]))
    assert np.isnan(tracker.follow(textured(seed=1), points)).all()
    assert list(tracker.lost) == [0]


def test_a_click_that_leaves_the_picture_is_lost():
    picture = textured((240, 640))
    tracker, points = ClickTracker(), np.float32([[30, 120]])
    for step in range(8):
        points = tracker.follow(np.ascontiguousarray(picture[:, 8 * step:8 * step + 320]), points)
        if np.isnan(points).any():
            break
    assert np.isnan(points).all() and tracker.lost


def test_the_rest_of_the_scene_carries_a_click_on_a_plain_surface():
    picture = textured()
    cv2.circle(picture, (160, 120), 60, 128, -1)
    clicks = np.float32([[160, 120]])
    disparity = np.full(picture.shape, 0.5, np.float32)
    tracker, points = ClickTracker(), clicks
    for step in range(12):
        frame, move = swayed(picture, step)
        points = tracker.follow(frame, points, disparity=disparity)
        assert np.linalg.norm(points - move(clicks), axis=1).max() < 3


def test_a_thing_that_moves_on_its_own_is_followed_before_a_scene_at_rest():
    scene, thing = textured(seed=0), textured((60, 60), seed=1)
    disparity = np.full(scene.shape, 0.4, np.float32)
    tracker, points = ClickTracker(), np.float32([[80, 120]])
    for step in range(20):
        frame = scene.copy()
        frame[90:150, 50 + 5 * step:110 + 5 * step] = thing
        points = tracker.follow(frame, points, disparity=disparity)
    assert np.linalg.norm(points[0] - [80 + 5 * 19, 120]) < 8


def test_something_in_front_loses_the_click():
    picture = textured()
    disparity = np.full(picture.shape, 0.3, np.float32)
    tracker = ClickTracker()
    points = np.float32([[160, 120]])
    for _ in range(3):
        points = tracker.follow(picture, points, disparity=disparity)
    assert np.isfinite(points).all()
    assert np.isnan(tracker.follow(picture, points, disparity=disparity + 0.3)).all()
    assert 'in front' in tracker.lost[0]


def test_the_flow_of_a_scene_at_rest_is_found_through_outliers():
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 640, (200, 2)) * [1, 0.75]
    disparity = rng.uniform(0, 1, 200)
    truth = rng.normal(0, 8, 11)
    moves = Flow._terms(points, disparity, (480, 640)) @ truth
    ends = points + moves
    ends[:60] += rng.uniform(-40, 40, (60, 2))
    flow = Flow.fit(points.astype(np.float32), ends.astype(np.float32), disparity, (480, 640))
    found, error = flow.at(points, disparity)
    assert np.abs(found - moves).max() < 0.2 and error.max() < 0.2


def test_no_flow_is_better_than_a_made_up_one():
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 480, (200, 2)).astype(np.float32)
    ends = rng.uniform(0, 480, (200, 2)).astype(np.float32)
    assert Flow.fit(points, ends, rng.uniform(0, 1, 200), (480, 640)) is None
    assert Flow.fit(points[:0], ends[:0], np.zeros(0), (480, 640)) is None


def test_without_disparity_the_corners_around_say_how_a_place_moves():
    rng = np.random.default_rng(0)
    starts = rng.uniform(0, 300, (90, 2)).astype(np.float32)
    turn = np.array([[1.01, -0.02], [0.02, 1.01]])
    ends = (starts @ turn.T + [4, -3]).astype(np.float32)
    ends[:20] += 15  # somebody walks by
    spot, error = neighbours_motion(np.array([150.0, 120.0]), starts, ends)
    np.testing.assert_allclose(spot, turn @ [150, 120] + [4, -3], atol=0.1)
    assert error < 1
    lost = neighbours_motion(np.array([150.0, 120.0]), starts, rng.uniform(0, 300, (90, 2)))
    assert lost == (None, np.inf)
    assert neighbours_motion(np.zeros(2), starts[:5], ends[:5]) == (None, np.inf)


def test_a_click_without_disparity_is_carried_past_who_walks_close_by():
    scene, walker = textured(seed=0), np.full((100, 50), 40, np.uint8)
    tracker, points = ClickTracker(), np.float32([[160, 120]])
    for step in range(12):
        frame = scene.copy()
        left = 60 + 12 * step  # over most of the cluster, but never over the click itself
        frame[125:225, left:left + 50] = walker
        points = tracker.follow(frame, points)
    assert np.linalg.norm(points[0] - [160, 120]) < 1.5


def test_a_look_is_recognised_where_it_is_and_not_elsewhere():
    picture = textured()
    look = Look(picture, (160, 120))
    look.moved(np.array([[1.0, 0, 5], [0, 1, 2]]))  # as a click that has slid
    np.testing.assert_allclose(look.recognised(picture, 8.0), (160, 120), atol=0.3)
    look.moved(np.array([[1.0, 0, 5], [0, 1, 2]]))
    assert look.recognised(picture, 3.0) is None
    assert look.recognised(textured(seed=1), 8.0) is None
    assert look.difference(picture, (160, 120)) < 1 < look.difference(picture, (180, 120))


def test_other_units_of_disparity_are_nothing_in_front():
    picture = textured()
    disparity = np.tile(np.linspace(0.1, 0.6, 320, dtype=np.float32), (240, 1))
    first = SceneMotion(picture, picture, disparity)
    later = SceneMotion(picture, picture, 1.4 * disparity + 0.1, first.corners_then)
    np.testing.assert_allclose(later.units, (1.4, 0.1), atol=0.01)
    tracker, points = ClickTracker(), np.float32([[160, 120]])
    for number in range(4):
        values = disparity if number < 2 else 1.4 * disparity + 0.1
        points = tracker.follow(picture, points, disparity=values)
    assert np.isfinite(points).all()


def test_a_similarity_is_found_through_outliers():
    rng = np.random.default_rng(0)
    starts = rng.uniform(0, 50, (40, 2))
    turn = 1.05 * np.array([[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]])
    ends = starts @ turn.T + [4, -3]
    ends[:12] += rng.uniform(8, 20, (12, 2))
    transform, agree = trimmed_similarity(starts, ends)
    np.testing.assert_allclose(transform, np.column_stack([turn, [4, -3]]), atol=1e-6)
    assert not agree[:12].any() and agree[12:].all()


def test_another_size_loses_every_click():
    tracker = ClickTracker()
    points = tracker.follow(textured(), [(50, 50)])
    assert np.isnan(tracker.follow(textured((120, 160)), points)).all()
    assert tracker.lost == {0: 'the picture changed its size'}


@pytest.mark.parametrize('shape', [(0, 0), (1, 1), (3, 200), (0, 0, 3), (2, 2, 3)])
def test_any_picture_is_survived(shape):
    tracker = ClickTracker()
    points = np.zeros((1, 2), np.float32)
    for _ in range(3):
        points = tracker.follow(np.zeros(shape, np.uint8), points, disparity=np.zeros(shape[:2]))
    assert points.shape == (1, 2)


def test_points_outside_of_the_picture_are_lost_at_once():
    tracker = ClickTracker()
    points = tracker.follow(textured(), [(-1, 5), (50, 50), (np.nan, 3)])
    assert np.isnan(points[[0, 2]]).all() and np.isfinite(points[1]).all()
    assert set(tracker.lost) == {0, 2}
    assert tracker.follow(textured(), np.zeros((0, 2))).shape == (0, 2)

# SPDX-License-Identifier: Apache-2.0
"""Poses painted without an edge, as a small model paints them."""

import cv2
import numpy as np
import pytest

from diception_ros.lab.synthetic import random_view
from diception_ros.tasks import soft_joints
from diception_ros.tasks.pose import draw_skeletons
from diception_ros.tasks.skeleton import MIRROR

# A person of 80 px who faces the camera, feet at (0, 80): x, y of the 17 joints.
STANDING = np.array((
    (0, 5), (2, 4), (-2, 4), (4, 5), (-4, 5), (10, 18), (-10, 18), (13, 32), (-13, 32), (14, 44),
    (-14, 44), (6, 42), (-6, 42), (7, 60), (-7, 60), (7, 79), (-7, 79)), np.float32)


def standing_at(x, y=20):
    keypoints = np.full((17, 3), 2, np.float32)
    keypoints[:, :2] = STANDING + (x, y)
    return keypoints


def painted_softly(*people):
    """Blurred, and left mixed with right, as by a model that cannot tell them apart."""
    swapped = [person[MIRROR] for person in people]
    picture = sum(draw_skeletons(which, (128, 128)) for which in (people, swapped)) / 2
    picture = cv2.GaussianBlur(picture, (0, 0), 1.5)
    return 0.8 * picture / picture.max()


def test_a_blurred_person_is_found_where_it_stands():
    person = standing_at(64)
    found = soft_joints.people(painted_softly(person))
    assert len(found) == 1
    error = np.linalg.norm(found[0][:, :2] - person[:, :2], axis=1)
    assert (error < 8).all()  # a tenth of the person


def test_joints_out_of_the_picture_are_missing():
    person = standing_at(64, 75)  # to the knees
    found = soft_joints.people(painted_softly(person))
    assert len(found) == 1
    assert np.isnan(found[0][15:, :2]).all() and (found[0][15:, 2] == 0).all()
    assert np.isfinite(found[0][5:13, :2]).all()


def test_people_of_worlds_painted_softly_are_read_and_scores_say_how_well():
    right, scores = [], []
    for seed in range(40):
        view = random_view(seed, size=(128, 128), worlds='easy', split='test')
        if len(view.people) != 1:
            continue
        truth = view.people[0].keypoints
        found = soft_joints.people(painted_softly(truth))
        assert len(found) <= 2
        visible = truth[:, 2] == 2
        near = np.zeros(17, bool)
        if len(found):
            size = np.ptp(truth[truth[:, 2] > 0, :2], axis=0).max()
            away = np.linalg.norm(found[0][:, :2] - truth[:, :2], axis=1)
            near = away < 0.1 * size
            scores.append(found[0][visible, 2])
            right.append(near[visible])
    right, scores = np.concatenate(right), np.concatenate(scores)
    assert right.mean() > 0.6
    assert right[scores > 0.8].mean() > right[scores < 0.6].mean() + 0.2


def test_two_people_side_by_side_are_two_though_a_glow_joins_them():
    left, right = standing_at(44), standing_at(84)
    picture = painted_softly(left, right)
    glow = np.zeros((128, 128, 1), np.float32)
    glow[40:90, 40:90] = 0.2
    found = soft_joints.people(np.maximum(picture, glow))
    assert len(found) == 2
    middles = sorted(float(np.nanmean(person[:, 0])) for person in found)
    assert abs(middles[0] - 44) < 6 and abs(middles[1] - 84) < 6


def test_a_dark_picture_holds_nobody():
    assert soft_joints.people(np.full((48, 64, 3), 0.1, np.float32)).shape == (0, 17, 3)


@pytest.mark.parametrize('size', ((1, 64), (1, 16384), (64, 1), (16384, 1)))
def test_a_strip_of_pixels_holds_no_crowd(size):
    strip = np.tile(np.float32((0.9, 0.2, 0.4)), (*size, 1))
    assert len(soft_joints.people(strip)) <= 2

# SPDX-License-Identifier: Apache-2.0
"""People and joints from skeleton pictures, typed by colour or not at all."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from diception_ros.lab.synthetic import random_view
from diception_ros.tasks import Conventions, task_named
from diception_ros.tasks.discs import find_discs
from diception_ros.tasks.pose import draw_skeletons, joints_drawn
from diception_ros.tasks.skeleton import JOINT_COLORS, JOINTS, LIMBS, MIRROR

# A person who faces the camera: x, y of the 17 joints.
STANDING = (
    (0, 5), (2, 4), (-2, 4), (4, 5), (-4, 5), (10, 18), (-10, 18), (13, 32), (-13, 32), (14, 44),
    (-14, 44), (6, 42), (-6, 42), (7, 60), (-7, 60), (7, 79), (-7, 79),
)  # fmt: skip
TYPED, DISCS = task_named('pose'), task_named('pose', Conventions(pose_encoding='discs'))


@pytest.mark.parametrize('which', ('truth', 'small_truth'))
def test_typed_joints_painted_and_read_again_are_all_right(which, request):
    truth = request.getfixturevalue(which)
    people = TYPED.decode(TYPED.encode(truth))
    assert len(people) == len(truth.people) and all(one.types_known for one in people)
    assert TYPED.score(people, truth)['pck10'] == 1


@pytest.mark.parametrize(
    'least, spoil',
    (
        (0.9, lambda p: 0.4 * cv2.GaussianBlur(p, (0, 0), 2)),
        (0.9, lambda p: p + np.random.default_rng(0).normal(0, 0.05, p.shape).astype(np.float32)),
        (
            0.9,
            lambda p: cv2.resize(
                cv2.resize(p, (320, 240), interpolation=cv2.INTER_AREA), (640, 480)
            ),
        ),
    ),
)
def test_typed_joints_survive_blur_dimness_and_noise(least, spoil, truth):
    assert TYPED.score(TYPED.decode(spoil(TYPED.encode(truth))), truth)['pck10'] >= least


def test_a_picture_without_an_edge_still_tells_about_where_joints_are(truth):
    keypoints = truth.people[0].keypoints
    picture = np.mean(
        [draw_skeletons([keypoints[order]], (480, 640)) for order in (range(17), MIRROR)], axis=0
    )  # as one paints who does not know left from right
    (one,) = TYPED.decode(cv2.GaussianBlur(picture, (0, 0), 8).astype(np.float32))
    either = [
        np.linalg.norm(one.keypoints[:, :2] - keypoints[order, :2], axis=1)
        for order in (range(17), MIRROR)
    ]
    tolerance = 0.1 * np.ptp(keypoints[:, :2], axis=0).max()
    assert (np.min(either, axis=0) < tolerance).mean() > 0.6


def test_two_people_who_overlap_are_told_apart(truth):
    near, far = truth.people[0].keypoints.copy(), truth.people[1].keypoints.copy()
    far[:, :2] += near[5, :2] - far[6, :2]  # shoulder to shoulder
    people = TYPED.decode(draw_skeletons([near, far], (480, 640)))
    assert len(people) == 2
    errors = [
        min(np.nanmax(np.linalg.norm(one.keypoints[:, :2] - who[:, :2], axis=1)) for one in people)
        for who in (near, far)
    ]
    assert max(errors) < 12


def test_people_who_overlap_keep_their_own_limbs(truth):
    near, far = truth.people[0].keypoints.copy(), truth.people[1].keypoints.copy()
    right = []
    for across, down in ((0.3, 0.2), (0.5, -0.1), (-0.4, 0.1), (0.15, 0.3), (-0.25, -0.25)):
        beside = far.copy()
        size = np.ptp(near[:, :2], axis=0)
        beside[:, :2] += near[0, :2] - far[0, :2] + np.float32((across * size[0], down * size[1]))
        people = TYPED.decode(draw_skeletons([near, beside], (480, 640)))
        both = SimpleNamespace(
            people=[SimpleNamespace(keypoints=near), SimpleNamespace(keypoints=beside)]
        )
        right.append(TYPED.score(people, both)['pck10'])
    assert min(right) > 0.9 and np.mean(right) > 0.97


def test_the_same_joint_of_two_people_who_touch_stays_two():
    near = np.full((17, 3), 2, np.float32)
    near[:, :2] = 4 * np.float32(STANDING) + (250, 80)
    far = near.copy()
    far[:, :2] = 3 * np.float32(STANDING) + (250, 80)
    far[:, :2] += near[9, :2] - far[9, :2] + (7, 0)  # hand on hand
    people = TYPED.decode(draw_skeletons([near, far], (480, 640)))
    wrists = sorted(one.keypoints[9, 0] for one in people)
    assert np.allclose(wrists, (near[9, 0], far[9, 0]), atol=5)


def test_a_small_person_in_front_of_a_large_one_has_all_joints():
    large, small = np.full((2, 17, 3), 2, np.float32)
    large[:, :2] = 5 * np.float32(STANDING) + (320, 30)
    small[:, :2] = 1.8 * np.float32(STANDING) + (320, 180)
    people = TYPED.decode(draw_skeletons([large, small], (480, 640)))
    truth = SimpleNamespace(people=[SimpleNamespace(keypoints=one) for one in (large, small)])
    assert TYPED.score(people, truth)['pck10'] == 1


def test_joints_of_worlds_painted_and_read_again_are_right():
    right = joints = 0
    for seed in range(30):
        truth = random_view(seed, size=(640, 480), worlds='full', split='test')
        score = TYPED.score(TYPED.decode(TYPED.encode(truth)), truth)
        right, joints = right + score['correct'], joints + score['joints']
    assert joints > 200 and right == joints


def test_a_joint_of_which_little_is_to_be_seen_is_found():
    keypoints = np.full((17, 3), 2, np.float32)
    keypoints[:, :2] = 3 * np.float32(STANDING) + (320, 150)
    keypoints[0, :2] = keypoints[1, :2] + (1, -1)  # the nose almost behind an eye
    (one,) = TYPED.decode(draw_skeletons([keypoints], (480, 640)))
    assert np.linalg.norm(one.keypoints[0, :2] - keypoints[0, :2]) < 12


@pytest.mark.parametrize('task', (TYPED, DISCS))
@pytest.mark.parametrize('kind', ('noise', 'specks', 'squares', 'clouds'))
def test_a_picture_that_is_no_skeleton_makes_no_crowd_without_end(kind, task):
    rng = np.random.default_rng(0)
    noise = rng.random((480, 640, 3), np.float32)
    picture = {
        'noise': noise,
        'specks': (noise > 0.97).astype(np.float32),
        'squares': np.kron(noise[:60, :80] > 0.5, np.ones((8, 8, 1))).astype(np.float32),
        'clouds': cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 9), None, 0, 1, cv2.NORM_MINMAX),
    }[kind]
    assert len(task.decode(picture)) <= {'specks': 200}.get(kind, 3)


def test_a_joint_that_is_out_of_the_picture_is_missing(truth):
    keypoints = truth.people[0].keypoints.copy()
    keypoints[[9, 16], 2] = 0
    (one,) = TYPED.decode(draw_skeletons([keypoints], (480, 640)))
    assert np.isnan(one.keypoints[[9, 16], :2]).all() and (one.keypoints[[9, 16], 2] == 0).all()
    assert (np.delete(one.keypoints[:, 2], [9, 16]) > 0.5).all()


def test_joints_on_one_spot_do_not_vanish(truth):
    keypoints = truth.people[0].keypoints.copy()
    keypoints[9, :2] = keypoints[11, :2]  # a hand at the hip
    (one,) = TYPED.decode(draw_skeletons([keypoints], (480, 640)))
    assert (one.keypoints[:, 2] > 0).all()


@pytest.mark.parametrize('task', (TYPED, DISCS))
def test_a_4k_picture_gives_joints_in_its_own_pixels(task, truth):
    keypoints = truth.people[0].keypoints * (4.5, 4.5, 1)
    (one,) = task.decode(draw_skeletons([keypoints], (2160, 3840), task is TYPED))
    true = np.nanmedian(keypoints[:, :2], axis=0)
    assert np.allclose(np.nanmedian(one.keypoints[:, :2], axis=0), true, atol=60)


def test_a_missing_or_a_wrong_person_is_wrong(truth):
    assert TYPED.score([], truth)['pck10'] == 0
    people = TYPED.decode(TYPED.encode(truth))
    assert TYPED.score(people[:1], truth)['pck10'] == 0.5
    people[0].keypoints[:, 0] += 200
    assert TYPED.score(people, truth)['pck10'] == 0.5


def test_discs_are_found_and_overlapping_ones_split(truth):
    picture = DISCS.encode(truth)
    true = np.concatenate(
        [one.keypoints[joints_drawn(one.keypoints, False), :2] for one in truth.people]
    )
    found = find_discs(picture)
    apart = np.linalg.norm(true[:, None] - found[None, :, :2], axis=2)
    assert (apart.min(axis=1) < 3).mean() > 0.9 and (apart.min(axis=0) < 3).mean() > 0.9


def test_small_discs_are_found_through_blur():
    keypoints = np.full((17, 3), 2, np.float32)
    keypoints[:, :2] = 2.5 * np.float32(STANDING) + (320, 150)
    keypoints[:5, 2] = 0
    picture = cv2.GaussianBlur(draw_skeletons([keypoints], (480, 640), typed=False), (0, 0), 3)
    found = find_discs(picture)
    apart = np.linalg.norm(keypoints[5:, None, :2] - found[None, :, :2], axis=2)
    assert (apart.min(axis=1) < 3).all()


def test_untyped_people_say_that_their_types_are_guessed(truth):
    masks = np.where(np.isin(truth.instances, (7, 8)), truth.instances, 0).astype(np.int32)
    people = DISCS.decode(DISCS.encode(truth), masks)
    assert sorted(one.label for one in people) == [7, 8] and not any(
        one.types_known for one in people
    )


def test_untyped_joints_of_one_person_are_typed_up_to_mirroring(truth):
    keypoints = truth.people[0].keypoints
    (one,) = DISCS.decode(draw_skeletons([keypoints], (480, 640), typed=False))
    near = [
        np.linalg.norm(one.keypoints[order, :2] - keypoints[:, :2], axis=1) < 6
        for order in (range(17), MIRROR)
    ]
    assert max(np.mean(right) for right in near) > 0.7
    assert ((one.keypoints[:, 2] > 0) & (one.keypoints[:, 2] <= 1)).sum() >= 12


def test_the_skeleton_is_cocos():
    assert len(JOINTS) == 17 and (MIRROR[MIRROR] == np.arange(17)).all()
    assert {JOINTS[a].replace('left', 'right') for a in range(17) if 'left' in JOINTS[a]} == {
        JOINTS[MIRROR[a]] for a in range(17) if 'left' in JOINTS[a]
    }
    assert sorted(set(LIMBS.ravel())) == list(range(17))
    apart = np.abs(JOINT_COLORS[:, None] - JOINT_COLORS[None]).sum(axis=2) + np.eye(17)
    assert (
        apart.min() > 0.3
        and np.allclose(JOINT_COLORS.max(axis=1), 1)
        and np.allclose(JOINT_COLORS.min(axis=1), 0)
    )

# SPDX-License-Identifier: Apache-2.0
"""What the net that reads soft skeletons is taught."""

import numpy as np

from diception_ros.lab.synthetic import random_view
from diception_ros.lab.training.soft_joints import FILE, examples, softly, taught
from diception_ros.tasks import soft_joints
from diception_ros.tasks.pose import draw_skeletons

EASY = [view for seed in range(12)
        if len((view := random_view(seed, size=(128, 128), split='train')).people) == 1]


def test_a_whole_person_teaches_its_joints_where_they_are_in_the_square():
    keypoints = EASY[0].people[0].keypoints
    picture = draw_skeletons([keypoints], (128, 128))
    seen, joints, counts, present, likeness = next(
        examples(picture, [keypoints], np.random.default_rng(0)))
    small, grown = soft_joints.shrunk(picture)
    expected, corner, side = soft_joints.square(soft_joints.parts(small)[0])
    np.testing.assert_allclose(seen, expected, atol=1e-3)
    back = (joints * side + corner - 0.5 + 0.5) * grown - 0.5
    there = keypoints[:, 2] > 0
    np.testing.assert_allclose(back[there], keypoints[there, :2], atol=1e-3)
    assert likeness > 0.5
    assert (present == there).all() and (counts[keypoints[:, 2] == 2] == 1).all()


def test_half_a_person_is_less_like_a_person_than_the_whole():
    rng = np.random.default_rng(0)
    for view in EASY:
        people = [person.keypoints for person in view.people]
        likeness = [row[4] for row in examples(softly(people, (128, 128), rng), people, rng)]
        assert max(likeness[2:], default=0) < likeness[0] + 0.1


def test_a_taught_net_is_of_the_kind_that_is_read():
    rng = np.random.default_rng(0)
    people = [[person.keypoints for person in view.people] for view in EASY]
    rows = [row for one in people for row in examples(softly(one, (128, 128), rng), one, rng)]
    seen, *others = (np.array(column) for column in zip(*rows))
    weights = taught([seen, *(one.astype(np.float32) for one in others)], epochs=4, batch=8)
    with np.load(FILE) as shipped:
        assert set(weights) == set(shipped.files)
        for name in shipped.files:
            assert weights[name].shape == shipped[name].shape
            assert weights[name].dtype == shipped[name].dtype == np.float16
            assert np.isfinite(weights[name]).all()

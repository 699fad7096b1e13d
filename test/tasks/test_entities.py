# SPDX-License-Identifier: Apache-2.0
"""Entities read from spoilt pictures, beside the published decoder, and followed from frame to
frame."""


import cv2
import numpy as np
import pytest

from diception_ros.tasks import Conventions, task_named
from diception_ros.tasks.entities import described, overlaps, random_colors
from diception_ros.tasks.instance_tracker import InstanceTracker
from diception_ros.tasks.position_regions import is_soft
from diception_ros.tasks.published_entities import published_regions
from diception_ros.tasks.regions import noise_level

TASK = task_named('entities')


def spoilt(picture, blur=0.0, noise=0.0, drift=0.0):
    rng = np.random.default_rng(0)
    if blur:
        picture = cv2.GaussianBlur(picture, (0, 0), blur)
    if drift:
        coarse = rng.uniform(-drift, drift, (3, 4, 3)).astype(np.float32)
        picture = picture + cv2.resize(coarse, picture.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(picture + rng.normal(0, noise, picture.shape), 0, 1).astype(np.float32)


@pytest.mark.parametrize(
    'least, kind',
    (
        (0.98, {}),
        (0.95, {'blur': 1.5, 'drift': 0.05, 'noise': 0.05}),
        (0.93, {'noise': 0.1}),
        (0.92, {'blur': 3}),
    ),
)
@pytest.mark.parametrize('seed', (1, 2))
def test_entities_are_found_through_what_models_do_to_colours(least, kind, seed, truth):
    picture = spoilt(TASK.encode(truth, np.random.default_rng(seed)), **kind)
    score = TASK.score(TASK.decode(picture), truth)
    assert score['miou'] >= least and score['recall50'] == 1 and score['false'] <= 2


@pytest.mark.parametrize('blur, least', ((0, 0.97), (0.8, 0.8), (3, 0.67)))
def test_a_small_soft_picture_is_read_at_either_size(blur, least, small_truth):
    task = task_named('entities', Conventions(entity_colors='position'))
    picture = task.encode(small_truth)
    picture = cv2.GaussianBlur(picture, (0, 0), blur) if blur else picture
    assert task.score(task.decode(picture), small_truth)['miou'] > least
    large = cv2.resize(picture, (640, 480), interpolation=cv2.INTER_LINEAR)
    assert task.score(task.decode(large), small_truth)['miou'] > least - 0.05


def test_a_large_soft_picture_is_read_as_well_as_a_small_one(truth):
    task = task_named('entities', Conventions(entity_colors='position'))
    picture = cv2.GaussianBlur(task.encode(truth), (0, 0), 6)
    found = task.decode(picture)
    score = task.score(found, truth)
    assert found.labels.shape == truth.depth.shape and score['miou'] > 0.7 and score['false'] <= 3


def test_hundreds_of_squares_are_read():
    squares = np.random.default_rng(0).random((60, 80, 3)) > 0.5
    picture = np.kron(squares, np.ones((8, 8, 1))).astype(np.float32)
    assert len(TASK.decode(picture).instances) > 300


def test_a_blurred_picture_of_positions_is_soft_and_a_sharp_one_is_not(truth):
    picture = task_named('entities', Conventions(entity_colors='position')).encode(truth)
    assert not is_soft(picture) and not is_soft(np.zeros_like(picture))
    assert is_soft(cv2.GaussianBlur(picture, (0, 0), 8))


def test_a_large_picture_gives_labels_of_its_own_size(truth):
    picture = cv2.resize(TASK.encode(truth), (1920, 1440), interpolation=cv2.INTER_NEAREST)
    found = TASK.decode(picture)
    assert found.labels.shape == (1440, 1920)
    assert TASK.score(found, truth)['miou'] > 0.97


def test_parts_cut_off_by_what_is_before_them_stay_one_entity():
    picture = np.zeros((240, 320, 3), np.float32)
    picture[:] = (0.2, 0.6, 0.3)
    picture[:, 140:180] = (0.9, 0.2, 0.1)
    labels = TASK.decode(picture).labels
    assert labels[120, 20] == labels[120, 300] != labels[120, 160] > 0


def test_two_touching_things_of_like_colours_stay_two():
    picture = np.zeros((240, 320, 3), np.float32)
    picture[60:180, 60:160] = (0.5, 0.5, 0.5)
    picture[60:180, 160:260] = (0.5, 0.5, 0.56)
    assert len(TASK.decode(picture).instances) == 2


def test_an_instance_says_where_it_is():
    picture = np.zeros((100, 200, 3), np.float32)
    picture[20:60, 50:150] = (1, 0.5, 0)
    (one,) = TASK.decode(picture).instances
    assert one.bbox == (50, 20, 100, 40) and one.area == 4000 and one.centroid == (99.5, 39.5)
    assert np.allclose(one.color, (1, 0.5, 0), atol=1e-6)


def test_ours_beats_the_published_decoder(truth):
    picture = spoilt(TASK.encode(truth), noise=0.05)
    published = TASK.score(TASK.decode(picture, published_regions), truth)
    assert TASK.score(TASK.decode(picture), truth)['miou'] > published['miou'] + 0.2


def test_the_published_decoder_reads_a_clean_picture():
    picture = np.zeros((200, 300, 3), np.float32)
    picture[20:100, 20:100] = (1, 0.3, 0.6)
    labels = published_regions(picture)
    assert (labels[20:100, 20:100] == 1).mean() > 0.99 and labels.sum() < 1.01 * 6400


@pytest.mark.parametrize('sigma', (0, 5, 20))
def test_the_noise_is_measured(sigma):
    image = np.full((200, 200, 3), 128.0) + np.random.default_rng(0).normal(0, sigma, (200, 200, 3))
    assert noise_level(np.rint(image).astype(np.uint8)) == pytest.approx(
        sigma, abs=0.1 * sigma + 0.1
    )


def test_colours_that_do_not_fit_apart_are_still_given():
    assert random_colors(300, np.random.default_rng(0)).shape == (300, 3)


def test_overlaps_count_common_pixels():
    a, b = np.array([[0, 1, 1]], np.int32), np.array([[2, 2, 0]], np.int32)
    table, ours, theirs = overlaps(a, b)
    assert table[1, 2] == 1 and table[0, 2] == 1 and ours[1] == 2 and theirs[2] == 2


def test_a_followed_entity_keeps_its_label_while_the_decoders_change():
    tracker = InstanceTracker()
    first = np.zeros((60, 80), np.int32)
    first[10:30, 10:30], first[35:55, 40:70] = 1, 2
    kept = tracker.update(described(first, np.zeros((60, 80, 3), np.float32)))
    second = np.zeros_like(first)
    second[12:32, 12:32], second[35:55, 42:72] = 2, 1  # moved, and numbered otherwise
    second[2:8, 60:80] = 3
    later = tracker.update(described(second, np.zeros((60, 80, 3), np.float32)))
    assert (
        later.labels[20, 20] == kept.labels[20, 20] and later.labels[45, 60] == kept.labels[45, 60]
    )
    new = later.labels[4, 70]
    assert new not in (0, kept.labels[20, 20], kept.labels[45, 60])
    assert {one.label for one in later.instances} == set(np.unique(later.labels)) - {0}


def test_a_followed_entity_that_was_away_gets_its_label_again_and_a_new_size_does_no_harm():
    tracker = InstanceTracker(max_age=2)
    there = np.zeros((60, 80), np.int32)
    there[10:30, 10:30] = 1
    empty, color = np.zeros_like(there), np.zeros((60, 80, 3), np.float32)
    label = tracker.update(described(there, color)).labels[20, 20]
    tracker.update(described(empty, color))
    assert tracker.update(described(there, color)).labels[20, 20] == label
    for _ in range(4):
        tracker.update(described(empty, color))
    assert tracker.update(described(there, color)).labels[20, 20] != label
    tracker.update(described(there.repeat(2, 0).repeat(2, 1), color.repeat(2, 0).repeat(2, 1)))

# SPDX-License-Identifier: Apache-2.0
"""What holds for every task: names, round trips, baselines, and that no picture makes a decoder
raise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from diception_ros.tasks import CATEGORIES, Conventions, task_named

NAMES = (
    'depth',
    'normals',
    'entities',
    'segmentation',
    'semantic:person',
    'pose',
    'restoration:denoise',
    'adapter:lung',
)
DISCS = Conventions(
    normal_axes=('right', 'up', 'forward'), pose_encoding='discs', entity_colors='position'
)


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('conventions', (Conventions(), DISCS))
def test_a_task_has_its_name_and_paints_pictures_of_the_truths_size(name, conventions, small_truth):
    task = task_named(name, conventions)
    assert task.name == task.prompt_key == name
    if name.startswith('adapter'):
        with pytest.raises(ValueError, match='taught by images'):
            task.encode(small_truth)
        return
    arguments = {'points': [(0.5, 0.9)]} if task.needs_points else {}
    picture = task.encode(small_truth, **arguments)
    assert picture.shape == (128, 128, 3) and picture.dtype == np.float32
    assert picture.min() >= 0 and picture.max() <= 1 and picture.max() > 0


@pytest.mark.parametrize(
    'name', ('deepth', '', 'semantic:', 'restoration:unblur', 'adapter:', 'depth:1')
)
def test_an_unknown_task_is_refused_in_one_line(name):
    with pytest.raises(ValueError, match='unknown task') as refusal:
        task_named(name)
    assert '\n' not in str(refusal.value)


def test_a_category_the_model_does_not_know_is_refused_with_those_it_knows():
    with pytest.raises(ValueError, match='knows only floor, wall'):
        task_named('semantic:sofa', categories=('floor', 'wall'))


@pytest.mark.parametrize(
    'wrong',
    (
        {'normal_axes': ('left', 'right', 'up')},
        {'normal_axes': ('left', 'up')},
        {'pose_encoding': 'sticks'},
        {'entity_colors': 'red'},
    ),
)
def test_conventions_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Conventions(**wrong)


@pytest.mark.parametrize(
    'name, key, best, worst',
    (
        ('depth', 'absrel', 0.015, None),
        ('normals', 'mean_deg', 0.05, None),
        ('entities', 'miou', 0.98, 0.3),
        ('segmentation', 'miou', 1, 0.3),
        ('semantic:person', 'miou', 1, 0.3),
        ('pose', 'pck10', 1, None),
        ('restoration:denoise', 'psnr', 100, None),
    ),
)
def test_truth_painted_and_read_again_is_better_than_the_best_constant(
    name, key, best, worst, truth
):
    """Tolerances: depth 1.5 % (its 2 % ends are clipped), normals 0.05 degrees, entities an IoU of
    0.98."""
    task = task_named(name)
    arguments = {'label': 5} if name == 'segmentation' else {}
    answer = task.score(task.decode(task.encode(truth, **arguments)), truth, **arguments)[key]
    constant = task.score(task.constant_baseline([truth, truth]), truth, **arguments)[key]
    if key in ('absrel', 'mean_deg'):
        assert answer <= best
    else:
        assert answer >= best
    if worst is not None:  # of one truth the mean depth, normals and pose are right
        assert constant <= worst


def test_random_colours_are_45_apart_and_from_black(truth):
    picture = task_named('entities').encode(truth, np.random.default_rng(1))
    colors = np.unique(255 * picture.reshape(-1, 3), axis=0)
    colors = np.concatenate([colors, np.zeros((1, 3))])
    distance = np.linalg.norm(colors[:, None] - colors[None], axis=2) + 1e3 * np.eye(len(colors))
    assert distance.min() > 44.9


def test_position_colours_say_where_a_thing_is(truth):
    colors = task_named('entities', DISCS).encode(truth)
    ball, far = colors[truth.instances == 6][0], colors[truth.instances == 5][0]
    assert far[0] > ball[0] and ball[1] > far[1] and ball[2] == far[2]
    assert np.allclose(colors[truth.instances == 1][0], (0, 0, 0.3))


def test_normals_follow_the_models_axes(truth):
    optical = task_named('normals').encode(truth)
    other = task_named('normals', DISCS).encode(truth)
    assert np.allclose(other[..., 0], 1 - optical[..., 0], atol=1e-6)
    assert np.allclose(other[..., 1], optical[..., 1])
    assert np.allclose(
        task_named('normals', DISCS).decode(other), task_named('normals').decode(optical), atol=1e-4
    )


def test_sky_has_no_disparity_and_grey_normals(truth):
    sky = truth.instances == 3
    assert (task_named('depth').encode(truth)[sky] == 0).all()
    assert (task_named('normals').encode(truth)[sky] == 0.5).all()


def test_segmentation_without_points_or_label_says_what_it_needs(truth):
    with pytest.raises(ValueError, match='label or points'):
        task_named('segmentation').encode(truth)


@pytest.mark.parametrize('mode', ('denoise', 'derain', 'lowlight'))
def test_a_degraded_picture_is_worse_and_of_the_same_kind(mode, truth):
    task = task_named(f'restoration:{mode}')
    worse = task.degrade(truth.rgb, np.random.default_rng(0))
    assert worse.shape == truth.rgb.shape and worse.dtype == np.uint8
    assert task.score(worse, truth)['psnr'] < 40 < task.score(truth.rgb, truth)['psnr']


ODD = st.sampled_from((0.0, 1.0, 0.5, np.nan, np.inf, -np.inf, -3.0, 7.0))
PICTURES = st.tuples(st.integers(1, 40), st.integers(1, 40)).flatmap(
    lambda size: arrays(
        np.float32,
        (*size, 3),
        elements=st.one_of(ODD, st.floats(0, 1, width=32)),
        fill=st.sampled_from((0.0, 1.0, 0.3, np.nan)),
    )
)


@pytest.mark.parametrize('name', (*NAMES, 'discs', 'position'))
@settings(max_examples=25, deadline=None, derandomize=True)
@given(picture=PICTURES)
def test_no_picture_makes_a_decoder_raise(name, picture):
    conventions = DISCS if name in ('discs', 'position') else None
    task = task_named({'discs': 'pose', 'position': 'entities'}.get(name, name), conventions)
    before = picture.copy()
    check(task.name, task.decode(picture), picture.shape[:2])
    assert np.array_equal(before, picture, equal_nan=True)


def check(name, result, shape):
    """A result is of its kind and finite."""
    if name == 'pose':
        for person in result:
            seen = person.keypoints[:, 2] > 0
            assert person.keypoints.shape == (17, 3) and seen.any()
            assert (
                np.isfinite(person.keypoints[seen]).all()
                and np.isnan(person.keypoints[~seen, :2]).all()
            )
            assert 0 < person.score <= 1
        return
    if name == 'entities':
        assert result.labels.dtype == np.int32
        assert sorted(np.unique(result.labels[result.labels > 0])) == [
            one.label for one in result.instances
        ]
        result = result.labels
    assert result.shape[:2] == shape and np.isfinite(result).all()
    if name == 'normals':
        assert np.allclose(np.linalg.norm(result, axis=2), 1, atol=1e-4)


@pytest.mark.parametrize('name', (*NAMES, 'discs'))
@pytest.mark.parametrize('value', (0.0, 1.0, np.nan, 'noise', 'stripes'))
def test_whole_pictures_of_nothing_are_answered(name, value):
    picture = np.full((240, 320, 3), 0 if isinstance(value, str) else value, np.float32)
    if value == 'noise':
        picture = np.random.default_rng(0).random(picture.shape, np.float32)
    if value == 'stripes':
        picture[::2] = (1, 0, 0)
    task = task_named('pose' if name == 'discs' else name, DISCS if name == 'discs' else None)
    result = task.decode(picture)
    check(task.name, result, picture.shape[:2])


@pytest.mark.parametrize(
    'value, count, valid', ((0.0, 0, True), (1.0, 1, True), (np.nan, 0, False))
)
def test_one_colour_is_one_entity_black_is_none_and_nan_is_no_answer(value, count, valid):
    result = task_named('entities').decode(np.full((120, 160, 3), value, np.float32))
    assert len(result.instances) == count and result.valid == valid


def test_a_picture_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r'must be \(H, W, 3\)'):
        task_named('depth').decode(np.zeros((4, 4)))


def test_the_categories_of_scenes_come_first():
    assert CATEGORIES[:9] == (
        'floor',
        'wall',
        'ceiling',
        'sky',
        'table',
        'box',
        'ball',
        'cylinder',
        'person',
    )

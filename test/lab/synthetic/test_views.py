# SPDX-License-Identifier: Apache-2.0
"""The truth of random views: exact, consistent, and the same for the same seed."""

import itertools

import numpy as np
import pytest

from diception_ros.lab.synthetic import random_scene, random_view, render

VIEWS = [(seed, worlds) for worlds in ('easy', 'full') for seed in range(12)]


@pytest.fixture(scope='module', params=VIEWS, ids=lambda p: f'{p[1]}-{p[0]}')
def view(request):
    seed, worlds = request.param
    return random_view(seed, (128, 128), worlds, 'test')


def rays(truth):
    """Ray directions (x, y, 1) of all pixels, float64 (H, W, 3)."""
    height, width = truth.depth.shape
    k = truth.intrinsics
    x, y = np.meshgrid((np.arange(width) - k[0, 2]) / k[0, 0],
                       (np.arange(height) - k[1, 2]) / k[1, 1])
    return np.stack([x, y, np.ones_like(x)], axis=2)


def world_points(truth):
    """World points float64 (H, W, 3) of all pixels."""
    depth = np.where(np.isfinite(truth.depth), truth.depth, 0)
    points = rays(truth) * depth[..., None]
    return points @ truth.camera_pose[:3, :3].T + truth.camera_pose[:3, 3]


def test_the_same_seed_gives_the_same_picture():
    for worlds in ('easy', .5, 'full'):
        first, second = (random_view(3, (96, 64), worlds) for _ in range(2))
        for name in ('rgb', 'depth', 'normals', 'instances', 'intrinsics', 'camera_pose'):
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
        assert first.categories == second.categories
        assert len(first.people) == len(second.people)


def test_seeds_of_different_splits_are_different_pictures():
    for seed in range(4):
        pictures = [random_view(seed, (64, 64), 'easy', split).rgb
                    for split in ('train', 'validation', 'test')]
        for a, b in itertools.combinations(pictures, 2):
            assert (a != b).mean() > .5


def test_unknown_worlds_and_splits_are_refused_by_name():
    with pytest.raises(ValueError, match='worlds'):
        random_view(0, worlds='hard')
    with pytest.raises(ValueError, match='worlds'):
        random_view(0, worlds=1.5)
    with pytest.raises(ValueError, match='split'):
        random_scene(0, split='exam')


def test_types_and_shapes_are_those_of_the_contract(view):
    assert view.rgb.dtype == np.uint8 and view.rgb.shape == (128, 128, 3)
    assert view.depth.dtype == np.float32 and view.depth.shape == (128, 128)
    assert view.normals.dtype == np.float32 and view.normals.shape == (128, 128, 3)
    assert view.instances.dtype == np.int32 and view.instances.min() >= 1
    assert view.rgb.std() > 3
    assert (view.depth > .04).all()


def test_every_pixel_belongs_to_an_instance_with_a_category(view):
    assert set(np.unique(view.instances).tolist()) == set(view.categories)
    for category in ('floor', 'wall', 'ceiling', 'sky'):
        assert list(view.categories.values()).count(category) <= 1
    sky = [number for number, name in view.categories.items() if name == 'sky']
    np.testing.assert_array_equal(np.isin(view.instances, sky), ~np.isfinite(view.depth))
    people = {number for number, name in view.categories.items() if name == 'person'}
    assert {person.label for person in view.people} == people


def test_a_scene_without_any_thing_in_view_can_be_rendered():
    for seed in range(6):
        scene = random_scene(seed, 'full')
        truth = render(scene, scene.camera((32, 32), pitch=-89.0, position=(0, 0, 1.99)))
        assert set(truth.categories.values()) <= {'ceiling', 'wall', 'sky'}


def test_patterned_things_that_are_out_of_sight_do_not_stop_the_picture():
    assert random_view(10_000_931, worlds=0.06527462394086993, split='train').rgb.any()


def test_the_floor_is_the_plane_z_0(view):
    floor = [number for number, name in view.categories.items() if name == 'floor']
    on = np.isin(view.instances, floor)
    if on.any():
        points = world_points(view)[on]
        assert np.abs(points[:, 2]).max() < 2e-4 * (1 + view.depth[on].max())
        up = view.normals[on] @ view.camera_pose[:3, :3].T
        np.testing.assert_allclose(up, np.broadcast_to([0, 0, 1], up.shape), atol=1e-5)


def test_normals_have_unit_length_and_face_the_camera(view):
    seen = np.isfinite(view.depth)
    np.testing.assert_allclose(np.linalg.norm(view.normals[seen], axis=1), 1, atol=1e-4)
    assert (view.normals[~seen] == 0).all()
    facing = (view.normals * rays(view)).sum(axis=2)[seen]
    assert facing.max() < .02      # a silhouette's rounding


def test_normals_agree_with_the_depths_own_slopes(view):
    points = rays(view) * np.where(np.isfinite(view.depth), view.depth, 0)[..., None]
    across = points[1:-1, 2:] - points[1:-1, :-2]
    down = points[2:, 1:-1] - points[:-2, 1:-1]
    normal = np.cross(down, across)
    normal /= np.maximum(np.linalg.norm(normal, axis=2, keepdims=True), 1e-12)
    # where the surface is one and smooth around the pixel
    smooth = np.isfinite(view.depth)[1:-1, 1:-1]
    for rows, columns in itertools.product((0, 1, 2), repeat=2):
        there = view.normals[rows:rows + 126, columns:columns + 126]
        instances = view.instances
        smooth &= instances[rows:rows + 126, columns:columns + 126] == instances[1:-1, 1:-1]
        smooth &= (there * view.normals[1:-1, 1:-1]).sum(axis=2) > .995
        depth = points[..., 2]
        step = np.abs(depth[rows:rows + 126, columns:columns + 126] - depth[1:-1, 1:-1])
        smooth &= step < .03 * depth[1:-1, 1:-1]
    assert smooth.mean() > .1
    cosine = (normal * view.normals[1:-1, 1:-1]).sum(axis=2)[smooth]
    assert (cosine > .99).mean() > .93


def test_keypoints_are_the_projections_of_their_3d_points(view):
    for person in view.people:
        assert person.keypoints.shape == (17, 3) and person.keypoints_3d.shape == (17, 3)
        ahead = person.keypoints_3d[:, 2] > .1
        projected = person.keypoints_3d[ahead] @ view.intrinsics.T
        projected = projected[:, :2] / projected[:, 2:]
        np.testing.assert_allclose(person.keypoints[ahead, :2], projected, atol=.02)


def test_keypoints_out_of_the_picture_are_0_and_visible_ones_lie_on_their_person(view):
    for person in view.people:
        for x, y, seen in person.keypoints:
            inside = -.5 <= x < 127.5 and -.5 <= y < 127.5
            assert (seen > 0) == inside or (abs(x - 127.5) < .01 or abs(y - 127.5) < .01)
            if seen == 2:
                assert view.instances[round(float(y)), round(float(x))] == person.label


def test_visible_joints_lie_within_a_body_part_of_the_surface(view):
    for person in view.people:
        for (x, y, seen), joint in zip(person.keypoints, person.keypoints_3d, strict=True):
            if seen == 2:
                assert joint[2] - view.depth[round(float(y)), round(float(x))] < .18


def test_people_are_seen_in_most_easy_scenes():
    people = [len(random_view(seed, (64, 64)).people) for seed in range(60)]
    assert .5 < np.mean([count > 0 for count in people]) < .85
    assert max(people) >= 2


def test_a_square_picture_may_be_squashed_and_another_is_not():
    cameras = [random_view(seed, (64, 64)).intrinsics for seed in range(30)]
    ratios = {round(k[1, 1] / k[0, 0], 2) for k in cameras}
    assert ratios == {1.0, 1.33, 1.78}
    k = random_view(0, (96, 64)).intrinsics
    assert k[0, 0] == k[1, 1]

# SPDX-License-Identifier: Apache-2.0
"""Scenes with real images: the truth stays exact, and scenes without any stay as they are."""

import json
import pickle

import cv2
import numpy as np
import pytest

from diception_ros.lab.datasets import KNOWN, record
from diception_ros.lab.synthetic import Assets, Camera, random_scene, random_view, render
from diception_ros.lab.synthetic import assets as assets_module
from diception_ros.lab.synthetic.billboards import Billboard
from diception_ros.lab.synthetic.renderer import render as render_scene
from diception_ros.tasks import CATEGORIES

SEEDS = range(24)


@pytest.fixture(scope='module')
def assets(tmp_path_factory):
    """Made-up cut-outs, textures and panoramas: no real image is needed to test with."""
    folder = tmp_path_factory.mktemp('assets')
    rng = np.random.default_rng(0)
    (folder / 'cutouts/images').mkdir(parents=True)
    keypoints = np.zeros((17, 3))
    keypoints[:13] = np.stack([rng.uniform(20, 40, 13), rng.uniform(10, 140, 13),
                               np.full(13, 2)], axis=1)
    lines = []
    for number in range(12):
        person = number % 3 == 0
        size = (60, 150) if person else (80, 50 + 5 * number)
        rgba = np.zeros((size[1], size[0], 4), np.uint8)
        rgba[..., :3] = rng.integers(0, 255, 3)
        cv2.ellipse(rgba, (size[0] // 2, size[1] // 2), (size[0] // 2 - 2, size[1] // 2 - 2), 0, 0,
                    360, (40, 90, 200, 255), -1)
        cv2.imwrite(str(folder / f'cutouts/images/{number}.webp'), rgba)
        lines.append({'key': f'coco_cc/{number}.jpg', 'file': f'{number}.webp', 'size': size,
                      'kind': 'person' if person else 'thing', 'source': 'a', 'cut': [],
                      'name': 'person' if person else 'cup', 'metres': 1.7 if person else .2,
                      'flat': number % 2 == 0, 'whole': number % 2 == 0,
                      'keypoints': keypoints.tolist()})
    (folder / 'cutouts/index.jsonl').write_text('\n'.join(map(json.dumps, lines)))
    squares = rng.integers(0, 255, (10, assets_module.SIDE, assets_module.SIDE, 3), np.uint8)
    np.save(folder / 'textures.npy', np.stack([assets_module.pyramid(s) for s in squares]))
    np.save(folder / 'panoramas.npy', rng.uniform(.5, 1.5, (2, 128, 256, 3)).astype(np.float16))
    np.save(folder / 'backdrops.npy', rng.integers(0, 255, (2, 60, 80, 3), np.uint8))
    kinds = {kind: [2 * i, 2 * i + 2]
             for i, kind in enumerate(('scene', 'wall', 'floor', 'cloth', 'goods'))}
    (folder / 'assets.json').write_text(json.dumps(
        {'kinds': kinds, 'panoramas': 2, 'backdrops': 2, 'cutouts': str(folder / 'cutouts')}))
    return Assets(folder, split='test')       # 'coco_cc' is a source to test with


@pytest.fixture(scope='module')
def views(assets):
    return [random_view(seed, worlds=.5, assets=assets) for seed in SEEDS]


def test_scenes_without_assets_are_those_that_figures_rest_on():
    """The docs' figures are of these scenes: a change here makes them another test set's."""
    found = [random_view(seed, worlds=worlds, split='test')
             for worlds in ('easy', 'full') for seed in (0, 1, 2)]
    assert [len(np.unique(t.instances)) for t in found] == [7, 5, 6, 10, 5, 8]
    assert np.allclose([np.median(t.depth) for t in found],
                       [4.507, 3.947, 2.632, 4.954, 2.042, 10.952], atol=2e-3)


def test_the_same_seed_gives_the_same_realistic_scene(assets, views):
    for seed in (0, 5):
        again = random_view(seed, worlds=.5, assets=pickle.loads(pickle.dumps(assets)))
        assert np.array_equal(views[seed].rgb, again.rgb)
        assert np.array_equal(views[seed].depth, again.depth)


def test_the_truth_of_a_realistic_scene_is_whole(views):
    named = {*CATEGORIES, 'thing'}
    for truth in views:
        assert truth.rgb.shape == (128, 128, 3) and truth.rgb.std() > 1
        assert (truth.depth > 0).all() and not np.isnan(truth.depth).any()
        unknown = truth.instances == 0            # before a photograph
        assert set(truth.categories) == set(np.unique(truth.instances[~unknown]))
        assert not unknown.any() or 'depth' not in truth.known
        assert set(truth.categories.values()) <= named
        sky = np.isinf(truth.depth)
        length = np.linalg.norm(truth.normals, axis=2)
        assert np.allclose(length[~sky], 1, atol=1e-3) and not np.isnan(length).any()
        assert {p.label for p in truth.people} <= {
            label for label, name in truth.categories.items() if name == 'person'}


def test_cut_outs_are_seen_and_have_no_normals_but_depth(assets, views):
    boards = 0
    for truth in views:
        if truth.known is None:
            continue
        flat = ~truth.known['normals']
        boards += flat.any()
        assert truth.known['segmentation'].all()
        assert np.isfinite(truth.depth[flat]).all()
    assert boards > len(SEEDS) / 3


def test_before_a_photograph_only_people_and_what_stands_there_are_known(views):
    hung = [truth for truth in views if (truth.instances == 0).any()]
    assert hung
    for truth in hung:
        behind = truth.instances == 0
        assert not set(truth.known) & {'depth', 'entities'}
        assert truth.known['semantic:person'].all() and truth.known['pose'][behind].all()
        assert not truth.known['normals'][behind].any()
        assert not truth.known['semantic:floor'][behind].any()
        found = record(truth)
        assert not found['known'][KNOWN.index('depth')]


def test_joints_of_cut_out_people_lie_on_their_masks(views):
    seen = 0
    for truth in views:
        for person in truth.people:
            own = cv2.dilate((truth.instances == person.label).astype(np.uint8), np.ones((3, 3)))
            for x, y, visible in person.keypoints:
                if visible == 2:
                    seen += 1
                    assert own[round(float(y)), round(float(x))]
    assert seen > 50


def test_rgb_of_twice_the_size_shows_the_same_scene_and_leaves_the_truth(assets):
    for seed in (1, 4):
        small = random_view(seed, worlds=.2, assets=assets)
        large = random_view(seed, worlds=.2, assets=assets, rgb_scale=2)
        assert large.rgb.shape == (256, 256, 3)
        assert np.array_equal(small.depth, large.depth)
        assert np.array_equal(small.instances, large.instances)
        shrunk = cv2.resize(large.rgb, (128, 128), interpolation=cv2.INTER_AREA)
        assert np.abs(shrunk.astype(int) - small.rgb).mean() < 14


def test_a_billboard_is_where_its_corners_are_projected():
    scene = random_scene(3, 'easy', 'train')
    camera = Camera.at((0, 0, 1.0), yaw=20, pitch=5, field_of_view=60, size=(160, 120))
    ahead = camera.pose[:3, 2] * 1.0
    rgba = np.full((40, 20, 4), 255, np.uint8)
    rgba[..., :3] = (255, 0, 0)
    board = Billboard(rgba, camera.pose[:3, 3] + ahead - (0, 0, .2), camera.pose[:3, 0],
                      np.array([0, 0, 1.0]), (.2, .4), 60)
    scene.boards, scene.categories = [board], {**scene.categories, 60: 'thing'}
    truth = render_scene(scene, camera)
    own = truth.instances == 60
    corners = [board.foot + side * .1 * board.right + up * board.up
               for side in (-1, 1) for up in (0, .4)]
    pixels, depth = camera.project(np.array(corners))
    assert abs(np.flatnonzero(own.any(axis=0))[[0, -1]] - [pixels[:, 0].min(),
                                                           pixels[:, 0].max()]).max() < 1
    assert abs(np.flatnonzero(own.any(axis=1))[[0, -1]] - [pixels[:, 1].min(),
                                                           pixels[:, 1].max()]).max() < 1
    assert depth.min() - .01 < truth.depth[own].min() and truth.depth[own].max() < depth.max() + .01
    red = truth.rgb[..., 0].astype(int) - truth.rgb[..., 1]
    assert red[own].mean() > 60 > red[~own].mean()
    # what is nearer hides it
    board.foot = board.foot + camera.pose[:3, 2] * 50
    assert not (render(scene, camera).instances == 60).any()


def test_realistic_scenes_need_no_images():
    shown = [random_view(seed, worlds=.5, assets=Assets()) for seed in range(6)]
    assert all(t.known is None for t in shown)


def test_missing_assets_say_how_they_are_made(tmp_path):
    with pytest.raises(FileNotFoundError, match='lab.datasets.assets'):
        Assets(tmp_path)


def test_light_of_a_panorama_comes_from_where_it_is_bright():
    panorama = np.full((64, 128, 3), .1, np.float32)
    panorama[:20] = 2
    light = assets_module.irradiance(panorama, 0)
    up, down = light[0] + light[3], light[0] - light[3]
    assert (up > 3 * np.maximum(down, 0)).all()
    seen = assets_module.look_up(panorama, np.float32([[0, 0], [0, 0], [1, -1]]), 0)
    assert np.allclose(seen[:, 0], 2) and np.allclose(seen[:, 1], .1)


def test_a_record_holds_a_larger_rgb_beside_targets_of_the_cameras_size(assets):
    found = record(random_view(2, worlds=.5, assets=assets, rgb_scale=2))
    assert found['rgb'].shape == (3, 256, 256)
    assert found['depth'].shape == found['ignore'].shape == (1, 128, 128)

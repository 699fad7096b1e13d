# SPDX-License-Identifier: Apache-2.0
"""What is worked out from the results of one frame: metres, joints in space, categories."""

from types import SimpleNamespace

import numpy as np
import pytest
from std_msgs.msg import Header

from diception_ros.geometry import CameraModel
from diception_ros.model import Perception
from diception_ros.ros.answer import Answer
from diception_ros.ros.diagnostics import Health
from diception_ros.ros.parameters import defaults
from diception_ros.tasks.entities import EntityMap, Instance

CAMERA = CameraModel([100, 0, 40, 0, 100, 30, 0, 0, 1], (80, 60))


class Logger:
    def __init__(self):
        self.lines = []

    def warning(self, text):
        self.lines.append(text)

    error = warning


@pytest.fixture
def logger():
    return Logger()


@pytest.fixture
def answer(logger):
    """Return a function that makes an Answer of a slope from 4 m (left) to 1 m (right)."""
    disparity = np.tile(np.linspace(0, 1, 80, dtype=np.float32), (60, 1))

    def make(reference=None, camera=CAMERA, perception=None, gravity=None, **settings):
        changed = {name.replace('__', '.'): value for name, value in settings.items()}
        return Answer(np.zeros((60, 80, 3), np.uint8),
                      perception or Perception(depth=disparity), {**defaults(), **changed}, [],
                      Header(), camera, None, reference, Health(logger), gravity)
    return make


TRUE = np.tile(1 / np.linspace(0.25, 1, 80, dtype=np.float32), (60, 1))


def test_near_far_puts_the_nearest_and_the_farthest_where_it_is_told(answer):
    metres = answer(depth__scale='near_far', depth__near=1.0, depth__far=4.0).metric_depth
    np.testing.assert_allclose(metres, TRUE, rtol=1e-4)


def test_a_sparse_reference_gives_metres_and_its_own_pixels_win(answer):
    rng = np.random.default_rng(0)
    reference = np.where(rng.random(TRUE.shape) < 0.05, TRUE, np.nan).astype(np.float32)
    reference[30, 40] = 2.5  # it is 1.6 m by the fit
    kept = answer(reference).metric_depth
    assert kept[30, 40] == 2.5
    np.testing.assert_allclose(np.delete(kept, 30, axis=0), np.delete(TRUE, 30, axis=0), rtol=0.02)
    ours = answer(reference, depth__keep_reference=False).metric_depth
    np.testing.assert_allclose(ours, TRUE, rtol=0.02)


def test_without_a_reference_there_are_no_metres_and_the_reason_is_said(answer, logger):
    assert answer().metric_depth is None
    assert 'no reference_depth has a stamp within' in logger.lines[0]
    assert answer(depth__scale='none').metric_depth is None


def test_a_reference_that_contradicts_gives_nan_but_keeps_its_own_pixels(answer, logger):
    reference = np.where(np.random.default_rng(0).random(TRUE.shape) < 0.05, TRUE[:, ::-1], np.nan)
    metres = answer(reference.astype(np.float32)).metric_depth
    measured = np.isfinite(reference)
    np.testing.assert_allclose(metres[measured], reference[measured], rtol=1e-6)
    assert np.isnan(metres[~measured]).all()
    assert 'no metres (depth.scale reference)' in logger.lines[0]


@pytest.mark.parametrize('changed, words', [
    ({'camera': None}, 'no usable camera_info'), ({}, "'tasks' has no normals")])
def test_ground_plane_says_what_it_lacks(answer, logger, changed, words):
    found = answer(depth__scale='ground_plane', depth__camera_height=1.0, **changed)
    assert found.metric_depth is None
    assert words in logger.lines[0]


def test_gravity_corrects_normals_that_are_turned(answer):
    """A camera 1 m above a floor, pitched down by 20 degrees; the normals say 26."""
    height, width = 240, 320
    camera = CameraModel([200, 0, 160, 0, 200, 120, 0, 0, 1], (width, height))
    v, u = np.mgrid[:height, :width]
    rays = np.stack([(u - 160) / 200, (v - 120) / 200, np.ones(u.shape)], -1)
    down, wrong = (np.array([0, np.cos(a), np.sin(a)]) for a in np.radians((20, 26)))
    inverse = np.maximum(rays @ down, 0.05)  # a wall where the floor is 20 m away
    scale = inverse.max() - 0.05
    perception = Perception(
        depth=((inverse - 0.05) / scale).astype(np.float32),
        normals=np.where(inverse[..., None] > 0.05, -wrong, (0, 0, -1)).astype(np.float32))
    errors = {}
    for name, gravity in (('known', down), ('unknown', None)):
        metres = answer(camera=camera, perception=perception, gravity=gravity,
                        depth__scale='ground_plane', depth__camera_height=1.0).metric_depth
        floor = inverse > 0.3
        errors[name] = np.nanmedian(np.abs(metres * inverse - 1)[floor])
    assert errors['known'] < 0.02 < errors['unknown']


def test_the_sky_has_no_metres_where_it_is_seen(answer):
    sky = np.zeros((60, 80), bool)
    sky[:20] = True
    disparity = np.tile(np.linspace(0, 1, 80, dtype=np.float32), (60, 1))
    found = answer(depth__scale='near_far', depth__near=1.0, depth__far=4.0,
                   perception=Perception(depth=disparity, semantic={'sky': sky}))
    np.testing.assert_array_equal(np.isnan(found.metric_depth), sky)


def test_joints_are_put_in_space_only_where_metres_are_in_use(answer):
    keypoints = np.full((17, 3), np.nan, np.float32)
    keypoints[:, 2] = 0
    keypoints[5] = 79, 30, 0.9     # on the near edge: 1 m away
    keypoints[6] = 200, 30, 0.9    # outside of the picture
    found = answer(depth__scale='near_far', depth__near=1.0, depth__far=4.0)
    assert np.isnan(found.joints_in_space(keypoints)).all()
    assert found.metric_depth is not None
    places = found.joints_in_space(keypoints)
    np.testing.assert_allclose(places[5], [0.39, 0.0, 1.0], atol=1e-3)
    assert np.isnan(np.delete(places, 5, axis=0)).all()


def test_an_entity_gets_the_category_that_is_brightest_on_it(answer):
    labels = np.zeros((60, 80), np.int32)
    labels[:30], labels[40:] = 1, 2
    instances = [Instance(n, (0, 0, 80, 20), 1600, (40, 10), (1, 0, 0)) for n in (1, 2)]
    person, floor = np.zeros((2, 60, 80), bool)
    person[:20], floor[:5] = True, True
    found = answer(perception=Perception(
        entities=EntityMap(labels, instances, labels > 0),
        semantic={'person': person, 'floor': floor},
        pictures={'semantic:person': np.dstack([0.9 * person] * 3),
                  'semantic:floor': np.dstack([1.0 * floor] * 3)}))
    first, second = found.entities.instances
    assert first.category == 'person' and first.score == pytest.approx(0.6, abs=0.01)
    assert second.category == '' and second.score == 1.0


def test_a_person_is_linked_with_the_entity_under_its_joints(answer):
    labels = np.zeros((60, 80), np.int32)
    labels[:, 20:40] = 7
    keypoints = np.full((17, 3), np.nan, np.float32)
    keypoints[:3] = [(25, 10, 1), (30, 20, 1), (60, 20, 1)]
    perception = Perception(entities=SimpleNamespace(labels=labels, instances=[]))
    assert answer(perception=perception).entity_under(keypoints) == 7
    assert answer().entity_under(keypoints) == 0
    keypoints[:, 2] = 0
    assert answer(perception=perception).entity_under(keypoints) == 0

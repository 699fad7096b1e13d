# SPDX-License-Identifier: Apache-2.0
"""Evaluation: a model that paints the truth reaches the ceiling, one that paints nothing does not.
"""
import numpy as np
import pytest

from diception_ros.lab.datasets.records import CONVENTIONS
from diception_ros.lab.evaluation.synthetic import clicks, evaluate
from diception_ros.lab.synthetic import random_view
from diception_ros.model import Perception
from diception_ros.tasks import CATEGORIES, task_named


class Oracle:
    """A pipeline that knows the truth of the scenes it is shown, or paints all black."""

    conventions, resolution, categories = CONVENTIONS, (64, 64), list(CATEGORIES)
    tasks = ['depth', 'normals', 'entities', 'pose', 'segmentation',
             *(f'semantic:{c}' for c in CATEGORIES)]

    def __init__(self, scenes, blind=False):
        views = [random_view(seed, size=(64, 64), worlds='easy', split='test')
                 for seed in range(scenes)]
        self.known = {view.rgb.tobytes(): view for view in views}
        self.blind = blind

    def __call__(self, image, tasks, points=None):
        truth = self.known[image.tobytes()]
        result = Perception()
        for name in tasks:
            task = task_named(name, CONVENTIONS)
            picture = task.encode(truth, points=points)
            result.pictures[name] = np.zeros_like(picture) if self.blind else picture
            result.add(name, task.decode(result.pictures[name]))
        return result


@pytest.fixture(scope='module')
def figures():
    return evaluate(Oracle(6), 'easy', scenes=6)


def test_a_model_that_paints_the_truth_reaches_the_ceiling(figures):
    assert figures['model'] == figures['ceiling']
    assert figures['model']['depth.absrel'] < 0.06
    assert figures['model']['normals.mean_deg'] < 1
    assert figures['model']['normals.depth_deg'] < 1
    assert figures['model']['segmentation.miou'] == 1
    assert figures['model']['panoptic.pq'] > 0.8


def test_the_ceiling_is_above_the_best_constant_answer(figures):
    for key in ('depth.delta1', 'entities.miou', 'segmentation.miou', 'semantic.miou',
                'panoptic.pq', 'pose.pck10'):
        assert figures['ceiling'][key] > figures['constant'][key], key


def test_a_blind_model_is_no_better_than_a_constant_one():
    figures = evaluate(Oracle(6, blind=True), 'easy', scenes=6)
    assert figures['model']['segmentation.miou'] == 0
    assert figures['model']['pose.pck10'] == 0
    assert figures['model']['depth.absrel'] >= figures['constant']['depth.absrel']


def test_clicks_are_on_their_things():
    truth = random_view(0, size=(64, 64), worlds='easy', split='test')
    found = clicks(truth)
    assert found
    for label, (x, y) in found:
        assert truth.instances[int(y * 64), int(x * 64)] == label

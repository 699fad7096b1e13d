# SPDX-License-Identifier: Apache-2.0
"""Questions about a batch of pictures: their answers are the truth's."""
import numpy as np
import pytest
import torch

from diception_ros.lab.synthetic import random_view
from diception_ros.lab.training.pictures import CONVENTIONS, batch_of, record, write_store
from diception_ros.lab.training.targets import MAX_POINTS, PROMPTS, ask
from diception_ros.tasks import CATEGORIES, task_named

TASKS = ['depth', 'normals', 'entities', 'pose', 'semantic', 'segmentation']


@pytest.fixture(scope='module')
def truths():
    return [random_view(seed, size=(48, 48), worlds='easy', split='train') for seed in range(4)]


@pytest.fixture(scope='module')
def questions(truths):
    batch = {k: torch.from_numpy(v) for k, v in batch_of([record(t) for t in truths]).items()}
    return ask(batch, TASKS, torch.Generator().manual_seed(3))


def test_every_task_is_asked_about_every_picture(questions):
    assert len(questions.kinds) == len(TASKS) * 4
    assert questions.picture.tolist() == [0, 1, 2, 3] * len(TASKS)
    assert questions.target.shape == (24, 3, 48, 48)
    assert questions.target.abs().max() <= 1


def test_targets_on_the_device_are_the_tasks_own(truths, questions):
    for row, kind in enumerate(questions.kinds):
        truth = truths[int(questions.picture[row])]
        name = PROMPTS[int(questions.prompt[row])]
        if kind == 'segmentation':
            y, x = questions.points[row, 0].tolist()
            wanted = task_named(name).encode(truth, points=[(x, y)])
        else:
            assert name.partition(':')[0] == kind
            wanted = task_named(name, CONVENTIONS).encode(truth)
        got = (questions.target[row].permute(1, 2, 0).numpy() + 1) / 2
        assert np.abs(got - wanted).max() < 0.003, name


def test_all_points_of_a_click_lie_on_one_thing_and_the_first_slots_are_filled(questions):
    rows = [r for r, kind in enumerate(questions.kinds) if kind == 'segmentation']
    for row in rows:
        given = questions.given[row]
        count = int(given.sum())
        assert 1 <= count <= MAX_POINTS and given[:count].all()
        assert (questions.points[row, count:] == 0).all()
        for y, x in questions.points[row, :count].tolist():
            assert questions.target[row, 0, int(y * 48), int(x * 48)] == 1


def test_categories_of_a_record_are_those_of_the_truth(truths):
    fields = record(truths[0])
    for label, category in truths[0].categories.items():
        assert CATEGORIES[fields['categories'][label]] == category


def test_a_store_holds_the_pictures_that_would_have_been_rendered(tmp_path):
    done = list(write_store(tmp_path, 3, (32, 32), 0.0, first_seed=5))
    assert done == [3]
    wanted = record(random_view(7, size=(32, 32), worlds=0.0, split='train'))
    for name in ('rgb', 'entities', 'categories'):
        assert np.array_equal(np.load(tmp_path / f'{name}.npy')[2], wanted[name])

# SPDX-License-Identifier: Apache-2.0
"""Samples of a batch of records: their targets are the truth's, and only where it is known."""
import numpy as np
import pytest
import torch

from diception_ros.lab.datasets.records import CONVENTIONS, KNOWN, ignore_bit, record
from diception_ros.lab.synthetic import random_view
from diception_ros.lab.training.pictures import (
    FIELDS,
    Scenes,
    batch_of,
    rendered,
    write_store,
)
from diception_ros.lab.training.targets import MAX_POINTS, PROMPTS, sample_targets
from diception_ros.tasks import CATEGORIES, task_named

TASKS = ['depth', 'normals', 'entities', 'pose', 'semantic', 'segmentation']


@pytest.fixture(scope='module')
def truths():
    return [random_view(seed, size=(48, 48), worlds='easy', split='train') for seed in range(4)]


@pytest.fixture(scope='module')
def samples(truths):
    batch = {k: torch.from_numpy(v) for k, v in batch_of([record(t) for t in truths]).items()}
    return sample_targets(batch, TASKS, torch.Generator().manual_seed(3))


def test_every_task_of_every_scene_is_sampled(samples):
    assert len(samples.kinds) == len(TASKS) * 4
    assert sorted(samples.image_index.tolist()) == sorted([0, 1, 2, 3] * len(TASKS))
    assert samples.target.shape == (24, 3, 48, 48)
    assert samples.valid.shape == (24, 1, 48, 48) and samples.valid.all()
    assert samples.target.abs().max() <= 1


def test_targets_on_the_device_are_the_tasks_own(truths, samples):
    for row, kind in enumerate(samples.kinds):
        truth = truths[int(samples.image_index[row])]
        name = PROMPTS[int(samples.prompt[row])]
        if kind == 'segmentation':
            y, x = samples.points[row, 0].tolist()
            wanted = task_named(name).encode(truth, points=[(x, y)])
        else:
            assert name.partition(':')[0] == kind
            wanted = task_named(name, CONVENTIONS).encode(truth)
        got = (samples.target[row].permute(1, 2, 0).numpy() + 1) / 2
        assert np.abs(got - wanted).max() < 0.003, name


def test_all_points_of_a_click_lie_on_one_thing_and_the_first_slots_are_filled(samples):
    rows = [r for r, kind in enumerate(samples.kinds) if kind == 'segmentation']
    for row in rows:
        given = samples.given[row]
        count = int(given.sum())
        assert 1 <= count <= MAX_POINTS and given[:count].all()
        assert (samples.points[row, count:] == 0).all()
        for y, x in samples.points[row, :count].tolist():
            assert samples.target[row, 0, int(y * 48), int(x * 48)] == 1


def test_categories_of_a_record_are_those_of_the_truth(truths):
    fields = record(truths[0])
    for label, category in truths[0].categories.items():
        assert CATEGORIES[fields['categories'][label]] == category


def test_a_store_holds_the_pictures_that_would_have_been_rendered(tmp_path):
    done = list(write_store(tmp_path, Scenes((32, 32), (0.0, 0.0)), 3))
    assert done == [3]
    wanted = record(random_view(2, size=(32, 32), worlds=0.0, split='train'))
    for name in ('rgb', 'entities', 'categories'):
        assert np.array_equal(np.load(tmp_path / f'{name}.npy')[2], wanted[name])


def test_what_a_record_does_not_know_is_neither_sampled_nor_counted(truths):
    records = [record(t) for t in truths]
    for fields in records[:2]:
        fields['known'][:] = 0
        fields['known'][[KNOWN.index('depth'), KNOWN.index('semantic:person')]] = 1
        fields['ignore'][:, :10] |= ignore_bit('depth')
    batch = {k: torch.from_numpy(v) for k, v in batch_of(records).items()}
    samples = sample_targets(batch, TASKS, torch.Generator().manual_seed(0))
    partly = [(kind, PROMPTS[int(prompt)], valid) for kind, image, prompt, valid in zip(
        samples.kinds, samples.image_index.tolist(), samples.prompt, samples.valid) if image < 2]
    assert {name for _, name, _ in partly} == {'depth', 'semantic:person'}
    for _, name, valid in partly:
        assert valid[:, 10:].all() and valid[:, :10].any() == (name != 'depth')


def test_records_without_any_truth_are_refused(truths):
    fields = record(truths[0])
    fields['known'][:] = 0
    batch = {k: torch.from_numpy(v) for k, v in batch_of([fields]).items()}
    with pytest.raises(ValueError, match='none of them has a truth'):
        sample_targets(batch, TASKS, torch.Generator())


def test_a_record_with_a_larger_image_has_the_same_truth():
    small = rendered(3, (48, 48), 0.0)
    large = rendered(3, (48, 48), 0.0, rgb_scale=2)
    assert large['rgb'].shape == (3, 96, 96)
    for name in FIELDS[1:]:
        assert large[name].shape == small[name].shape, name
        assert (large[name] == small[name]).mean() > 0.95, name

# SPDX-License-Identifier: Apache-2.0
"""Entities get their categories from the semantic pictures; panoptic quality counts both."""

import numpy as np
import pytest

from diception_ros.tasks import CATEGORIES, task_named
from diception_ros.tasks.panoptic import (
    label_image,
    labels_of,
    panoptic_counts,
    panoptic_quality,
    with_categories,
)
from diception_ros.tasks.semantic import strength


@pytest.fixture
def strengths(truth):
    return {name: strength(task_named(f'semantic:{name}').encode(truth)) for name in CATEGORIES}


@pytest.fixture
def entities(truth):
    task = task_named('entities')
    return task.decode(task.encode(truth))


def test_truth_painted_and_read_again_has_a_panoptic_quality_near_one(truth, entities, strengths):
    found = with_categories(entities, strengths)
    assert {one.category for one in found.instances} == {
        truth.categories[label] for label in truth.categories
    }
    assert all(one.score > 0.9 for one in found.instances)
    assert panoptic_quality([panoptic_counts(found, truth)])['pq'] > 0.95


def test_without_categories_nothing_is_recognised(truth, entities):
    assert panoptic_quality([panoptic_counts(entities, truth)])['pq'] == 0
    assert with_categories(entities, {}) is entities


def test_a_wrong_category_is_one_missed_and_one_false(truth, entities, strengths):
    strengths['box'], strengths['cylinder'] = strengths['cylinder'], strengths['box']
    counts = panoptic_counts(with_categories(entities, strengths), truth)
    assert counts['box'] == [0.0, 0, 0, 1] and counts['cylinder'] == [0.0, 0, 1, 0]


def test_the_brighter_category_wins_a_pixel():
    first, second = np.array([[0.9, 0.6, 0.2, np.nan]]), np.array([[0.6, 0.8, 0.3, 0.9]])
    labels = label_image({'a': first, 'b': second}, ['a', 'c', 'b'])
    assert labels.dtype == np.uint8
    assert labels.tolist() == [[1, 3, 0, 3]]


def test_the_entities_in_a_mask_are_told(truth, entities, strengths):
    people = labels_of(entities, strengths['person'] > 0.5)
    assert np.mean((people > 0) == (strengths['person'] > 0.5)) > 0.99
    assert len(np.unique(people)) == 3

# SPDX-License-Identifier: Apache-2.0
"""Real pictures: who paints the truth has the best figures, and only what is known is judged."""
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from diception_ros.lab.datasets import open_dataset
from diception_ros.lab.datasets.records import CONVENTIONS
from diception_ros.lab.evaluation.photographs import evaluate, measured_names, row_order
from diception_ros.model import Perception
from diception_ros.tasks import task_named

WIDTH, HEIGHT = 96, 64
SHARED = Path(__file__).parents[3] / '../shared/real'


@pytest.fixture
def folder(tmp_path):
    """One picture of a person and a thing at two depths, one where nobody is."""
    rng = np.random.default_rng(0)
    for kind in ('rgb', 'depth', 'instances'):
        (tmp_path / kind).mkdir()
    for name in 'ab':
        cv2.imwrite(str(tmp_path / f'rgb/{name}.png'),
                    rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))
    depth = np.full((HEIGHT, WIDTH), 3000, np.uint16)
    depth[10:60, 8:40], depth[20:60, 50:90] = 1500, 1000
    depth[:4] = 0
    cv2.imwrite(str(tmp_path / 'depth/a.png'), depth)
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[10:60, 8:40], labels[20:60, 50:90], labels[:, 92:] = 1, 2, 255
    cv2.imwrite(str(tmp_path / 'instances/a.png'), labels)
    joints = [[12 + j, 14 + 2 * j, 2] for j in range(17)]
    (tmp_path / 'labels.jsonl').write_text('\n'.join(map(json.dumps, (
        {'file': 'a.png', 'instances': {'1': 'person'}, 'people': [joints]},
        {'file': 'b.png', 'people': []}))))
    (tmp_path / 'dataset.json').write_text(json.dumps({'complete': ['person']}))
    return tmp_path


class Painter:
    """A pipeline that knows the pictures, spoils what it knows of them, and counts its calls."""

    conventions, resolution, categories = CONVENTIONS, (64, 64), ['person', 'table']
    tasks = ['depth', 'entities', 'pose', 'segmentation', 'semantic:person', 'semantic:table']

    def __init__(self, folder, spoil=lambda truth: truth):
        dataset = open_dataset(folder)
        truths = [dataset.truth(name) for name in dataset.names]
        self.known = {truth.rgb.tobytes(): spoil(truth) for truth in truths}
        self.asked = []

    def __call__(self, image, tasks, points=None):
        truth, result = self.known[image.tobytes()], Perception()
        for name in tasks:
            task = task_named(name, CONVENTIONS)
            self.asked.append(name)
            result.pictures[name] = task.encode(truth, points=points)
            result.add(name, task.decode(result.pictures[name]))
        return result


def test_who_paints_the_truth_has_the_best_figures(folder):
    painter = Painter(folder)
    found = evaluate(painter, folder)
    everything = found['all']['model']
    assert found['all']['pictures'] == 2 and found[folder.name]['model'] == everything
    assert everything['depth.order'] == everything['entities.recall50'] == 1
    assert everything['click.miou'] == everything['people.iou'] == 1
    assert everything['people.painted'] == 0 and everything['pose.pck10'] > 0.9
    assert everything['depth.absrel'] < 0.02 and everything['depth.within10'] > 0.98
    assert everything['pose.sure'] == everything['entities.sure'] == 1
    assert everything['pose.found_where_nobody'] == 0
    blind = found['all']['blind']
    assert blind['depth.order'] == 0.5 and blind['people.iou'] == 0
    assert blind['click.miou'] < 0.5 and blind['depth.absrel'] > 0.2
    # What nobody knows is not asked for.
    assert 'semantic:table' not in painter.asked and painter.asked.count('depth') == 1
    assert found['all']['of']['click.miou'] == 2 and found['all']['of']['people.painted'] == 1


def test_what_is_painted_where_nothing_is_known_costs_nothing(folder):
    def spill(truth):
        instances = truth.instances
        if truth.categories:
            instances = np.where(instances == 0, 2, instances)
            instances[:, 92:] = 1
        return replace(truth, instances=instances)

    found = evaluate(Painter(folder, spill), folder)['all']['model']
    assert found['people.iou'] == 1 and found['click.miou'] < 0.8


def test_people_painted_where_nobody_is_are_counted(folder):
    def haunt(truth):
        instances = np.zeros((HEIGHT, WIDTH), np.int32)
        instances[:16] = 1
        return replace(truth, instances=instances, categories={1: 'person'})

    found = evaluate(Painter(folder, haunt), folder)['all']['model']
    assert found['people.painted'] == 0.25 and found['people.iou'] < 0.2


def test_the_order_of_a_row_is_that_of_depths_apart():
    depth = np.tile(np.float32((1, 1.1, 2, 0)), (3, 8))
    assert row_order(1 / np.maximum(depth, 0.1), depth) == 1
    assert row_order(depth, depth) == 0
    assert row_order(np.ones_like(depth), depth) == 0.5
    assert np.isnan(row_order(depth, np.ones_like(depth)))


def test_a_quick_look_takes_pictures_evenly_of_every_source(folder):
    for number in range(7):
        (folder / f'rgb/c{number}.png').write_bytes((folder / 'rgb/a.png').read_bytes())
    dataset = open_dataset(folder)
    assert measured_names(dataset, None) == dataset.names
    assert measured_names(dataset, None, 3) == ['a.png', 'c1.png', 'c4.png']
    assert measured_names(dataset, None, 100) == dataset.names


def test_a_folder_of_which_nothing_is_known_is_refused_in_one_line(folder):
    (folder / 'labels.jsonl').unlink()
    (folder / 'dataset.json').unlink()
    for kind in ('depth', 'instances'):
        (folder / kind / 'a.png').unlink()
    with pytest.raises(ValueError, match='of the 2 pictures .* nothing is known'):
        evaluate(Painter(folder), folder)


@pytest.mark.skipif(not SHARED.is_dir(), reason='needs ../shared/real')
def test_photographs_that_are_measured_are_not_trained_on():
    from diception_ros.lab.datasets import Records
    dataset = open_dataset(SHARED)
    test = {name for name in dataset.names if dataset.split(name) == 'test'}
    trained = Records({'data': SHARED}, 'train', (32, 32))
    drawn = {dataset.source(trained.truth(n)[0]) + '/' + trained.truth(n)[0].split('/')[-1]
             for n in range(100)}
    assert not drawn & test and len(test) > 300
    assert {'osd_learn', 'coco_cc'}.isdisjoint(trained.sources)

# SPDX-License-Identifier: Apache-2.0
"""The order of a model's point slots is found by clicking both ways."""
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from diception_ros.model.point_order import compare_orders, labelled_pictures, telling_clicks


class Clicker:
    """Stands in for a pipeline that segments well what lies under its click, stored as `order`."""

    tasks = ['segmentation']

    def __init__(self, labels, order):
        self.labels, self.order, self.config = labels, order, {'point_order': 'yx', 'name': 'x'}

    def __call__(self, image, tasks, points):
        x, y = points[0] if self.config['point_order'] == self.order else points[0][::-1]
        height, width = self.labels.shape
        under = self.labels[min(int(y * height), height - 1), min(int(x * width), width - 1)]
        mask = (self.labels == under) & (under > 0)
        return SimpleNamespace(segmentation=mask.astype(np.float32))


@pytest.fixture
def labelled(tmp_path):
    """A directory of one labelled picture: two things off the diagonal, one upon it."""
    labels = np.zeros((60, 80), np.uint8)
    labels[5:15, 50:70], labels[40:55, 5:20], labels[25:35, 35:45] = 1, 2, 3
    for name, picture in (('images/a.jpg', np.zeros((60, 80, 3), np.uint8)),
                          ('masks/a.png', labels), ('images/unlabelled.jpg', labels)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), picture)
    return tmp_path, labels


@pytest.mark.parametrize('order', ['yx', 'xy'])
def test_the_order_in_which_the_masks_are_right_wins(labelled, order):
    folder, labels = labelled
    pipe = Clicker(labels, order)
    scores = compare_orders(pipe, labelled_pictures(folder))
    assert scores.better == order and scores.miou[order] == 1.0
    assert pipe.config['point_order'] == 'yx'


def test_things_on_the_diagonal_are_not_clicked(labelled):
    clicks = dict(telling_clicks(labelled[1]))
    assert set(clicks) == {1, 2}
    for label, (x, y) in clicks.items():
        assert labelled[1][int(y * 60), int(x * 80)] == label


def test_equal_scores_are_undecided(labelled):
    pipe = Clicker(np.ones((60, 80), np.uint8), 'yx')
    assert compare_orders(pipe, labelled_pictures(labelled[0])).better is None


def test_a_directory_without_labelled_pictures_is_told(tmp_path):
    with pytest.raises(ValueError, match='no images/NAME.jpg with a masks/NAME.png'):
        labelled_pictures(tmp_path)


def test_an_unreadable_mask_is_named(labelled):
    (labelled[0] / 'masks' / 'a.png').write_bytes(b'no picture')
    with pytest.raises(ValueError, match='a.png: cannot be read'):
        compare_orders(Clicker(labelled[1], 'yx'), labelled_pictures(labelled[0]))

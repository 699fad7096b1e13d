# SPDX-License-Identifier: Apache-2.0
import json

import cv2
import numpy as np
import pytest

from diception_ros.lab.datasets import cutouts
from diception_ros.lab.datasets.splits import split_of


def alpha_of(*boxes, shape=(100, 120)):
    alpha = np.zeros(shape, np.float32)
    for left, top, right, bottom in boxes:
        alpha[top:bottom, left:right] = 1
    return alpha


def test_one_thing_is_kept_and_pieces_holes_and_doubt_are_rejected():
    mask, _ = cutouts.single_thing(alpha_of((20, 20, 60, 60)))
    assert mask.sum() == 1600
    assert cutouts.single_thing(alpha_of((20, 20, 60, 60), (80, 20, 100, 60)))[1] == 'in pieces'
    ring = alpha_of((20, 20, 60, 60))
    ring[30:50, 30:50] = 0
    assert cutouts.single_thing(ring)[1] == 'full of holes'
    assert cutouts.single_thing(alpha_of((20, 20, 60, 60)) * .6)[1] == 'doubtful'
    assert cutouts.single_thing(alpha_of((20, 20, 23, 23)))[1] == 'too small or too large'


def test_a_thing_that_runs_out_of_the_photograph_says_where():
    assert cutouts.borders_of(alpha_of((20, 20, 60, 60)) > 0) == []
    assert cutouts.borders_of(alpha_of((0, 20, 60, 100)) > 0) == ['left', 'bottom']


def test_the_rim_of_a_cut_out_has_the_things_own_colour():
    alpha = cv2.GaussianBlur(alpha_of((30, 30, 90, 70)), (0, 0), 1.5)
    rgb = np.zeros((100, 120, 3), np.uint8)
    rgb[30:70, 30:90] = (200, 100, 50)
    rgba, (left, top, scale) = cutouts.cut_out(rgb, alpha, alpha > .5)
    visible = rgba[..., 3] > 60
    assert scale == 1 and rgba[top - top + 20, 0, 3] < 128
    assert np.abs(rgba[visible][:, :3].astype(int) - (200, 100, 50)).max() < 12
    assert (rgba[30 - top:70 - top, 30 - left:90 - left, 3] > 100).mean() > .95


def test_cut_outs_are_read_by_split_and_their_absence_says_how_they_are_made(tmp_path):
    with pytest.raises(FileNotFoundError, match='cutouts'):
        cutouts.Cutouts(tmp_path)
    (tmp_path / 'images').mkdir()
    rgba = np.full((8, 6, 4), 200, np.uint8)
    cv2.imwrite(str(tmp_path / 'images/a.webp'), rgba)
    lines = [{'key': 'b', 'rejected': 'doubtful', 'file': 'b.webp'},
             {'key': 'a/1.jpg', 'file': 'a.webp', 'kind': 'thing',
              'source': 'a', 'flat': False}]
    (tmp_path / 'index.jsonl').write_text('\n'.join(map(json.dumps, lines)) + '\n')
    bank = cutouts.Cutouts(tmp_path, split_of('a', '1'))
    assert [e['key'] for e in bank.things] == ['a/1.jpg'] and bank.people == []
    assert bank.image(bank.things[0]).shape == (8, 6, 4)
    assert bank.thing(.99) == bank.things[0] and bank.thing(.5, flat=True) is None
    with pytest.raises(ValueError, match='nobody'):
        cutouts.Cutouts(tmp_path, 'nobody')

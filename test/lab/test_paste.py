# SPDX-License-Identifier: Apache-2.0
import json

import cv2
import numpy as np
import pytest

from diception_ros.lab.datasets.cutouts import Cutouts
from diception_ros.lab.datasets.paste import paste
from diception_ros.lab.datasets.records import KNOWN, Records, record
from diception_ros.tasks import CATEGORIES, Person, Truth


@pytest.fixture
def bank(tmp_path):
    """A blue thing, and a red person whose nose and left shoulder are known."""
    folder = tmp_path / 'bank'
    (folder / 'images').mkdir(parents=True)
    keypoints = np.zeros((17, 3))
    keypoints[0], keypoints[5] = (15, 10, 2), (22, 30, 2)
    lines = [{'kind': 'thing', 'name': 'cup', 'metres': .1, 'flat': False},
             {'kind': 'person', 'name': 'person', 'metres': 1.7, 'flat': False,
              'keypoints': keypoints.tolist()}]
    for number, (line, colour) in enumerate(zip(lines, ((0, 0, 255), (255, 0, 0)), strict=True)):
        size = (40, 40) if number == 0 else (30, 90)
        rgba = np.zeros((size[1], size[0], 4), np.uint8)
        rgba[..., :3] = colour
        rgba[2:-2, 2:-2, 3] = 255
        line.update(key=f'a/{number}.jpg', file=f'{number}.webp', source='a', size=size, cut=[])
        cv2.imwrite(str(folder / 'images' / line['file']), rgba[..., [2, 1, 0, 3]])
    (folder / 'index.jsonl').write_text('\n'.join(map(json.dumps, lines)))
    return Cutouts(folder, split=None)


def photograph(**changes):
    given = dict(rgb=np.full((120, 160, 3), 128, np.uint8), depth=None, normals=None,
                 instances=np.zeros((120, 160), np.int32), categories={}, people=[],
                 known={'semantic:person': np.ones((120, 160), bool),
                        'pose': np.ones((120, 160), bool)})
    return Truth(**{**given, **changes})


def pastes(truth, bank, count=40):
    return [paste(truth, bank, np.random.default_rng(seed)) for seed in range(count)]


def test_the_mask_of_what_is_pasted_is_where_its_pixels_are(bank):
    for pasted in pastes(photograph(), bank):
        red = pasted.rgb[..., 0].astype(int) - pasted.rgb[..., 2]
        for label, category in pasted.categories.items():
            own = pasted.instances == label
            if category == 'person':
                assert (red[own] > 20).mean() > .9
            elif own.any():
                assert (red[own] < -20).mean() > .9
        # soft rims excepted, the photograph is grey where nothing was pasted
        inner = cv2.erode((pasted.instances == 0).astype(np.uint8), np.ones((7, 7))) > 0
        assert (np.abs(red[inner]) < 20).mean() > .97


def test_the_same_seed_pastes_the_same(bank):
    first, second = (paste(photograph(), bank, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first.rgb, second.rgb)
    assert np.array_equal(first.instances, second.instances)


def test_joints_of_a_pasted_person_lie_on_it_and_are_unknown_beyond(bank):
    people = 0
    for pasted in pastes(photograph(), bank):
        for person in pasted.people:
            own = pasted.instances == person.label
            for x, y, seen in person.keypoints:
                if seen == 2:
                    near = own[max(0, round(float(y)) - 2):round(float(y)) + 3,
                               max(0, round(float(x)) - 2):round(float(x)) + 3]
                    covered = pasted.instances[round(float(y)), round(float(x))] > person.label
                    assert near.any() or covered
            if own.sum() > 500:
                people += 1
                rows = np.flatnonzero(own.any(axis=1))
                if len(rows) > 60:      # its legs are there, and nobody knows their joints
                    assert not pasted.known['pose'][rows[-8]][own[rows[-8]]].any()
    assert people > 5


def test_what_the_photograph_was_known_to_hold_stays_known_around(bank):
    blob = np.zeros((120, 160), np.int32)
    blob[40:80, 50:90] = 1
    shown = Person(1, np.tile(np.float32((70, 60, 2)), (17, 1)), np.zeros((17, 3), np.float32))
    whole = photograph(instances=blob, categories={1: 'person'}, people=[shown])
    hidden = 0
    for pasted in pastes(whole, bank):
        covered = (pasted.instances != 1) & (blob == 1)
        assert np.array_equal(pasted.instances == 1, (blob == 1) & ~covered)
        assert not pasted.known['segmentation'][pasted.instances == 1].any()
        assert pasted.known['semantic:person'].all() and 'entities' not in pasted.known
        assert pasted.people[0].keypoints[0, 2] == (1 if covered[60, 70] else 2)
        hidden += covered[60, 70]
        clickable = record(pasted)['clickable']
        assert not clickable[1]
    assert hidden and shown.keypoints[0, 2] == 2, 'the photograph itself is left as it was'


def test_pasting_makes_depth_and_normals_unknown_where_it_covers_them(bank):
    flat = np.full((120, 160), 2, np.float32)
    normals = np.zeros((120, 160, 3), np.float32)
    normals[..., 2] = -1
    for pasted in pastes(photograph(depth=flat, normals=normals, known=None), bank, 10):
        covered = np.isin(pasted.instances, list(pasted.categories))
        assert np.array_equal(~pasted.known['depth'], covered)
        assert np.array_equal(pasted.depth == 0, covered)
        assert set(pasted.known) <= set(KNOWN)


def test_a_photograph_without_any_label_can_be_clicked_where_something_is_pasted(bank):
    bare = photograph(instances=None, people=None, known={})
    found = [record(pasted) for pasted in pastes(bare, bank)]
    assert sum(f['clickable'].sum() for f in found) > 40
    assert not any(f['known'][KNOWN.index('pose')] for f in found)


def test_what_may_be_a_bottle_is_no_bottle_and_not_known_to_be_none(bank):
    bank.people.clear()
    bank.things[0].update(name='glass')
    everywhere = np.ones((120, 160), bool)
    known = {f'semantic:{name}': everywhere for name in CATEGORIES}
    pasted = paste(photograph(known=known), bank, np.random.default_rng(0), 1)
    own = pasted.instances > 0
    assert own.any() and set(pasted.categories.values()) == {'thing'}
    assert np.array_equal(~pasted.known['semantic:bottle'], own)
    assert pasted.known['semantic:floor'].all()


def test_records_paste_into_every_picture_of_which_nothing_is_known(bank, tmp_path):
    root = tmp_path / 'bare'
    (root / 'rgb').mkdir(parents=True)
    cv2.imwrite(str(root / 'rgb/c.png'), np.full((120, 160, 3), 128, np.uint8))
    (root / 'dataset.json').write_text('{"splits": {"train": "all"}}')
    records = Records({'data': root, 'cutouts': bank.folder, 'pasted': 0.01}, 'train', (64, 48))
    asked = [records[number]['known'][KNOWN.index('segmentation')] for number in range(20)]
    assert np.mean(asked) > 0.8          # now and then nothing fits

# SPDX-License-Identifier: Apache-2.0
"""Photographs with teachers' labels, several sources in one folder, to ground truth.

A source is a folder with `rgb/` and any of
    depth/, masks/, K.json, categories.json     measured or drawn by people: `folder` reads them
    teacher.jsonl    a line per picture: boxes [COCO class, score, x0, y0, x1, y1], people [17 x
                     (x, y, score)]
    pascal.npz       PNG bytes by stem: Pascal VOC's 21 classes at half the size
Teachers are wrong in places, so a label counts where two of them agree, and is unknown where one
alone saw something:
    a person: a box with a score of .5 that is filled to a seventh and more by Pascal's class
    a joint: MoveNet's score is .3 and more and its person fits such a box
    chair, sofa, table, bottle, plant, tv: Pascal's class within a box of that class
Where no teacher saw any person, nobody is there. A table that nobody saw may still be one: what
Pascal calls a dining table is only some of them.
"""
from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from diception_ros.lab.datasets.dataset import Dataset
from diception_ros.lab.datasets.folder import OURS, Folder, read_rgb
from diception_ros.lab.datasets.splits import TENTH_IS_TEST, TEST_SOURCES, split_of
from diception_ros.tasks import Person, Truth

PERSON = 15                        # Pascal's class
CLASSES = {'chair': (9, 'chair'), 'sofa': (18, 'couch'), 'table': (11, 'dining table'),
           'bottle': (5, 'bottle'), 'plant': (16, 'potted plant'), 'tv': (20, 'tv')}
NEVER_ABSENT = ('table',)          # not seen does not mean not there
SURE_BOX = 0.5                     # YOLOX's score
FILLED = 1 / 7                     # of a person's box by Pascal's person: less is another's limb
HALF_FILLED = 0.4                  # of a box by its class: the rest of it is something else
SURE_JOINT = 0.3                   # MoveNet's score
LEAST_JOINTS = 5                   # sure ones, of a person whose joints count
LEAST_HEIGHT = 24                  # pixels of a person's box: joints of smaller ones are not known
MARGIN = 0.08                      # of a box's sides: boxes are cut a little short
UNSURE_REACH = 0.1                 # of a person's height: how far an unsure joint may be off

# What may be believed of people: 'teachers'; 'absent' (hands: who is seen is unknown, where
# nobody is seen nobody is); 'nobody' (known from where the pictures come from). Sources that
# are not named here have no labels of people.
PEOPLE = {'doors': 'teachers', 'cid22': 'teachers', 'clic2025': 'teachers', 'kodak': 'teachers',
          'intel_sample_videos': 'teachers', 'sam2_demo': 'teachers', 'skimage_pd': 'teachers',
          'wesaturate': 'teachers', 'lomiri': 'teachers', 'tidybot': 'nobody',
          'grocery': 'absent', 'trashnet': 'absent', 'bridge_octo': 'nobody',
          'tum_rgbd': 'nobody', 'posecnn_ycb': 'nobody', 'arc_bins': 'nobody',
          'pcl_tutorials': 'nobody', 'osd_learn': 'nobody', 'caltech101': 'nobody'}
# Classes of Caltech 101 whose pictures show statues, players, riders or hands as well.
MAYBE_SOMEBODY = frozenset((
    'accordion', 'airplanes', 'anchor', 'binocular', 'buddha', 'camera', 'cannon', 'cellphone',
    'electric_guitar', 'elephant', 'euphonium', 'ferry', 'grand_piano', 'headphone', 'helicopter',
    'inline_skate', 'kangaroo', 'llama', 'lobster', 'mandolin', 'metronome', 'saxophone',
    'schooner', 'ketch', 'soccer_ball', 'umbrella', 'wheelchair'))
# Shelves full of bottles that no teacher sees, garments on sofas that fill the picture: categories
# are not known there.
WITHOUT_CATEGORIES = ('clothing', 'grocery', 'trashnet', 'bridge_octo', 'lomiri', 'wesaturate')


def source_in(folder: Path):
    """The source in a folder with rgb/, or None if nothing says that it is one."""
    if (folder / 'teacher.jsonl').is_file() or (folder / 'classes.json').is_file():
        return TeacherLabels(folder)
    if (folder / 'masks').is_dir() or (folder / 'K.json').is_file():
        return Measured(folder)
    return None


class Measured(Folder):
    """A source with measured depth or drawn masks: the format's own, but for where things lie."""

    INSTANCES = 'masks'

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.measured = ('test',)
        if (folder / 'K.json').is_file():
            self._intrinsics = json.loads((folder / 'K.json').read_text())
        if (folder / 'categories.json').is_file():
            given = json.loads((folder / 'categories.json').read_text())
            names = given['categories']
            for stem, image in given['images'].items():
                self.lines.setdefault(stem, {})['instances'] = {
                    str(one['label']): names[str(one['category_id'])]
                    for one in image['instances']}
            self.complete = sorted({OURS.get(name, name) for name in names.values()})
        if PEOPLE.get(folder.name) == 'nobody':
            self.complete = [*self.complete, 'person']
            for name in self.names:
                self.lines.setdefault(Path(name).stem, {})['people'] = []
        if folder.name == 'osd_learn':
            self.complete = [*self.complete, 'table']
            for name in self.names:
                self.lines[Path(name).stem]['instances'] = {'1': 'table'}

    def split(self, name: str) -> str:
        return split_of(self.folder.name, name)


class TeacherLabels(Dataset):
    """A source with teacher.jsonl and pascal.npz, or with nothing but pictures."""

    def __init__(self, folder: Path, source: str | None = None):
        self.folder, self._source = Path(folder), source or Path(folder).name
        self.names = sorted(file.name for file in (self.folder / 'rgb').iterdir())
        self._lines, self._classes = {}, {}
        self._people = PEOPLE.get(self._source)
        looked_at = self._source in (*TEST_SOURCES, *TENTH_IS_TEST)
        self.measured = ('test',) if looked_at else ()
        classes = self.folder / 'classes.json'
        self._objects = json.loads(classes.read_text()) if classes.is_file() else {}
        if (self.folder / 'teacher.jsonl').is_file():
            with (self.folder / 'teacher.jsonl').open() as lines:
                self._lines = {row['file']: row for row in map(json.loads, lines)}
            with np.load(self.folder / 'pascal.npz') as maps:    # read whole: forks share files
                self._classes = {stem: maps[stem].tobytes() for stem in maps.files}

    def source(self, name: str) -> str:
        return self._source

    def split(self, name: str) -> str:
        return split_of(self._source, name)

    def shows_people(self, name: str) -> bool:
        return self._people == 'teachers' and any(
            row[0] == 'person' and row[1] >= SURE_BOX
            for row in self._lines.get(name, {}).get('boxes', []))

    def truth(self, name: str) -> Truth:
        """The picture at its own size, and what its teachers agree on."""
        rgb = read_rgb(self.folder / 'rgb' / name)
        line, shape = self._lines.get(name), rgb.shape[:2]
        if line is None:
            instances, people, known = None, None, {}
            if self._people == 'nobody' and self._objects.get(name) not in MAYBE_SOMEBODY:
                instances, people = np.zeros(shape, np.int32), []
                known['semantic:person'] = known['pose'] = np.ones(shape, bool)
            return Truth(rgb, None, None, instances, {}, people, known=known)
        classes = np.zeros(shape, np.uint8)
        if Path(name).stem in self._classes:
            png = np.frombuffer(self._classes[Path(name).stem], np.uint8)
            classes = cv2.resize(cv2.imdecode(png, cv2.IMREAD_UNCHANGED), shape[::-1],
                                 interpolation=cv2.INTER_NEAREST)
        instances, categories, known = np.zeros(shape, np.int32), {}, {}
        if self._source not in WITHOUT_CATEGORIES:
            _add_categories(line['boxes'], classes, instances, categories, known)
        people = None
        if self._people is not None:
            people = self._add_people(line, classes, instances, categories, known)
        return Truth(rgb, None, None, instances, categories, people, known=known)

    def _add_people(self, line, classes, instances, categories, known) -> list[Person]:
        everywhere = np.ones(classes.shape, bool)
        if self._people == 'nobody':
            known['semantic:person'] = known['pose'] = everywhere
            return []
        boxes = [row for row in line['boxes'] if row[0] == 'person']
        joints = [np.array(person, np.float32) for person in line.get('people', [])]
        painted = classes == PERSON
        if self._people == 'absent':
            unsure = painted.copy()
            for row in boxes:
                unsure[_inside(row[2:], classes.shape)] = True
            known['semantic:person'] = known['pose'] = ~unsure
            return []
        agreed, unsure = np.zeros(classes.shape, bool), painted.copy()
        sure_boxes, unsure_boxes = [], []
        for row in boxes:
            part = _inside(row[2:], classes.shape)
            if row[1] >= SURE_BOX and painted[part].size and painted[part].mean() >= FILLED:
                agreed[part] |= painted[part]
                sure_boxes.append(row[2:])
            else:
                unsure_boxes.append(row[2:])
                unsure[part] = True
        unsure &= ~agreed
        known['semantic:person'] = ~(unsure | _edges(painted))
        if agreed.any():
            label = 1 + max(categories, default=0)
            instances[agreed], categories[label] = label, 'person'
        people, doubtful = _posed(sure_boxes, joints, classes.shape)
        for box in unsure_boxes:
            doubtful[_inside(box, classes.shape)] = True
        known['pose'] = ~(doubtful | (painted & ~agreed))
        return people


def _add_categories(boxes, classes, instances, categories, known) -> None:
    unsure, seen = np.zeros(classes.shape, bool), []
    for name, (index, coco) in CLASSES.items():
        painted, agreed = classes == index, np.zeros(classes.shape, bool)
        for row in boxes:
            if row[0] == coco:
                part = _inside(row[2:], classes.shape)
                filled = painted[part].mean() if painted[part].size else 0
                if filled >= FILLED:
                    agreed[part] |= painted[part]
                if filled < HALF_FILLED:       # Pascal's class leaves out legs and backs
                    unsure[part] |= ~painted[part]
        unsure |= (painted & ~agreed) | _edges(painted)
        if agreed.any():
            label = 1 + max(categories, default=0)
            instances[agreed], categories[label] = label, name
            seen.append(name)
    for name in CLASSES:
        if name in seen or name not in NEVER_ABSENT:
            known[f'semantic:{name}'] = ~unsure


def _edges(mask: np.ndarray) -> np.ndarray:
    """The border of a mask that was made at half the size: on which side one is, nobody knows."""
    return cv2.morphologyEx(mask.view(np.uint8), cv2.MORPH_GRADIENT,
                            np.ones((3, 3), np.uint8)).view(bool)


def _posed(boxes, joints, shape) -> tuple[list[Person], np.ndarray]:
    """The people whose joints are known, and where joints are not known, bool (H, W)."""
    doubtful = np.zeros(shape, bool)
    people, left = [], list(range(len(joints)))
    for x0, y0, x1, y1 in boxes:
        fits = [(_fit(joints[number], (x0, y0, x1, y1)), number) for number in left]
        best, number = max(fits, default=(0.0, -1))
        if best < 0.8 or y1 - y0 < LEAST_HEIGHT:
            doubtful[_inside((x0, y0, x1, y1), shape)] = True
            continue
        left.remove(number)
        found = joints[number]
        inside = (found[:, :2] > -0.5).all(axis=1) & (found[:, 0] < shape[1] - 0.5) & (
            found[:, 1] < shape[0] - 0.5)
        sure = (found[:, 2] >= SURE_JOINT) & inside
        for x, y in found[~sure & inside, :2]:
            reach = UNSURE_REACH * max(y1 - y0, x1 - x0)
            doubtful[_inside((x - reach, y - reach, x + reach, y + reach), shape, 0)] = True
        keypoints = np.column_stack([found[:, :2], 2.0 * sure]).astype(np.float32)
        people.append(Person(0, keypoints, np.zeros((17, 3), np.float32)))
    for number in left:            # somebody whom no box holds
        spots = joints[number][joints[number][:, 2] >= SURE_JOINT, :2]
        if len(spots) >= LEAST_JOINTS:
            doubtful[_inside((*spots.min(axis=0), *spots.max(axis=0)), shape)] = True
    return people, doubtful


def _fit(joints: np.ndarray, box) -> float:
    """How well 17 joints fit a person's box, in [0, 1]: the share of the sure ones inside, less
    what of the box they leave empty; 0 where too few are sure."""
    sure = joints[joints[:, 2] >= SURE_JOINT, :2]
    if len(sure) < LEAST_JOINTS:
        return 0.0
    x0, y0, x1, y1 = box
    margin = MARGIN * np.array((x1 - x0, y1 - y0))
    inside = ((sure >= (x0, y0) - margin) & (sure <= (x1, y1) + margin)).all(axis=1).mean()
    spread = np.ptp(sure, axis=0).max() / max(x1 - x0, y1 - y0)
    return float(inside * (0.9 + 0.1 * min(spread, 1))) if spread > 0.3 else 0.0


def _inside(box, shape, margin: float = MARGIN) -> tuple[slice, slice]:
    """The rows and columns of a box x0, y0, x1, y1, a margin wider each way."""
    x0, y0, x1, y1 = box
    wide, high = margin * (x1 - x0), margin * (y1 - y0)
    return (slice(max(0, int(y0 - high)), max(0, min(shape[0], int(y1 + high) + 1))),
            slice(max(0, int(x0 - wide)), max(0, min(shape[1], int(x1 + wide) + 1))))

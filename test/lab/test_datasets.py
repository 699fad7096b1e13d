# SPDX-License-Identifier: Apache-2.0
import json
import sys

import cv2
import numpy as np
import pytest

from diception_ros.lab.datasets import KNOWN, Records, open_dataset, record
from diception_ros.lab.datasets.photographs import TeacherLabels
from diception_ros.lab.datasets.records import NOTHING, cropped, ignore_bit
from diception_ros.lab.datasets.splits import TEST_SOURCES, split_of
from diception_ros.tasks import CATEGORIES, Person, Truth

WIDTH, HEIGHT = 40, 30
EVERYONE = {'train': 'all'}


def write(file, image):
    file.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(file), image if image.ndim == 2 else image[..., ::-1])


def colourful(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


@pytest.fixture
def folder(tmp_path):
    """One picture of which everything is known, one of which nothing is."""
    root = tmp_path / 'mine'
    write(root / 'rgb/a.png', colourful())
    write(root / 'rgb/b.png', colourful(1))
    depth = np.full((HEIGHT, WIDTH), 1500, np.uint16)
    depth[:, :20] = 800
    depth[:5] = 0
    write(root / 'depth/a.png', depth)
    normals = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    normals[10:] = np.rint(127.5 * (np.array((0.6, 0, -0.8)) + 1))
    write(root / 'normals/a.png', normals)
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[8:28, 5:15], labels[8:28, 22:36], labels[:, 38:] = 1, 2, 255
    write(root / 'instances/a.png', labels)
    people = [[[5 + j, 20, 2] for j in range(17)]]
    (root / 'labels.jsonl').write_text(json.dumps({
        'file': 'a.png', 'instances': {'1': 'person'}, 'people': people, 'complete': ['person'],
        'unsure': [[0, 0, 3, 3]], 'K': [30, 30, 19.5, 14.5]}) + '\n')
    (root / 'dataset.json').write_text(json.dumps({'splits': EVERYONE}))
    return root


def test_a_folder_says_what_is_known_and_no_more(folder):
    dataset = open_dataset(folder)
    assert dataset.names == ['a.png', 'b.png'] and dataset.split('a.png') == 'train'
    truth = dataset.truth('a.png')
    assert np.array_equal(truth.rgb, colourful())
    assert truth.depth[10, 5] == np.float32(0.8) and not truth.where_known('depth')[:5].any()
    assert np.allclose(truth.normals[20, 20], (0.6, 0, -0.8), atol=0.01)
    assert not truth.where_known('normals')[:10].any() and not truth.normals[:10].any()
    assert truth.categories == {1: 'person', 2: 'thing'} and truth.intrinsics[0, 2] == 19.5
    assert truth.where_known('segmentation')[:, :38].all()
    assert not truth.where_known('segmentation')[:, 38:].any()
    person = truth.where_known('semantic:person')
    assert person[10, 20] and not person[2, 2] and not person[10, 39]
    assert truth.where_known('semantic:table') is None
    assert len(truth.people) == 1 and not truth.where_known('pose')[2, 2]
    assert not record(dataset.truth('b.png'))['known'].any()


def test_a_record_ignores_what_its_known_tasks_do_not_know(folder):
    found = record(open_dataset(folder).truth('a.png'))
    assert {k for k, yes in zip(KNOWN, found['known']) if yes} == {
        'depth', 'normals', 'entities', 'segmentation', 'pose', 'semantic:person'}
    ignored = found['ignore'][0]
    of_depth = ignored & ignore_bit('depth')
    assert of_depth[:5].all() and not of_depth[5:].any()
    assert ignored[2, 2] & ignore_bit('semantic:person') and ignored[2, 2] & ignore_bit('pose')
    assert ignored[20, 17] & ignore_bit('entities')      # between the instances
    assert found['categories'][1] == CATEGORIES.index('person')
    assert found['categories'][2] == NOTHING and list(found['clickable'][:4]) == [0, 1, 1, 0]
    assert found['pose'].any() and found['entities'].any()


def test_a_crop_moves_all_that_is_known_together():
    labels = np.zeros((HEIGHT, WIDTH), np.int32)
    labels[10:20, 8:16] = 1
    keypoints = np.zeros((17, 3), np.float32)
    keypoints[5], keypoints[6] = (8, 12, 2), (30, 12, 2)     # left and right shoulder
    normals = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    normals[..., 0], normals[..., 2] = 0.6, -0.8
    intrinsics = np.array(((30, 0, 19.5), (0, 30, 14.5), (0, 0, 1.0)))
    truth = Truth(colourful(), labels.astype(np.float32), normals, labels, {1: 'table'},
                  [Person(1, keypoints, keypoints)], intrinsics)
    found = cropped(truth, (4, 5, 20, 20), (40, 40), flip=True)
    expected = np.zeros((40, 40), np.int32)
    expected[10:30, 16:32] = 1       # columns 4 to 11 of the crop, twice as large, mirrored
    assert np.array_equal(found.instances, expected) and np.array_equal(found.depth, expected)
    assert np.allclose(found.normals[0, 0], (-0.6, 0, -0.8))
    spots = found.people[0].keypoints
    assert np.allclose(spots[6], (39 - 8.5, 14.5, 2))        # the left one is the right one now
    assert spots[5, 2] == 0                                  # out of the crop
    assert np.allclose(found.intrinsics[:2], ((60, 0, 39 - 31.5), (0, 60, 19.5)))
    assert keypoints[5, 0] == 8 and truth.rgb.shape == (HEIGHT, WIDTH, 3)


def test_records_are_the_same_for_the_same_number_and_show_the_picture_at_twice_the_size(folder):
    config = {'data': folder, 'rgb_scale': 2, 'people': 1.0}
    records, again = (Records(config, 'train', (32, 24), seed=3) for _ in range(2))
    again[7]
    one, two, other = records[5], again[5], records[6]
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert not np.array_equal(one['rgb'], other['rgb'])
    assert one['rgb'].shape == (3, 48, 64) and one['depth'].shape == (1, 24, 32)
    assert all(field.dtype == np.uint8 for field in one.values())
    assert {records.truth(n)[0] for n in range(20)} == {'a.png'}
    with pytest.raises(ValueError, match="no picture of split 'test'"):
        Records(config, 'test', (32, 24))
    with pytest.raises(ValueError, match="sources: 'yours' has no picture"):
        Records({**config, 'sources': {'yours': 1}}, 'train', (32, 24))


def test_pictures_without_any_label_are_drawn_where_they_are_asked_for_alone(folder):
    write(folder.parent / 'bare/rgb/c.png', colourful(2))
    (folder.parent / 'bare/dataset.json').write_text(json.dumps({'splits': EVERYONE}))
    both = {'data': folder.parent}
    assert Records(both, 'train', (8, 8)).sources == ['mine']
    asked = Records({**both, 'sources': {'bare': 1}}, 'train', (8, 8))
    assert asked.sources == ['bare'] and not asked[0]['known'].any()


@pytest.mark.parametrize('spoil, said', [
    (lambda root: (root / 'labels.jsonl').write_text('{}'), 'labels.jsonl, line 1'),
    (lambda root: (root / 'dataset.json').write_text('['), 'dataset.json: not JSON'),
    (lambda root: (root / 'depth/a.png').write_bytes(b''), 'depth/a.png'),
    (lambda root: write(root / 'depth/a.png', np.zeros((HEIGHT, WIDTH), np.uint8)), 'uint16'),
    (lambda root: write(root / 'instances/a.png', np.zeros((3, 3), np.uint8)), 'size of its rgb'),
    (lambda root: (root / 'rgb/a.png').write_bytes(b'no'), 'rgb/a.png'),
    (lambda root: [file.unlink() for file in (root / 'rgb').iterdir()], 'rgb: no .jpg')])
def test_what_cannot_be_read_is_named_in_one_line(folder, spoil, said):
    spoil(folder)
    with pytest.raises(ValueError, match=said) as caught:
        open_dataset(folder).truth('a.png')
    assert '\n' not in str(caught.value)


def teachers(root, boxes, people=(), painted=(), value=15):
    """A source called doors of one picture, 96 x 64, with what its teachers say."""
    write(root / 'rgb/a.jpg', np.full((64, 96, 3), 90, np.uint8))
    row = {'file': 'a.jpg', 'size': [96, 64], 'boxes': boxes}
    (root / 'teacher.jsonl').write_text(json.dumps(row | ({'people': people} if people else {})))
    classes = np.zeros((32, 48), np.uint8)
    for x0, y0, x1, y1 in painted:
        classes[y0 // 2:y1 // 2, x0 // 2:x1 // 2] = value
    np.savez(root / 'pascal.npz', a=cv2.imencode('.png', classes)[1].ravel())
    return TeacherLabels(root)


def person_at(x, y, score=0.9):
    """17 joints down a line of 40 pixels."""
    return [[x, y + 2.5 * j, score] for j in range(17)]


def test_somebody_is_there_where_two_teachers_agree(tmp_path):
    box = ['person', 0.9, 20, 4, 44, 60]
    dataset = teachers(tmp_path / 'doors', [box], [person_at(32, 10)], [(24, 8, 40, 56)])
    truth = dataset.truth('a.jpg')
    assert truth.categories == {1: 'person'} and truth.instances[30, 30] == 1
    known = truth.where_known('semantic:person')
    assert known[30, 30] and known[30, 80] and not known[30, 24]     # the edge of half a size
    assert len(truth.people) == 1 and (truth.people[0].keypoints[:, 2] == 2).all()
    assert truth.where_known('entities') is None and truth.where_known('segmentation') is None
    assert dataset.shows_people('a.jpg')


@pytest.mark.parametrize('boxes, people, painted', [
    ([['person', 0.9, 20, 4, 44, 60]], [person_at(32, 10)], []),
    ([], [], [(24, 8, 40, 56)]),
    ([['person', 0.42, 20, 4, 44, 60]], [], [(24, 8, 40, 56)])])
def test_where_one_teacher_alone_saw_somebody_nothing_is_known(tmp_path, boxes, people, painted):
    truth = teachers(tmp_path / 'doors', boxes, people, painted).truth('a.jpg')
    assert 'person' not in truth.categories.values() and truth.people == []
    for task in ('semantic:person', 'pose'):
        assert not truth.where_known(task)[30, 32] and truth.where_known(task)[30, 80]


def test_where_no_teacher_saw_anybody_nobody_is(tmp_path):
    found = record(teachers(tmp_path / 'doors', []).truth('a.jpg'))
    assert found['known'][KNOWN.index('pose')] and found['known'][KNOWN.index('semantic:person')]
    assert not found['ignore'].any() and not found['pose'].any() and not found['instances'].any()
    # Garments look like people to the teachers: of such a source nothing is believed.
    assert not record(teachers(tmp_path / 'clothing', []).truth('a.jpg'))['known'].any()


def test_joints_that_are_not_sure_are_not_known(tmp_path):
    joints = person_at(32, 10)
    joints[16][2] = 0.1
    truth = teachers(tmp_path / 'doors', [['person', 0.9, 20, 4, 44, 60]], [joints],
                     [(24, 8, 40, 56)]).truth('a.jpg')
    assert truth.people[0].keypoints[16, 2] == 0 and truth.people[0].keypoints[15, 2] == 2
    assert not truth.where_known('pose')[50, 32] and truth.where_known('pose')[20, 32]


def test_a_category_is_known_where_its_box_and_its_pixels_agree(tmp_path):
    truth = teachers(tmp_path / 'doors', [['couch', 0.8, 20, 4, 44, 60]], [], [(20, 4, 44, 60)],
                     value=18).truth('a.jpg')
    assert truth.categories == {1: 'sofa'} and truth.where_known('semantic:sofa')[30, 32]
    assert truth.where_known('semantic:chair')[30, 80]          # none there
    assert truth.where_known('semantic:table') is None          # perhaps nobody looked


def test_a_picture_is_of_one_split_and_a_video_as_a_whole():
    assert {split_of(source, 'any.jpg') for source in TEST_SOURCES} == {'test'}
    splits = [split_of('doors', f'{number:05d}.jpg') for number in range(2000)]
    assert 160 < splits.count('test') < 240 and 60 < splits.count('validation') < 140
    assert len({split_of('intel_sample_videos', f'aisle_{n:03d}.jpg') for n in range(50)}) == 1


def coco_file(root, annotations, keypoints=False):
    write(root / 'val2017/a.png', colourful())
    file = root / 'annotations/instances_val2017.json'
    file.parent.mkdir()
    given = {'images': [{'id': 4, 'file_name': 'a.png', 'width': WIDTH, 'height': HEIGHT}],
             'categories': [{'id': 1, 'name': 'person'}, {'id': 63, 'name': 'couch'}],
             'annotations': [{'id': n, 'image_id': 4, 'iscrowd': 0, **one}
                             for n, one in enumerate(annotations)]}
    file.write_text(json.dumps(given))
    if keypoints:
        file.with_name('person_keypoints_val2017.json').write_text(json.dumps(given | {
            'annotations': [{'id': n, 'keypoints': [10, 10, 2] * 5 + [0] * 36}
                            for n, one in enumerate(annotations) if one['category_id'] == 1]}))
    return file


SQUARE = [[4, 4, 14, 4, 14, 14, 4, 14]]                    # 10 x 10 pixels
RUNS = {'size': [HEIGHT, WIDTH], 'counts': [20 * HEIGHT, 5 * HEIGHT, 15 * HEIGHT]}


def test_annotations_of_coco_are_read_with_crowds_unknown(tmp_path):
    dataset = open_dataset(coco_file(tmp_path, [
        {'category_id': 1, 'segmentation': SQUARE, 'area': 100},
        {'category_id': 63, 'segmentation': RUNS, 'area': 150},
        {'category_id': 1, 'segmentation': [[30, 0, 40, 0, 40, 30, 30, 30]], 'iscrowd': 1}], True))
    truth = dataset.truth('a.png')
    sofa, person = (next(k for k, v in truth.categories.items() if v == name)
                    for name in ('sofa', 'person'))
    assert (truth.instances == sofa).sum() == 5 * HEIGHT and truth.instances[0, 22] == sofa
    assert (truth.instances == person).sum() in range(90, 122)
    assert not truth.where_known('segmentation')[:, 31:39].any()
    assert truth.where_known('semantic:person')[:, :28].all()
    assert len(truth.people) == 1 and (truth.people[0].keypoints[:5, 2] == 2).all()
    assert dataset.shows_people('a.png') and not truth.where_known('pose')[10, 35]


def test_masks_of_a_picture_of_another_size_are_refused(tmp_path):
    wrong = {'size': [5, 5], 'counts': [0, 25]}
    dataset = open_dataset(coco_file(tmp_path, [{'category_id': 1, 'segmentation': wrong}]))
    with pytest.raises(ValueError, match='annotation 0 is of a picture of 5x5'):
        dataset.truth('a.png')
    (tmp_path / 'no.json').write_text('{"images": []}')
    with pytest.raises(ValueError, match='no.json: not an annotation file of COCO'):
        open_dataset(tmp_path / 'no.json')


def test_compressed_masks_of_coco_are_read_by_its_own_tools_or_refused(tmp_path, monkeypatch):
    packed = {'size': [HEIGHT, WIDTH], 'counts': 'PUh0'}
    dataset = open_dataset(coco_file(tmp_path, [{'category_id': 1, 'segmentation': packed}]))
    monkeypatch.setitem(sys.modules, 'pycocotools', None)
    with pytest.raises(ValueError, match='need pycocotools: pip install pycocotools'):
        dataset.truth('a.png')
    monkeypatch.undo()
    coco = pytest.importorskip('pycocotools.mask')
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[3:20, 10:30] = 1
    packed['counts'] = coco.encode(np.asfortranarray(mask))['counts'].decode()
    found = open_dataset(coco_file(tmp_path / 'b', [{'category_id': 1, 'segmentation': packed}]))
    assert np.array_equal(found.truth('a.png').instances, mask)


def sequence(root, late=0.01):
    write(root / 'rgb/1.png', colourful())
    write(root / 'depth/1.png', np.full((HEIGHT, WIDTH), 7500, np.uint16))
    (root / 'rgb.txt').write_text('# color images\n100.0 rgb/1.png\n')
    (root / 'depth.txt').write_text(f'# depth\n{100 + late} depth/1.png\n90.0 depth/0.png\n')
    return root


def test_a_sequence_of_tum_is_read_with_the_depth_that_belongs_to_a_picture(tmp_path):
    root = sequence(tmp_path / 'rgbd_dataset_freiburg1_desk')
    truth = open_dataset(root).truth('rgb/1.png')
    assert (truth.depth == 1.5).all() and truth.intrinsics[0, 0] == 517.3
    assert list(truth.known) == ['depth'] and truth.where_known('semantic:person') is None
    both = open_dataset(tmp_path)                          # a folder of sequences
    assert both.names == ['rgbd_dataset_freiburg1_desk/rgb/1.png']
    assert both.is_measured(both.names[0])
    with pytest.raises(ValueError, match='within 20 ms'):
        open_dataset(sequence(tmp_path / 'late', 0.5))

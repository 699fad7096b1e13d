# SPDX-License-Identifier: Apache-2.0
"""`diception run` writes pictures for eyes and arrays for programs, without ROS."""

import cv2
import numpy as np
import pytest

from diception_ros import cli


def status_of(*arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    return ended.value.code


@pytest.fixture
def photo(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'photo.png'), rgb)
    return tmp_path / 'photo.png'


def test_a_picture_gives_a_folder_with_every_result_in_its_own_size(photo, tiny_model, tmp_path):
    out = tmp_path / 'out'
    assert status_of('run', photo, '--out', out, '--model', tiny_model, '--points', '0.5,0.5') == 0
    names = {file.name for file in (out / 'photo').iterdir()}
    assert names == {'arrays.npz', 'overlay.jpg', 'depth.png', 'depth_raw.png', 'normals.png',
                     'entities.png', 'entities_raw.png', 'segmentation.png', 'semantic.png',
                     'poses.png'}
    for name in names - {'arrays.npz'}:
        picture = cv2.imread(str(out / 'photo' / name), cv2.IMREAD_UNCHANGED)
        assert picture.shape[:2] == (40, 60), name
        assert (picture.dtype == np.uint16) == name.endswith('_raw.png'), name
    arrays = np.load(out / 'photo' / 'arrays.npz')
    assert arrays['depth'].shape == (40, 60) and arrays['normals'].shape == (40, 60, 3)
    assert arrays['semantic:person'].dtype == bool and arrays['poses'].shape[1:] == (17, 3)
    raw = cv2.imread(str(out / 'photo' / 'depth_raw.png'), cv2.IMREAD_UNCHANGED)
    np.testing.assert_allclose(raw / 65535, arrays['depth'], atol=1e-4)


def test_only_the_tasks_asked_for_are_done_and_names_do_not_collide(photo, tiny_model, tmp_path):
    (tmp_path / 'other').mkdir()
    (tmp_path / 'other' / 'photo.jpg').write_bytes(photo.read_bytes())
    out = tmp_path / 'out'
    assert status_of('run', photo, tmp_path / 'other' / 'photo.jpg', '--out', out, '--tasks',
                     'depth', '--model', tiny_model) == 0
    for folder in ('photo', 'photo_2'):
        assert {file.name for file in (out / folder).iterdir()} == {
            'arrays.npz', 'overlay.jpg', 'depth.png', 'depth_raw.png'}


@pytest.mark.parametrize('tasks, said', [
    ('depth,dreams', 'dreams'), ('segmentation', '--points'), ('', 'none given')])
def test_tasks_that_cannot_be_done_are_named(photo, tiny_model, tmp_path, capsys, tasks, said):
    assert status_of('run', photo, '--tasks', tasks, '--model', tiny_model) == 1
    err = capsys.readouterr().err
    assert said in err and err.count('\n') == 1

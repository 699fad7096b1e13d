# SPDX-License-Identifier: Apache-2.0
"""`diception run` writes pictures for eyes and arrays for programs, without ROS."""

import cv2
import numpy as np
import pytest

from diception_ros import cli
from diception_ros.cli import run
from diception_ros.output_folder import MARKER


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
    names = {file.name for file in (out / 'photo').iterdir()} - {MARKER}
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
            'arrays.npz', 'overlay.jpg', 'depth.png', 'depth_raw.png', MARKER}


@pytest.mark.parametrize('tasks, said', [
    ('depth,dreams', 'dreams'), ('segmentation', '--points'), ('', 'none given')])
def test_tasks_that_cannot_be_done_are_named(photo, tiny_model, tmp_path, capsys, tasks, said):
    assert status_of('run', photo, '--tasks', tasks, '--model', tiny_model) == 1
    err = capsys.readouterr().err
    assert said in err and err.count('\n') == 1


def everything(folder):
    """Every file of a folder, and its bytes."""
    return {str(file.relative_to(folder)): file.read_bytes()
            for file in sorted(folder.rglob('*')) if file.is_file()}


@pytest.fixture
def home(tmp_path, photo, monkeypatch):
    """A stranger's folder, with pictures and other files under the very names of results."""
    home = tmp_path / 'home'
    for name in ('scene1.jpg', 'scene1/depth.png', 'depth/depth.png', 'overlay.jpg', 'bare'):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(photo.read_bytes())
    monkeypatch.chdir(home)
    return home


@pytest.mark.parametrize('arguments, said', [
    (('scene1.jpg', '--out', '.'), '--out scene1: holds files that diception did not make'),
    (('depth/depth.png', 'overlay.jpg', '--out', '.'), '--out depth: the input depth/depth.png'),
    (('scene1/depth.png', '--out', 'scene1/..'), 'holds files that diception did not make'),
    (('bare', '--out', '.'), '--out bare: the input bare lies in it'),
    (('overlay.jpg', '--out', 'bare'), 'bare is a file'),
    (('overlay.jpg', 'none.jpg'), 'none.jpg: no such picture'),
    (('overlay.jpg', 'scene1'), 'scene1: not a picture'),
])
@pytest.mark.parametrize('overwrite', [(), ('--overwrite',)])
def test_what_is_the_users_is_refused_before_the_work_and_stays(
        home, tiny_model, capsys, arguments, said, overwrite):
    before = everything(home)
    assert status_of('run', *arguments, '--model', tiny_model, '--tasks', 'depth', *overwrite) == 1
    err = capsys.readouterr().err
    assert said in err and err.count('\n') == 1, err
    assert everything(home) == before


def test_results_are_replaced_when_told_so_and_nothing_else(home, tiny_model, capsys):
    call = ('run', 'overlay.jpg', '--out', '.', '--model', tiny_model, '--tasks', 'depth')
    before = everything(home)
    assert status_of(*call) == 0
    (home / 'overlay/notes').write_text('mine')
    after = everything(home)
    assert status_of(*call) == 1
    err = capsys.readouterr().err
    assert '--out overlay: holds results' in err and '--overwrite' in err and err.count('\n') == 1
    assert everything(home) == after
    assert status_of(*call[:-1], 'normals', '--overwrite') == 0
    assert {name for name in everything(home) if name.startswith('overlay/')} == {
        f'overlay/{name}' for name in ('normals.png', 'overlay.jpg', 'arrays.npz', 'notes', MARKER)}
    assert before.items() <= everything(home).items()


def test_pictures_are_read_one_at_a_time_and_results_appear_as_they_come(
        home, tiny_model, monkeypatch):
    """The second picture is read when the first one's results are there."""
    seen, read = [], run._read

    def note(path, bits):
        seen.append((path.name, (home / 'out/overlay/arrays.npz').exists()))
        return read(path, bits)

    monkeypatch.setattr(run, '_read', note)
    assert status_of('run', 'overlay.jpg', 'scene1.jpg', '--out', 'out', '--model', tiny_model,
                     '--tasks', 'depth') == 0
    assert seen == [('overlay.jpg', False), ('scene1.jpg', True)]


def test_a_damaged_picture_is_told_and_the_others_are_done(home, tiny_model, capsys):
    (home / 'half.png').write_bytes((home / 'bare').read_bytes()[:60])
    assert status_of('run', 'half.png', 'overlay.jpg', '--out', 'out', '--model', tiny_model,
                     '--tasks', 'depth') == 1
    assert '1 of 2 pictures could not be read: half.png' in capsys.readouterr().err
    assert [folder.name for folder in (home / 'out').iterdir()] == ['overlay']


@pytest.mark.parametrize('bits', [10, 12, 16])
def test_a_16_bit_picture_is_read_as_its_8_bit_twin_and_what_was_measured_is_said(
        bits, tmp_path, capsys):
    bgr = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    bgr[0, 0] = 255
    file = tmp_path / 'deep.png'
    cv2.imwrite(str(file), np.rint(bgr * ((2**bits - 1) / 255)).astype(np.uint16))
    np.testing.assert_allclose(run._read(file), bgr[..., ::-1], atol=1)
    assert f'{file}: 16-bit values up to {2**bits - 1}: {bits} bits' in capsys.readouterr().err
    dark = run._read(file, '16')
    assert dark.max() == round((2**bits - 1) / 257) and capsys.readouterr().err == ''


def test_a_depth_file_is_no_picture_and_nothing_is_written(photo, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / 'metres.tiff'), np.ones((4, 4), np.float32))
    assert status_of('run', photo, tmp_path / 'metres.tiff', '--out', tmp_path / 'out') == 1
    err = capsys.readouterr().err
    assert 'metres.tiff: floating-point' in err and err.count('\n') == 1
    assert not (tmp_path / 'out').exists()


def test_bits_that_cannot_be_are_refused(photo, capsys):
    assert status_of('run', photo, '--image-bits', '17') == 2
    assert '--image-bits 17' in capsys.readouterr().err

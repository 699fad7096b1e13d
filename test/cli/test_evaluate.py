# SPDX-License-Identifier: Apache-2.0
"""`diception evaluate` measures on synthetic scenes, and on what a folder says of its pictures."""
import json

import cv2
import numpy as np
import pytest

from diception_ros import cli


def status_of(*arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    return ended.value.code


@pytest.fixture
def folder(tmp_path):
    """Two pictures: depth of one, the other without anybody."""
    rng = np.random.default_rng(0)
    for kind in ('rgb', 'depth'):
        (tmp_path / 'mine' / kind).mkdir(parents=True)
    for name in 'ab':
        cv2.imwrite(str(tmp_path / f'mine/rgb/{name}.jpg'),
                    rng.integers(0, 256, (40, 60, 3), np.uint8))
    cv2.imwrite(str(tmp_path / 'mine/depth/a.png'), rng.integers(500, 3000, (40, 60), np.uint16))
    (tmp_path / 'mine/labels.jsonl').write_text(
        '{"file": "b.jpg", "people": [], "complete": ["person"]}\n')
    return tmp_path / 'mine'


def test_a_folder_of_pictures_is_measured_where_it_is_labelled(folder, tiny_model, capsys):
    sheet = folder.parent / 'sheet.png'
    assert status_of('evaluate', tiny_model, folder, '--json', '--sheet', sheet) == 0
    found = json.loads(capsys.readouterr().out)
    assert found['all']['pictures'] == 2 and found['mine'] == found['all']
    assert {'depth.absrel', 'depth.order', 'people.painted'} <= set(found['all']['model'])
    assert 'click.miou' not in found['all']['model'] and found['all']['of']['depth.absrel'] == 1
    assert cv2.imread(str(sheet)) is not None
    assert status_of('evaluate', tiny_model, folder) == 0
    assert 'AbsRel' in capsys.readouterr().out


def test_synthetic_scenes_are_measured_without_a_folder(tiny_model, capsys):
    assert status_of('evaluate', tiny_model, '--scenes', '1', '--json') == 0
    assert 'depth.absrel' in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize('more, said', [
    (('missing',), 'missing: no such folder'),
    (('mine', '--scenes', '3'), '--worlds, --scenes'),
    (('--pictures', '3'), '--pictures: is of DATA'),
    (('mine', '--split', 'all'), '--split all'),
    (('empty',), 'no data set'),
    (('unlabelled',), 'nothing is known')])
def test_what_cannot_be_measured_is_said_in_one_line(folder, tiny_model, capsys, monkeypatch,
                                                     more, said):
    monkeypatch.chdir(folder.parent)
    (folder.parent / 'empty').mkdir()
    (folder.parent / 'unlabelled').mkdir()
    (folder / 'rgb').rename(folder.parent / 'unlabelled/rgb') if more[0] == 'unlabelled' else None
    assert status_of('evaluate', tiny_model, *more) == 1
    err = capsys.readouterr().err
    assert said in err and err.count('\n') == 1

# SPDX-License-Identifier: Apache-2.0
"""A stranger calls the verbs, rightly and wrongly, in a folder with files of their own: every file
is there afterwards, byte for byte."""

import shutil

import pytest

from diception_ros import cli
from diception_ros.output_folder import MARKER, mark


def status_of(*arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    return ended.value.code


def everything(folder):
    """Every file of a folder, and its bytes."""
    return {str(file.relative_to(folder)): file.read_bytes()
            for file in sorted(folder.rglob('*')) if file.is_file()}


@pytest.fixture
def home(small_bag, tmp_path, monkeypatch):
    """A folder with a bag, files under the names of our results, and a demo of ours."""
    home = tmp_path / 'home'
    shutil.copytree(small_bag, home / 'camera')
    for name in ('outputs/notes.txt', 'pictures/holiday.jpg', 'index.html', 'model/notes.txt',
                 'run/checkpoint.pt', 'store/rgb.npy', 'sheet.png', 'config.yaml'):
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text('mine')
    for folder in ('demo', 'golden'):
        shutil.copytree(small_bag, home / folder / 'camera')
        (home / folder / 'index.html').write_text('a page')
        mark(home / folder, f'diception {"demo" if folder == "demo" else "replay"}')
        (home / folder / 'notes.txt').write_text('mine')
    (home / 'elsewhere').symlink_to(home / 'camera')
    monkeypatch.chdir(home)
    return home


@pytest.mark.parametrize('call, status, said', [
    # demo
    ('demo --bag camera --image-topic /camera/image_raw --out .', 1, '--out .: the input camera'),
    ('demo --out .', 1, '--out .: holds files that diception did not make'),
    ('demo --bag demo/camera --image-topic /camera/image_raw', 1, 'the input demo/camera lies in'),
    ('demo --bag camera --image-topic /camera/image_raw --out elsewhere', 1, 'lies in it'),
    ('demo --bag camera --image-topic /camera/image_raw --out pictures', 1, 'did not make'),
    ('demo --image-topic /x', 2, 'need --bag'),
    ('demo --bag camera --image-topic /wrong', 1, 'no topic /wrong'),
    ('demo --bag none', 1, 'none: no such bag'),
    ('demo --out golden', 1, 'holds results of `diception replay` already; add --overwrite'),
    ('demo --out index.html', 1, 'is a file'),
    # replay
    ('replay camera --image-topic /camera/image_raw --out camera', 1, 'the input camera lies in'),
    ('replay camera --image-topic /camera/image_raw --out elsewhere', 1, 'lies in it'),
    ('replay elsewhere --image-topic /camera/image_raw --out ./camera', 1, 'lies in it'),
    ('replay camera --image-topic /camera/image_raw --out .', 1, 'lies in it'),
    ('replay camera --image-topic /camera/image_raw --out outputs', 1, 'did not make'),
    ('replay camera --image-topic /camera/image_raw --out golden', 1, 'add --overwrite'),
    ('replay camera --image-topic /camera/image_raw --out golden --overwrite --compare '
     'golden/camera', 1, 'the input golden/camera lies in it'),
    ('replay camera --image-topic /wrong --out new', 1, 'no topic /wrong'),
    ('replay none --out new', 1, 'none: no such bag'),
    # convert
    ('convert --sd3 model --diception index.html --out model', 1, 'the input model lies in it'),
    ('convert --sd3 pictures --diception index.html --out model', 1, 'did not make'),
    ('convert --sd3 pictures --diception index.html --out golden', 1, 'add --overwrite'),
    # train
    ('train --out run', 1, '--out run: holds files that diception did not make (checkpoint.pt)'),
    ('train --out .', 1, 'did not make'),
    ('train --out demo', 1, 'holds results of `diception demo`'),
    ('train --out new --config config.yaml', 1, '--config config.yaml'),
    ('train --out new --store store --render 1', 1, '--store store: holds files that diception'),
    ('train --out new --store golden --render 1', 1, '--store golden: holds results'),
    ('train --out run --export', 1, 'did not make'),
    # evaluate
    ('evaluate --sheet sheet.png --scenes 1', 1, '--sheet sheet.png: exists already'),
    ('evaluate --sheet index.html/sheet.png --scenes 1', 1, '--sheet index.html/sheet.png'),
])
def test_a_wrong_call_is_one_line_and_every_file_stays(home, capsys, call, status, said):
    before = everything(home)
    assert status_of(*call.split()) == status
    err = capsys.readouterr().err
    assert said in err and err.startswith('diception: ') and err.count('\n') == 1, err
    assert everything(home) == before
    assert not list(home.glob('.diception*'))


def test_a_demo_of_ours_is_known_by_its_marker_alone(home, capsys):
    """Without the marker the very same folder is somebody else's."""
    (home / 'demo' / MARKER).unlink()
    before = everything(home)
    assert status_of('demo', '--overwrite') == 1
    assert 'holds files that diception did not make' in capsys.readouterr().err
    assert everything(home) == before

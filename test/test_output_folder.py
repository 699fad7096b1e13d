# SPDX-License-Identifier: Apache-2.0
"""Whatever a verb writes, nothing that it did not make is replaced or lost."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from diception_ros.output_folder import (
    MARKER,
    OutputError,
    OutputFolder,
    RunFolder,
    mark,
    output_file,
)


def everything(folder):
    """Every file of a folder, and its bytes."""
    return {str(file.relative_to(folder)): file.read_bytes()
            for file in sorted(folder.rglob('*')) if file.is_file()}


def write(folder, files, made_by='diception demo', **options):
    with OutputFolder(folder, made_by, **options) as beside:
        for name, text in files.items():
            (beside / name).parent.mkdir(parents=True, exist_ok=True)
            (beside / name).write_text(text)


def refused(folder, *words, **options):
    """Refused before the work, in one line with these words, and nothing has changed."""
    home = folder if folder.is_dir() else folder.parent
    before = everything(home)
    with pytest.raises(OutputError) as refusal:
        write(folder, {'new': 'new'}, **options)
    assert all(word in str(refusal.value) for word in words), refusal.value
    assert '\n' not in str(refusal.value)
    assert everything(home) == before


@pytest.fixture
def made(tmp_path):
    """A folder of our making."""
    write(tmp_path / 'made', {'page': 'old', 'pictures/1': 'one', 'pictures/2': 'two'})
    return tmp_path / 'made'


def test_results_appear_when_they_are_whole(tmp_path):
    with OutputFolder(tmp_path / 'a/b/out', 'diception demo') as beside:
        beside.mkdir()
        (beside / 'page').write_text('x')
        assert not (tmp_path / 'a/b/out').exists()
    assert set(everything(tmp_path / 'a')) == {'b/out/page', f'b/out/{MARKER}'}


def test_a_run_that_fails_leaves_nothing_behind(tmp_path):
    with pytest.raises(RuntimeError), OutputFolder(tmp_path / 'a/b/out', 'x') as beside:
        beside.mkdir()
        raise RuntimeError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('options', [{}, {'overwrite': True}, {'renew': True}])
def test_a_folder_with_files_of_somebody_else_is_refused(tmp_path, options):
    (tmp_path / 'notes').write_text('mine')
    refused(tmp_path, 'notes', 'name a new or an empty folder', **options)


def test_results_of_ours_are_refused_with_the_way_out(made):
    refused(made, 'holds results of `diception demo` already', '--overwrite')
    refused(made, '--overwrite', made_by='diception replay', renew=True)


@pytest.mark.parametrize('options', [{'overwrite': True}, {'renew': True}])
def test_what_we_made_is_replaced_and_everything_else_stays(made, options):
    (made / 'notes').write_text('mine')
    (made / 'pictures/mine').write_text('mine, too')
    write(made, {'page': 'new', 'table': 'new', 'bag/1': 'b'}, **options)
    left = everything(made)
    assert set(json.loads(left.pop(MARKER))['files']) == {'page', 'table', 'bag/1'}
    assert left == {'page': b'new', 'table': b'new', 'bag/1': b'b', 'notes': b'mine',
                    'pictures/mine': b'mine, too'}


def test_a_run_that_fails_leaves_the_last_results_as_they_were(made):
    before = everything(made)
    with pytest.raises(RuntimeError), OutputFolder(made, 'diception demo', renew=True) as beside:
        beside.mkdir()
        (beside / 'page').write_text('half')
        raise RuntimeError
    assert everything(made) == before


def test_folders_that_are_empty_afterwards_go(made):
    write(made, {'page': 'new'}, overwrite=True)
    assert not (made / 'pictures').exists()


def test_a_file_of_ours_that_somebody_changed_is_theirs(made):
    (made / 'page').write_text('corrected')
    refused(made, 'page changed since', overwrite=True)


def test_a_file_of_theirs_under_a_new_name_of_ours_keeps_both(made):
    """It cannot be known before: the new results stay beside, and the line says where."""
    (made / 'table').write_text('mine')
    with pytest.raises(OutputError, match='table is not of our making') as refusal:
        write(made, {'table': 'new'}, overwrite=True)
    assert (made / 'table').read_text() == 'mine' and (made / 'page').read_text() == 'old'
    place = Path(str(refusal.value).rpartition(' in ')[2])
    assert (place / 'table').read_text() == 'new'


def test_a_link_of_theirs_in_our_folder_is_not_followed(made, tmp_path):
    (tmp_path / 'theirs').mkdir()
    (tmp_path / 'theirs/1').write_text('mine')
    for file in (made / 'pictures').iterdir():
        file.unlink()
    (made / 'pictures').rmdir()
    (made / 'pictures').symlink_to(tmp_path / 'theirs')
    with pytest.raises(OutputError):
        write(made, {'pictures/1': 'new'}, overwrite=True)
    assert (tmp_path / 'theirs/1').read_text() == 'mine'


@pytest.mark.parametrize('spelled', ['made', 'made/../made', './made/', 'link', 'made/page', 'up'])
def test_an_input_is_never_the_output_however_it_is_spelled(made, tmp_path, monkeypatch, spelled):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'link').symlink_to(made)
    (tmp_path / 'up').symlink_to(made / 'pictures')
    refused(made, 'lies in it', overwrite=True, inputs=[spelled])


def test_the_output_may_be_named_through_a_link(made, tmp_path):
    (tmp_path / 'link').symlink_to(made)
    refused(tmp_path / 'link', 'lies in it', overwrite=True, inputs=[made / 'page'])
    write(tmp_path / 'link', {'page': 'new'}, overwrite=True)
    assert (made / 'page').read_text() == 'new' and (tmp_path / 'link').is_symlink()


def test_an_empty_folder_is_filled_and_stays_the_same_folder(tmp_path):
    (tmp_path / 'out').mkdir()
    before = (tmp_path / 'out').stat().st_ino
    write(tmp_path / 'out', {'page': 'new'})
    assert (tmp_path / 'out').stat().st_ino == before
    assert set(everything(tmp_path / 'out')) == {'page', MARKER}


def test_a_place_that_is_a_file_is_refused(tmp_path):
    (tmp_path / 'file').write_text('mine')
    refused(tmp_path / 'file', 'is a file')
    refused(tmp_path / 'file/out', 'is a file')


@pytest.mark.parametrize('text', ['', '[]', '{"made_by": "x"}', '{"made_by":"x","files":[1]}',
                                  '{"made_by":"x","files":{"../mine":[[4,1]]}}'])
def test_a_damaged_marker_makes_nothing_ours(tmp_path, text):
    (tmp_path / MARKER).write_text(text)
    refused(tmp_path, 'damaged', overwrite=True)


def test_a_disk_that_is_too_small_is_refused(tmp_path):
    output = OutputFolder(tmp_path / 'out', 'x')
    output.needed = 10**18
    with pytest.raises(OutputError, match='GB are free'):
        output.check()


def test_a_killed_run_leaves_the_last_results_and_the_next_one_tidies_up(made, capsys):
    code = ('import sys, time; from diception_ros.output_folder import OutputFolder\n'
            'with OutputFolder(sys.argv[1], "diception demo", renew=True) as beside:\n'
            '    beside.mkdir(); (beside / "page").write_text("half")\n'
            '    print("begun", flush=True); time.sleep(600)\n')
    before = everything(made)
    run = subprocess.Popen([sys.executable, '-c', code, made], stdout=subprocess.PIPE, text=True)
    assert run.stdout.readline() == 'begun\n'
    with OutputFolder(made, 'diception demo', renew=True):
        assert len(list(made.glob('.diception-*'))) == 2, 'of a run that lives nothing is removed'
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert {name: data for name, data in everything(made).items() if name in before} == before
    write(made, {'page': 'new'}, renew=True)
    assert set(everything(made)) == {'page', MARKER}
    assert 'half of the results of a run that was killed' in capsys.readouterr().err


def test_who_is_killed_while_replacing_leaves_files_that_are_all_known_as_ours(made, monkeypatch):
    replace = Path.replace

    def dies(self, target):
        if Path(target).name == 'table':
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, 'replace', dies)
    with pytest.raises(KeyboardInterrupt):
        write(made, {'page': 'new', 'table': 'new'}, overwrite=True)
    monkeypatch.undo()
    assert (made / 'page').read_text() == 'new' and (made / 'pictures/1').read_text() == 'one'
    write(made, {'table': 'newest'}, overwrite=True)
    assert set(everything(made)) == {'table', MARKER}


def test_a_run_goes_on_in_its_own_folder_and_in_no_other(made, tmp_path):
    run = RunFolder(tmp_path / 'run', 'diception train')
    run.begin()
    for text in ('one', 'two'):
        with run.file('checkpoint.pt') as beside:
            beside.write_text(text)
        run.begin()
    assert (tmp_path / 'run/checkpoint.pt').read_text() == 'two'
    with pytest.raises(OutputError, match='holds results of `diception demo`'):
        RunFolder(made, 'diception train').begin()
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/checkpoint.pt').write_text('mine')
    with pytest.raises(OutputError, match='did not make'):
        RunFolder(tmp_path / 'mine', 'diception train').begin()


def test_a_file_of_a_run_that_somebody_wrote_or_changed_stays(tmp_path):
    run = RunFolder(tmp_path / 'run', 'diception train')
    run.begin()
    (tmp_path / 'run/curves.png').write_text('mine')
    with pytest.raises(OutputError, match='curves.png: changed since'), run.file('curves.png'):
        pass
    assert (tmp_path / 'run/curves.png').read_text() == 'mine'


def test_a_folder_can_be_made_ours_by_hand(tmp_path):
    (tmp_path / 'old').write_text('old')
    mark(tmp_path, 'diception demo')
    write(tmp_path, {'page': 'new'}, renew=True)
    assert set(everything(tmp_path)) == {'page', MARKER}


def test_a_single_file_is_new_and_whole_or_not_there(tmp_path):
    with pytest.raises(RuntimeError), output_file(tmp_path / 'a/sheet.png') as beside:
        beside.write_text('half')
        raise RuntimeError
    assert not (tmp_path / 'a/sheet.png').exists()
    with output_file(tmp_path / 'a/sheet.png') as beside:
        assert beside.suffix == '.png'
        beside.write_text('whole')
    with pytest.raises(OutputError, match='exists already'), output_file(tmp_path / 'a/sheet.png'):
        pass
    assert everything(tmp_path) == {'a/sheet.png': b'whole'}


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write everywhere')
def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / 'locked').mkdir(mode=0o555)
    refused(tmp_path / 'locked/out', 'cannot be written')

# SPDX-License-Identifier: Apache-2.0
"""The command says in one line what is wrong, and its exit status tells who is to blame."""

import importlib
import subprocess
import sys

import cv2
import numpy as np
import pytest

from diception_ros import cli
from diception_ros.bags import rosbag2 as bags


def called(capsys, *arguments):
    """(exit status, stdout, stderr) of `diception` with these arguments."""
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return ended.value.code, out, err


def one_line(text):
    return text.startswith('diception: ') and text.count('\n') == 1


def test_help_lists_the_verbs_and_succeeds(capsys):
    status, out, _ = called(capsys, '--help')
    assert status == 0
    for verb in ('demo', 'replay', 'run'):
        assert verb in out


@pytest.mark.parametrize('verb', ['demo', 'replay', 'run', 'bench'])
def test_every_verb_has_help_with_an_example(capsys, verb):
    status, out, _ = called(capsys, verb, '--help')
    assert status == 0 and f'diception {verb}' in out


def test_help_imports_neither_torch_nor_rclpy():
    code = ('import sys\nfrom diception_ros import cli\n'
            'try:\n    cli.main(["--help"])\nexcept SystemExit:\n    pass\n'
            'print([m for m in ("torch", "rclpy", "diffusers") if m in sys.modules])')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stdout.strip().endswith('[]'), done.stderr


@pytest.mark.parametrize('arguments', [
    ('fly',), ('demo', '--frames', '0'), ('demo', '--nope'), ('replay',), ('run',),
    ('demo', '--image-topic', '/x'), ('run', 'a.png', '--points', 'middle'),
    ('run', 'a.png', '--points', '320,200'),
])
def test_a_wrong_call_is_one_line_and_status_2(capsys, arguments):
    status, _, err = called(capsys, *arguments)
    assert status == 2 and one_line(err), err


def test_a_missing_picture_is_one_line_and_status_1(capsys, tmp_path):
    status, _, err = called(capsys, 'run', tmp_path / 'no.png')
    assert status == 1 and one_line(err) and 'no.png' in err


def test_a_file_that_is_no_picture_is_one_line_and_status_1(capsys, tmp_path):
    (tmp_path / 'text.png').write_text('hello')
    status, _, err = called(capsys, 'run', tmp_path / 'text.png')
    assert status == 1 and one_line(err) and 'text.png' in err


def test_a_missing_model_is_one_line_and_status_1(capsys, tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((8, 8, 3), np.uint8))
    status, _, err = called(capsys, 'run', tmp_path / 'a.png', '--model', tmp_path / 'none')
    assert status == 1 and one_line(err), err


@pytest.mark.parametrize('verb', ['demo', 'replay'])
def test_a_missing_bag_is_one_line_and_status_1(capsys, tmp_path, verb):
    bag = ('--bag', tmp_path / 'no') if verb == 'demo' else (tmp_path / 'no',)
    status, _, err = called(capsys, verb, *bag, '--out', tmp_path / 'out')
    assert status == 1 and one_line(err) and 'no such bag' in err
    assert not (tmp_path / 'out').exists() or not any((tmp_path / 'out').iterdir())


@pytest.fixture
def bag_without_pictures(tmp_path):
    with bags.BagWriter(tmp_path / 'bag') as bag:
        bag.write('/p', 5, bags.make('geometry_msgs/msg/Point', x=1.0, y=2.0, z=3.0))
    return tmp_path / 'bag'


def test_a_bag_without_pictures_says_what_it_has(capsys, tmp_path, bag_without_pictures):
    status, _, err = called(capsys, 'replay', bag_without_pictures, '--out', tmp_path / 'out')
    assert status == 1 and one_line(err) and '/p' in err


def test_a_truncated_bag_is_one_line_and_status_1(capsys, tmp_path, bag_without_pictures):
    (file,) = bag_without_pictures.glob('*.mcap')
    file.write_bytes(file.read_bytes()[:100])
    status, _, err = called(capsys, 'replay', bag_without_pictures, '--out', tmp_path / 'out')
    assert status == 1 and one_line(err) and 'unreadable bag' in err


def test_a_missing_package_is_named(capsys, monkeypatch):
    def absent(*_, **__):
        raise ModuleNotFoundError("No module named 'rclpy'", name='rclpy')

    monkeypatch.setattr(cli, 'app', absent)
    status, _, err = called(capsys, 'demo')
    assert status == 1 and one_line(err) and 'rclpy is missing' in err


def test_a_verb_whose_packages_are_missing_is_listed_and_says_so_when_it_is_used(
        capsys, monkeypatch):
    load = importlib.import_module

    def without_rosbags(name, *rest):
        if name == 'diception_ros.cli.replay':
            raise ModuleNotFoundError(name='rosbags.highlevel')
        return load(name, *rest)

    monkeypatch.setattr(importlib, 'import_module', without_rosbags)
    status, out, _ = called(capsys, '--help')
    assert status == 0 and 'rosbags is missing' in out and 'demo' in out
    status, _, err = called(capsys, 'replay', 'drive', '--out', 'new')
    assert status == 1 and one_line(err) and 'rosbags is missing: pip install' in err


def test_a_bug_keeps_its_traceback(monkeypatch):
    def broken(*_, **__):
        raise RuntimeError('oops')

    monkeypatch.setattr(cli, 'app', broken)
    with pytest.raises(RuntimeError, match='oops'):
        cli.main(['demo'])

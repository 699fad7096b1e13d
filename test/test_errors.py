# SPDX-License-Identifier: Apache-2.0
"""Errors on one line, with the way out."""

import importlib.metadata

import pytest

from diception_ros.errors import explained, first_line, one_line, with_type


@pytest.mark.parametrize('error, said', [
    (FileNotFoundError(2, 'No such file or directory', 'a.png'),
     'a.png: No such file or directory'),
    (ValueError('too\n  many lines'), 'too many lines'), (KeyError(), 'KeyError'),
    (ModuleNotFoundError(name='sensor_msgs.msg'),
     'sensor_msgs is missing: source a ROS 2 installation, or run `make venv`'),
    (ModuleNotFoundError(name='torchao.int8'),
     'the Python package torchao is missing: pip install torchao')])
def test_what_a_user_can_cause_is_said_with_the_way_out(error, said):
    assert explained(error) == said


def test_with_a_missing_package_the_others_of_its_extra_are_named(monkeypatch):
    monkeypatch.setattr(importlib.metadata, 'requires', lambda name: [
        'numpy>=1.24', 'mcap>=1.2; extra == "bags"', 'rosbags>=0.11; extra == "bags"',
        'transformers>=4.46; extra == "convert"'])
    assert explained(ModuleNotFoundError(name='rosbags.highlevel')).endswith(
        'rosbags is missing: pip install mcap rosbags')
    assert explained(ModuleNotFoundError(name='numpy')).endswith('pip install numpy')


def test_where_the_package_was_not_installed_by_pip_the_missing_one_is_named(monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)
    monkeypatch.setattr(importlib.metadata, 'requires', absent)
    assert explained(ModuleNotFoundError(name='rosbags')).endswith('pip install rosbags')


def test_what_libraries_say_at_length_is_cut_to_its_first_line():
    assert first_line('\nbad header\nin line 3') == 'bad header'
    assert first_line(KeyError()) == 'KeyError' and len(first_line('x' * 999)) == 200


def test_an_error_of_ours_needs_no_type():
    assert with_type(ValueError('no such model')) == 'no such model'
    assert with_type(RuntimeError('no\ncontext')) == 'RuntimeError: no context'
    assert one_line(RuntimeError('no\ncontext')) == 'no context'

# SPDX-License-Identifier: Apache-2.0
"""What holds for every test; a small camera bag and model for those that start a node."""

import importlib.util
import sys
from pathlib import Path

import pytest

from diception_ros import progress
from diception_ros.ros.isolation import loopback_environment, set_environment

# Before any test makes a node: no machine but this one hears what the tests send.
set_environment(loopback_environment())


def pytest_addoption(parser):
    """Take the contract with users from the code: see test_contract.py."""
    parser.addoption('--rewrite-contract', action='store_true',
                     help='write what the code says into docs/reference/contract.yaml')


def pytest_collection_modifyitems(items):
    """Mark every test by where it is: `-m 'not live'` is the quick part of the suite."""
    for item in items:
        packaging = item.path.is_relative_to(Path(__file__).parent / 'packaging')
        if packaging:
            item.add_marker('packaging')
        processes = {'sources', 'stranger'} & set(item.fixturenames)  # builds, other nodes
        if item.path.name.startswith('test_live_') or processes:
            item.add_marker('live')
        elif not packaging:
            item.add_marker('unit')


@pytest.fixture(autouse=True)
def folder_of_its_own(tmp_path_factory, monkeypatch):
    """Work in an empty folder: no test touches the folder that it was called in."""
    monkeypatch.chdir(tmp_path_factory.mktemp('here'))


@pytest.fixture(autouse=True)
def no_word_about_time(monkeypatch):
    """However slow the machine is, stderr holds what went wrong and nothing else."""
    monkeypatch.setattr(progress, 'PERIOD', 3600.0)


@pytest.fixture(scope='session')
def tiny_model(tmp_path_factory):
    """A model directory in pixel space with random weights, every task in one step."""
    from tiny_model import write_tiny_model

    tasks = ('depth', 'normals', 'entities', 'segmentation', 'semantic', 'pose')
    return write_tiny_model(
        tmp_path_factory.mktemp('models') / 'tiny', autoencoder=None, size=32,
        tasks={task: (1, 1.0) for task in tasks},
    )


@pytest.fixture(scope='session')
def small_bag(tmp_path_factory):
    """Six frames of a made-up camera, 64x48, with clicks on something."""
    from diception_ros.bags import rosbag2 as bags
    from diception_ros.lab.synthetic import camera_move

    path = tmp_path_factory.mktemp('bags') / 'camera'
    views = list(camera_move(7, frames=6, size=(64, 48)))
    bags.write_camera_bag(path, views, bags.thing_to_click(views), click_every=2)
    return path


# --- what was not covered ---------------------------------------------------------------------


@pytest.hookimpl(wrapper=True, tryfirst=True)  # to be the last to write
def pytest_terminal_summary(terminalreporter):
    """Say in one place, at the end, which tests did not run and why: a green run may lack much."""
    yield
    terminalreporter.section('not covered', '-')
    lines = not_covered(terminalreporter.stats)
    terminalreporter.write_line('\n'.join(lines) or 'everything ran')


def not_covered(stats):
    """Lines of what did not run; `stats`: pytest's reports by outcome."""
    where = {}
    for report in stats.get('skipped', []):
        file, _, reason = report.longrepr
        whole = report.when == 'collect'
        where.setdefault(reason.removeprefix('Skipped: '), []).append((Path(file).stem, whole))
    lines = []
    for reason, tests in sorted(where.items(), key=lambda item: -len(item[1])):
        files = ', '.join(sorted({f'all of {file}' if whole else file for file, whole in tests}))
        lines.append(f'{len(tests):3} {reason}: {files}')
    if not importlib.util.find_spec('rclpy'):
        lines.append('all rclpy is missing: test/ros')
    if deselected := len(stats.get('deselected', [])):
        lines.append(f'{deselected:3} deselected')
    torch = sys.modules.get('torch')
    if torch is not None and not torch.cuda.is_available():
        lines.append('    no test ran on a GPU: there is none')
    return lines

# SPDX-License-Identifier: Apache-2.0
"""pip installs the package into a virtual environment on top of a sourced ROS 2.

The hardest of pip's ways: nothing but the package's own doing lets ROS 2 find the libraries of the
messages. Installing in place is what `make venv` does, so every other test is a test of it.
"""

import importlib.metadata
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope='module')
def wheel(sources, tmp_path_factory, run):
    """A wheel of the package, made where ROS 2 is sourced."""
    folder = tmp_path_factory.mktemp('wheel')
    run(sys.executable, '-m', 'pip', 'wheel', '--no-build-isolation', '--no-deps', '--wheel-dir',
        folder, sources)
    return next(folder.glob('*.whl'))


def test_a_wheel_made_where_ros_is_sourced_asks_for_no_wheel_of_ros(wheel):
    metadata = next(importlib.metadata.distributions(path=[str(wheel)]))
    required = [line for line in metadata.requires if 'extra ==' not in line]

    assert any(line.startswith('torch') for line in required)
    assert not [line for line in required if line.startswith('ros-')]


def test_a_wheel_holds_everything_that_the_sources_hold(wheel, sources):
    names = set(zipfile.ZipFile(wheel).namelist())
    data = f'{wheel.name.split("-cp")[0]}.data/data'

    modules = sources / 'diception_ros'
    wanted = {str(file.relative_to(sources)) for file in modules.rglob('*') if file.is_file()}
    wanted |= {f'{data}/share/diception_ros/{file.relative_to(sources)}'
               for folder in ('launch', 'config', 'msg') for file in (sources / folder).iterdir()}
    wanted |= {f'{data}/{path}' for path in (
        'lib/diception_ros/diception_node', 'share/diception_ros/package.xml',
        'share/ament_index/resource_index/packages/diception_ros')}
    assert wanted <= names


def test_an_installed_wheel_finds_its_messages_and_its_node_starts(
        wheel, tmp_path, run, check_installed):
    environment = tmp_path / 'environment'
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / 'bin/python'
    run(sys.executable, '-m', 'pip', '--python', python, 'install', '--no-deps', '--no-index',
        wheel)
    # The other requirements are those of the environment that runs the tests.
    site_packages = Path(sysconfig.get_path('purelib', vars={'base': str(environment)}))
    (site_packages / 'tests.pth').write_text(sysconfig.get_path('purelib'))

    check_installed(environment, environment / 'bin/diception_node', python=python)
    check_installed(environment, environment / 'lib/diception_ros/diception_node', python=python)

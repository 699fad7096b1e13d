# SPDX-License-Identifier: Apache-2.0
"""pip installs the package into a virtual environment on top of a sourced ROS 2.

The hardest of pip's ways: nothing but the package's own doing lets ROS 2 find the libraries of the
messages. Installing in place is what `make venv` does, so every other test is a test of it.
"""

import importlib.metadata
import re
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from setuptools.compat.py310 import tomllib  # Python's own from 3.11 on


@pytest.fixture(scope='module')
def make_wheel(sources, tmp_path_factory, run):
    """Return a function that makes a wheel of the package where ROS 2 is sourced."""
    def make(**environment):
        folder = tmp_path_factory.mktemp('wheel')
        run(sys.executable, '-m', 'pip', 'wheel', '--no-build-isolation', '--no-deps',
            '--wheel-dir', folder, sources, **environment)
        return next(folder.glob('*.whl'))
    return make


@pytest.fixture(scope='module')
def wheel(make_wheel):
    """A wheel of the whole package."""
    return make_wheel()


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


@pytest.fixture
def installed(run, tmp_path):
    """Return a function that installs a wheel into an environment, without the modules `hidden`.

    The other requirements are those of the environment that runs the tests.
    """
    def install(wheel, hidden=()):
        environment = tmp_path / 'environment'
        venv.create(environment, with_pip=False, symlinks=True)
        run(sys.executable, '-m', 'pip', '--python', environment / 'bin/python', 'install',
            '--no-deps', '--no-index', wheel)
        others = tmp_path / 'others'
        others.mkdir()
        for entry in Path(sysconfig.get_path('purelib')).iterdir():
            name = entry.name.lower().partition('-')[0].removesuffix('.py')
            if name not in hidden and not name.startswith(('diception_ros', '__editable__')):
                (others / entry.name).symlink_to(entry)
        packages = Path(sysconfig.get_path('purelib', vars={'base': str(environment)}))
        (packages / 'tests.pth').write_text(str(others))
        return environment
    return install


def test_an_installed_wheel_finds_its_messages_and_its_node_starts(
        wheel, installed, check_installed):
    environment = installed(wheel)
    python = environment / 'bin/python'
    check_installed(environment, environment / 'bin/diception_node', python=python)
    check_installed(environment, environment / 'lib/diception_ros/diception_node', python=python)


def test_without_the_laboratory_and_the_extras_the_node_starts_and_its_verbs_do_not_exist(
        make_wheel, installed, run, check_installed, root, tmp_path):
    wheel = make_wheel(DICEPTION_LAB='OFF')
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if '/lab/' in name or 'world_camera' in name
                or 'demo.launch' in name]

    extras = tomllib.loads((root / 'pyproject.toml').read_text())['project'][
        'optional-dependencies']
    hidden = {re.match(r'\w+', line).group() for name in ('bags', 'convert', 'train')
              for line in extras[name]} - {'huggingface_hub'}  # diffusers needs it
    environment = installed(wheel, hidden)
    check_installed(environment, environment / 'bin/diception_node',
                    python=environment / 'bin/python')
    text = run(environment / 'bin/diception', '--help', cwd='/')
    verbs = set(re.findall(r'^\W*(\w+) ', text, re.M))
    assert {'run', 'replay', 'doctor'} <= verbs
    assert not {'train', 'evaluate', 'bench'} & verbs
    assert not (environment / 'bin/world_camera').exists()
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((64, 64, 3), np.uint8))
    run(environment / 'bin/diception', 'run', 'a.png', '--out', 'seen', cwd=tmp_path)
    assert (tmp_path / 'seen/a/overlay.jpg').exists()

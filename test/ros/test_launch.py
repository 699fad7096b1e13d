# SPDX-License-Identifier: Apache-2.0
"""Launch files: what can be said of them without launching."""

import importlib.util
import re
from pathlib import Path

import pytest
import yaml
from robot import OUTPUTS

ROOT = Path(__file__).resolve().parents[2]
LAUNCH_FILES = sorted((ROOT / 'launch').glob('*.launch.py'))
by_name = pytest.mark.parametrize('file', LAUNCH_FILES, ids=lambda file: file.name)
needs_launch = pytest.mark.skipif(importlib.util.find_spec('launch_ros') is None,
                                  reason='launch_ros is not installed')


@by_name
def test_a_launch_file_downloads_and_installs_nothing(file):
    assert not re.search(r'pip|apt|wget|curl|urllib|requests|eval\(|exec\(', file.read_text())


def test_rviz_shows_topics_that_exist():
    view = yaml.safe_load((ROOT / 'config/diception.rviz').read_text())['Visualization Manager']
    shown = [display['Topic']['Value'] for display in view['Displays'] if 'Topic' in display]
    assert set(shown) - {'/camera/image_raw'} <= set(OUTPUTS) and 'overlay' in shown
    tools = {tool['Class'].partition('/')[2]: tool for tool in view['Tools']}
    assert tools['PublishPoint']['Topic']['Value'] == '/clicked_point'


def module_of(file):
    specification = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@needs_launch
@by_name
def test_every_argument_is_described(file):
    from launch import LaunchDescription
    from launch.actions import DeclareLaunchArgument
    description = module_of(file).generate_launch_description()
    assert isinstance(description, LaunchDescription)
    declared = [entity for entity in description.entities
                if isinstance(entity, DeclareLaunchArgument)]
    assert declared
    for argument in declared:
        assert len(argument.description) > 12, argument.name


@pytest.fixture
def read(tmp_path):
    """Return a function that reads the text of a cameras file as multi_camera.launch.py does."""
    module = module_of(ROOT / 'launch/multi_camera.launch.py')

    def call(content):
        (tmp_path / 'cameras.yaml').write_text(content)
        return module.read(tmp_path / 'cameras.yaml', ['namespace', 'image', 'tasks', 'respawn'])

    return call


@needs_launch
def test_a_list_of_tasks_in_the_cameras_file_is_the_same_as_tasks_with_commas(read):
    [camera] = read("- {namespace: a, image: /b, tasks: [depth, 'semantic:person'], respawn: yes}")
    assert camera == {'namespace': 'a', 'image': '/b', 'tasks': 'depth,semantic:person',
                      'respawn': 'True'}


@needs_launch
@pytest.mark.parametrize('content, words', [
    ('', 'a list of cameras is needed'),
    ('[]', 'a list of cameras is needed'),
    ('- namespace: a', 'a list of cameras is needed'),
    ('- {namespace: a', 'cannot be read as YAML'),
    ('- {namespace: a, image: b, imgae: c}', "'imgae' is not .*, did you mean image"),
    ('- {namespace: a, image: b, 7: c}', '7 is not .*; known are namespace, image'),
    ('- {namespace: a, image: b}\n- {namespace: /a/, image: c}',
     "more than one camera has the namespace 'a'"),
])
def test_a_cameras_file_that_cannot_be_is_refused_in_one_line_that_names_it(read, content, words):
    with pytest.raises(RuntimeError, match=f'cameras.yaml.*{words}') as error:
        read(content)
    assert '\n' not in str(error.value)

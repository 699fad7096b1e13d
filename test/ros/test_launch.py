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


@needs_launch
@by_name
def test_every_argument_is_described(file):
    from launch import LaunchDescription
    from launch.actions import DeclareLaunchArgument
    specification = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    description = module.generate_launch_description()
    assert isinstance(description, LaunchDescription)
    declared = [entity for entity in description.entities
                if isinstance(entity, DeclareLaunchArgument)]
    assert declared
    for argument in declared:
        assert len(argument.description) > 12, argument.name

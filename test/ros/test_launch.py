# SPDX-License-Identifier: Apache-2.0
"""Launch files: what can be said without launch, and, where launch is installed, real launches."""

import ast
import importlib.util
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from robot import OUTPUTS, free_domain

ROOT = Path(__file__).resolve().parents[2]
LAUNCH_FILES = sorted((ROOT / 'launch').glob('*.launch.py'))
by_name = pytest.mark.parametrize('file', LAUNCH_FILES, ids=lambda file: file.name)
needs_launch = pytest.mark.skipif(importlib.util.find_spec('launch_ros') is None,
                                  reason='launch_ros is not installed')


def strings(file):
    """Return all string constants of a Python file."""
    return [node.value for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)]


@by_name
def test_every_file_and_executable_that_a_launch_file_names_is_installed(file):
    cmake = (ROOT / 'CMakeLists.txt').read_text()
    for text in strings(file):
        if re.fullmatch(r'[\w.]+\.(yaml|rviz)', text):
            assert (ROOT / 'config' / text).is_file(), text
        if re.fullmatch(r'[\w.]+\.launch\.py', text):
            assert (ROOT / 'launch' / text).is_file(), text
        if text in ('diception_node', 'world_camera'):
            assert re.search(rf'\b{text}\b', cmake), text
    assert 'install(DIRECTORY launch config' in cmake


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


def launched(file, arguments, patterns, tmp_path, seconds=300):
    """Launch a file until its output has every pattern; return (output, exit status)."""
    import time
    domain, lock = free_domain()
    log = tmp_path / 'log'
    program = [sys.executable, '-c', 'import sys; from ros2cli.cli import main; sys.exit(main())']
    process = subprocess.Popen(
        [*program, 'launch', str(file), *arguments], stdout=log.open('w'),
        stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
        env={**os.environ, 'ROS_DOMAIN_ID': str(domain), 'OMP_NUM_THREADS': '1'})
    end = time.monotonic() + seconds
    try:
        while not all(re.search(pattern, log.read_text()) for pattern in patterns):
            assert process.poll() is None and time.monotonic() < end, log.read_text()[-3000:]
            time.sleep(0.2)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            status = process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            status = None
        lock.close()
    return log.read_text(), status


@needs_launch
def test_the_node_is_launched_active_and_ends_with_its_launch(tiny_model, tmp_path):
    text, status = launched(ROOT / 'launch/diception.launch.py', [
        f'model:={tiny_model}', 'device:=cpu', 'tasks:=depth,semantic:person', 'namespace:=robot',
        'image:=/camera/image_raw'], ['configured: model .* tasks depth, semantic:person',
                                      'no image on /camera/image_raw'], tmp_path)
    assert status == 0 and 'Traceback' not in text


@needs_launch
def test_cameras_are_launched_in_their_namespaces(tiny_model, tmp_path):
    (tmp_path / 'cameras.yaml').write_text(
        f'[{{namespace: left, image: /left/image, model: {tiny_model}, device: cpu}},'
        f' {{namespace: right, image: /right/image, model: {tiny_model}, device: cpu,'
        ' tasks: depth}]')
    text, status = launched(ROOT / 'launch/multi_camera.launch.py', [
        f'cameras:={tmp_path / "cameras.yaml"}'], [
        r'left\.diception\]: configured', r'right\.diception\]: configured: .* tasks depth\n'],
        tmp_path)
    assert status == 0 and 'Traceback' not in text

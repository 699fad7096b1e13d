# SPDX-License-Identifier: Apache-2.0
"""A node speaks with its ROS graph and nobody else, and runs no code that came with data."""

import ast
import sys
from pathlib import Path

import numpy as np
from robot import Robot

from diception_ros.ros.images import from_array

ROOT = Path(__file__).resolve().parents[2]


def test_from_loading_to_answers_it_opens_no_port_unpickles_nothing_and_starts_no_process(
        tiny_model, tmp_path):
    robot = Robot(tmp_path / 'log', device='cpu', model=tiny_model,
                  command=[sys.executable, ROOT / 'test/fixtures/watched_node.py'])
    try:
        robot.listen('depth/relative', 'overlay')
        rgb = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
        robot.ask(from_array(rgb, 'rgb8', robot.header()))
    finally:
        robot.close()
        robot.node.stop()
    assert 'WATCHED' not in robot.node.text()


def test_no_code_of_the_node_evaluates_text_or_takes_a_pickle_at_its_word():
    for file in (ROOT / 'diception_ros').rglob('*.py'):
        for call in ast.walk(ast.parse(file.read_text())):
            if not isinstance(call, ast.Call):
                continue
            name = ast.unparse(call.func)
            assert name not in ('eval', 'exec', 'os.system', 'pickle.load', 'pickle.loads'), file
            if name == 'torch.load':
                assert any(keyword.arg == 'weights_only' and ast.unparse(keyword.value) == 'True'
                           for keyword in call.keywords), file

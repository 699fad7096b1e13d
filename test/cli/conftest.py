# SPDX-License-Identifier: Apache-2.0
"""A small camera bag and a small model, made once for the tests that start a node."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'fixtures'))


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
    from diception_ros.ros import bags
    from diception_ros.worlds import camera_move

    path = tmp_path_factory.mktemp('bags') / 'camera'
    views = list(camera_move(7, frames=6, size=(64, 48)))
    bags.write_camera_bag(path, views, bags.thing_to_click(views), click_every=2)
    return path

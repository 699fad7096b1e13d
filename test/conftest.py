# SPDX-License-Identifier: Apache-2.0
"""What holds for every test; a small camera bag and model for those that start a node."""

import pytest

from diception_ros.ros.isolation import loopback_environment, set_environment

# Before any test makes a node: no machine but this one hears what the tests send.
set_environment(loopback_environment())


@pytest.fixture(autouse=True)
def folder_of_its_own(tmp_path_factory, monkeypatch):
    """Work in an empty folder: no test touches the folder that it was called in."""
    monkeypatch.chdir(tmp_path_factory.mktemp('here'))


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

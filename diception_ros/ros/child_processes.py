# SPDX-License-Identifier: Apache-2.0
"""Processes that we start end when we do, also when we are killed.

A killed process can tidy up nothing, and a child cannot be relied on to notice: it may itself have
started others, in sessions of their own. So a watcher waits beside us. Every child, and whoever it
starts, carries our mark in its environment; when we are gone, however that came, the watcher sends
SIGINT to all that carry it, and SIGKILL to those that do not end.
"""

from __future__ import annotations

import os
import subprocess
import sys
import uuid

VARIABLE = 'DICEPTION_CHILD_OF'
PATIENCE = 5  # seconds for an orderly end, in which the middleware frees its shared memory

_WATCHER = f"""
import os, signal, sys, time
mark = '{VARIABLE}='.encode() + sys.argv[1].encode()

def marked():
    for name in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{{name}}/environ', 'rb') as environment:
                if mark in environment.read().split(b'\\0'):
                    yield int(name)
        except OSError:
            pass  # it has ended, or is somebody else's

sys.stdin.buffer.read()  # ends when nobody is left who could write to it
for number in (signal.SIGINT, signal.SIGKILL):
    for process in marked():
        try:
            os.kill(process, number)
        except OSError:
            pass
    end = time.monotonic() + {PATIENCE}
    while any(marked()) and time.monotonic() < end:
        time.sleep(0.1)
"""

_mine: dict[int, tuple[str, subprocess.Popen]] = {}  # process id (we may fork) -> mark, watcher


def ending_with_us(environment: dict[str, str] | None = None) -> dict[str, str]:
    """The environment (default: our own) for a child that ends when this process ends."""
    environment = dict(os.environ if environment is None else environment)
    if os.getpid() not in _mine:
        mark = uuid.uuid4().hex
        watcher = subprocess.Popen(
            # Without site: ROS 2's wheels would start Python twice.
            [sys.executable, '-I', '-S', '-c', _WATCHER, mark], start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={name: value for name, value in os.environ.items() if name != VARIABLE})
        _mine[os.getpid()] = (mark, watcher)
    return {**environment, VARIABLE: _mine[os.getpid()][0]}

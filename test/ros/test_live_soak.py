# SPDX-License-Identifier: Apache-2.0
"""A live node at the highest rate that it holds, for DICEPTION_SOAK seconds (20 minutes: 1200)."""

import os
import statistics
import time
from pathlib import Path

import numpy as np
import pytest

from diception_ros.ros.images import from_array

SECONDS = float(os.environ.get('DICEPTION_SOAK', 0))


def usage(process):
    """Return (MiB resident, threads, open files, seconds of CPU) of a process."""
    folder = Path('/proc', str(process.pid))
    lines = dict(line.split(':', 1) for line in (folder / 'status').read_text().splitlines())
    times = (folder / 'stat').read_text().rpartition(')')[2].split()[11:13]  # utime, stime
    return (int(lines['VmRSS'].split()[0]) / 1024, int(lines['Threads']),
            len(list((folder / 'fd').iterdir())),
            sum(map(int, times)) / os.sysconf('SC_CLK_TCK'))


@pytest.mark.skipif(SECONDS <= 0, reason='set DICEPTION_SOAK to a number of seconds')
def test_memory_threads_files_and_latency_are_at_the_end_what_they_were(robot):
    """Memory grows by less than 2 % after the first minute (or the first fifth).

    What a frame takes is compared as CPU time: latency is that of the machine, too, where others
    use it, and is printed only.
    """
    robot.listen('depth/relative', 'normals/image_raw', 'entities', 'overlay')
    rng = np.random.default_rng(0)
    start = time.monotonic()
    settled = min(60.0, SECONDS / 5)
    samples = []
    while (now := time.monotonic() - start) < SECONDS:
        rgb = rng.integers(0, 255, (120, 160, 3), np.uint8)
        sent = time.monotonic()
        robot.ask(from_array(rgb, 'rgb8', robot.header()))
        samples.append((now, time.monotonic() - sent, *usage(robot.node.process)))
    after = [sample for sample in samples if sample[0] > settled]
    part = max(len(after) // 5, 1)
    early, late = after[:part], after[-part:]
    memory = [statistics.median(sample[2] for sample in some) for some in (early, late)]
    latency = [np.percentile([sample[1] for sample in some], 10) for some in (early, late)]
    work = [(some[-1][5] - some[0][5]) / max(len(some) - 1, 1) for some in (early, late)]
    print(f'{len(samples)} frames in {SECONDS:.0f} s; '
          f'memory {memory[0]:.1f} -> {memory[1]:.1f} MiB; '
          f'latency {1e3 * latency[0]:.0f} -> {1e3 * latency[1]:.0f} ms; '
          f'CPU a frame {1e3 * work[0]:.0f} -> {1e3 * work[1]:.0f} ms; '
          f'threads {early[0][3]} -> {late[-1][3]}; files {early[0][4]} -> {late[-1][4]}')
    assert memory[1] < 1.02 * memory[0]
    assert late[-1][3] <= early[0][3] and late[-1][4] <= early[0][4]
    assert work[1] < 1.2 * work[0]

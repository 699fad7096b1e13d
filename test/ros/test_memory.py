# SPDX-License-Identifier: Apache-2.0
"""What is freed is kept for the next frame."""

import platform
import subprocess
import sys

import pytest

PICTURES = """
import resource
import threading
import numpy as np
from diception_ros.ros.memory import keep_freed_memory
{keep}
def frames(count):
    for _ in range(count):
        pictures = [np.empty(size << 20, np.uint8) for size in (1, 3, 4, 11, 11, 11)]
        for picture in pictures:
            picture[::4096] = 1
        del picture, pictures
def work():
    frames(2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    frames(20)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


MODEL = """
import numpy as np
from diception_ros.ros.diagnostics import resident_bytes
from diception_ros.ros.memory import give_back_freed_memory, keep_freed_memory
keep_freed_memory()
before = resident_bytes()
weights = [np.ones(1 << 20, np.uint8) for _ in range(300)]
after = np.ones(1000)
del weights
kept = resident_bytes() - before
give_back_freed_memory()
print(kept >> 20, (resident_bytes() - before) >> 20)
"""

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='only glibc can be told')


def printed(code):
    """The numbers that Python code prints."""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    return [int(number) for number in done.stdout.split()]


def faults(keep):
    """Pages that the system had to find in 20 frames of a thread."""
    return printed(PICTURES.format(keep='assert keep_freed_memory()' if keep else ''))[0]


def test_what_a_model_leaves_is_given_back():
    kept, left = printed(MODEL)
    assert left < 30 < 250 < kept


def test_no_page_of_a_picture_is_taken_from_the_system_twice():
    assert faults(keep=True) < 100 < 2000 < faults(keep=False)

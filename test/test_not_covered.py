# SPDX-License-Identifier: Apache-2.0
"""A run that lacks something says so at its end."""

import subprocess
import sys
from pathlib import Path

TESTS = """
import pytest

@pytest.mark.skipif(True, reason='no golden data')
@pytest.mark.parametrize('n', range(3))
def test_golden(n): ...

def test_half_way():
    pytest.skip('no camera')

def test_well(): ...
"""


def last_lines(folder, *arguments):
    (folder / 'conftest.py').write_text(
        (Path(__file__).with_name('conftest.py')).read_text())
    run = subprocess.run([sys.executable, '-m', 'pytest', '-q', str(folder), *arguments],
                         capture_output=True, text=True, cwd=folder)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout.partition('- not covered -')[2].splitlines()[1:]


def test_the_last_lines_tell_what_did_not_run_and_why(tmp_path):
    (tmp_path / 'test_some.py').write_text(TESTS)
    (tmp_path / 'test_none.py').write_text(
        "import pytest\npytest.importorskip('no_such_module', reason='no launch')\n")
    lines = last_lines(tmp_path)
    assert lines[:3] == ['  3 no golden data: test_some', '  1 no launch: all of test_none',
                         '  1 no camera: test_some']
    assert '1 passed, 5 skipped' in lines[-1]


def test_a_run_that_lacks_nothing_says_that(tmp_path):
    (tmp_path / 'test_some.py').write_text(TESTS)
    lines = last_lines(tmp_path, '-k', 'well')
    assert lines[0] == '  4 deselected'
    (tmp_path / 'test_some.py').write_text('def test_well(): ...\n')
    assert last_lines(tmp_path)[0] == 'everything ran'

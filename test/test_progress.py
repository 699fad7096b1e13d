# SPDX-License-Identifier: Apache-2.0
"""Long work is seen to go on, with a terminal and without."""

import os
import pty
import subprocess
import sys

from diception_ros import progress
from diception_ros.progress import Progress


def lines_until(capsys, number, monkeypatch, work):
    """What is said on stderr while `work(progress)` goes on, until `number` lines are there."""
    monkeypatch.setattr(progress, 'PERIOD', 0.01)
    said = ''
    with Progress('loading') as shown:
        work(shown)
        capsys.readouterr()  # what was said meanwhile
        while said.count('\n') < number:
            said += capsys.readouterr().err
    return said.splitlines()


def test_without_a_terminal_it_says_again_and_again_what_it_does(capsys, monkeypatch):
    lines = lines_until(capsys, 3, monkeypatch, lambda shown: None)
    assert all(line.startswith('loading (') for line in lines)


def test_it_says_how_much_is_done(capsys, monkeypatch):
    def count(shown):
        shown.stage('perceiving', total=80)
        shown.advance()
        shown.advance(2)

    assert lines_until(capsys, 1, monkeypatch, count)[-1].startswith('perceiving: 3 of 80 (')

    def share(shown):
        shown.stage('reading', total=1.0)
        shown.update(0.25, 'writing')

    assert lines_until(capsys, 1, monkeypatch, share)[-1].startswith('writing: 25% (')


def test_short_work_says_nothing_without_a_terminal(capsys):
    with Progress('loading') as shown:
        shown.stage('perceiving', total=2)
        shown.advance()
    assert capsys.readouterr() == ('', '')


def test_in_a_terminal_there_is_a_bar_and_what_is_printed_goes_where_it_shall():
    """stderr is a terminal, stdout a pipe: the result goes into the pipe, the bar does not."""
    code = ('from diception_ros.progress import Progress\n'
            'with Progress("perceiving", 2) as shown:\n'
            '    shown.advance(); print("result"); shown.stage("drawing", 1.0)\n')
    terminal, end = pty.openpty()
    done = subprocess.run([sys.executable, '-c', code], stdout=subprocess.PIPE, stderr=end,
                          env={**os.environ, 'TERM': 'xterm', 'COLUMNS': '120'})
    os.close(end)
    bar = os.read(terminal, 65536).decode()
    os.close(terminal)
    assert done.stdout == b'result\n'
    assert 'perceiving' in bar and '0 of 2' in bar and 'drawing' in bar

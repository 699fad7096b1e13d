# SPDX-License-Identifier: Apache-2.0
"""How long work shows that it goes on: a bar in a terminal, else a line now and then on stderr."""

from __future__ import annotations

import sys
import threading
import time

# Seconds between two lines where no terminal is. CI services show lines, and some end a job that
# is silent for minutes.
PERIOD = 10.0


class Progress:
    """The progress of a verb, stage by stage.

    with Progress('loading the model') as progress:
        ...
        progress.stage('perceiving', total=80)
        progress.advance()

    total: how much there is to do: an int counts things, 1.0 is all of it, None is not known.
    """

    def __init__(self, what: str, total: float | None = None) -> None:
        self._stage = (what, total, time.monotonic())
        self._done = 0.0
        self._ended = threading.Event()
        self._bar = None

    def __enter__(self):
        from rich.console import Console
        from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        console = Console(stderr=True, highlight=False)
        if console.is_interactive:
            # What is printed meanwhile goes above the bar, if it goes to the same terminal.
            self._bar = Bar(
                SpinnerColumn(), TextColumn('{task.description}'), BarColumn(),
                TextColumn('{task.fields[amount]}'), TimeElapsedColumn(), console=console,
                transient=True, redirect_stdout=sys.stdout.isatty())
            self._bar.start()
            self._task = None
            self.stage(*self._stage[:2])
        else:
            threading.Thread(target=self._tell, name='progress', daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._ended.set()
        if self._bar is not None:
            self._bar.stop()

    def stage(self, what: str, total: float | None = None) -> None:
        """Begin the next stage."""
        self._stage, self._done = (what, total, time.monotonic()), 0.0
        if self._bar is not None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(what, total=total, amount=self._amount())

    def advance(self, by: float = 1) -> None:
        """So much more is done."""
        self.update(self._done + by)

    def update(self, done: float, what: str | None = None) -> None:
        """So much is done of the total, by now; `what` is being done."""
        self._done = done
        if what is not None:
            self._stage = (what, *self._stage[1:])
        if self._bar is not None:
            self._bar.update(self._task, completed=done, description=self._stage[0],
                             amount=self._amount())

    def _amount(self) -> str:
        total = self._stage[1]
        if total is None:
            return ''
        return f'{self._done:.0%}' if isinstance(total, float) else f'{self._done:g} of {total}'

    def _tell(self) -> None:
        while not self._ended.wait(PERIOD):
            what, _, begin = self._stage
            said = f'{what}: {self._amount()}' if self._amount() else what
            print(f'{said} ({time.monotonic() - begin:.0f} s)', file=sys.stderr, flush=True)

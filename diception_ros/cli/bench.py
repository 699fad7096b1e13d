# SPDX-License-Identifier: Apache-2.0
"""`diception bench`: measurements, one file each, imported when asked for."""

import typer

from diception_ros.cli import Verbs


class Benches(Verbs):
    """What can be measured."""

    names = ('node', 'gpu')
    package = 'diception_ros.lab.benchmarks'


app = typer.Typer(cls=Benches, add_completion=False, no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Measure: what the node adds to the model, or the model on a GPU.

    \b
    diception bench node --json
    """

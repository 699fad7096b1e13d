# SPDX-License-Identifier: Apache-2.0
"""The command `diception`: one verb a file, imported only when it is asked for.

A verb is a module of this package. It holds either a function of its own name with typer's
annotations (`demo.py`: `def demo(...)`), or, for a verb with verbs of its own, a `typer.Typer`
called `app` (`bench.py`; its verbs are the functions of the modules of `lab/benchmarks`). Modules
must be light to import: torch and rclpy are imported inside the functions.

Exit status: 0 done; 1 it did not work; 2 it was called wrongly. What a user can cause is told in
one line. Verbs raise `errors.Failure` for that, or let ValueError (bad content) and OSError (files)
through; DICEPTION_TRACEBACK=1 shows where such an error came from.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import signal
import sys
from pathlib import Path

import typer
from typer.core import TyperGroup

from diception_ros.errors import Failure, explained


def has_laboratory() -> bool:
    """Whether scenes, training, evaluation and benchmarks were installed (DICEPTION_LAB)."""
    return (Path(__file__).parents[1] / 'lab' / '__init__.py').is_file()


class Verbs(TyperGroup):
    """Verbs found by name and imported when used. Those whose file is not there do not exist, nor
    do those of the laboratory where it was not installed.
    """

    names = ('demo', 'replay', 'run', 'batch', 'convert', 'train', 'finetune', 'evaluate', 'bench',
             'doctor')
    of_laboratory = ('train', 'finetune', 'evaluate', 'bench')
    package = __name__  # where the verbs' modules are

    def list_commands(self, ctx) -> list[str]:
        return [name for name in self.names if importlib.util.find_spec(self._module(name))
                and (name not in self.of_laboratory or has_laboratory())]

    def get_command(self, ctx, cmd_name: str):
        if cmd_name not in self.list_commands(ctx):
            return None
        try:
            module = importlib.import_module(self._module(cmd_name))
        except ModuleNotFoundError as error:
            if (error.name or '').startswith('diception_ros'):
                raise
            verb = _lacking(cmd_name, error)
        else:
            verb = getattr(module, 'app', None)
            if verb is None:
                verb = typer.Typer(add_completion=False)
                verb.command(cmd_name)(getattr(module, cmd_name))
        command = typer.main.get_command(verb)
        command.name = cmd_name
        return command

    def _module(self, name: str) -> str:
        return f'{self.package}.{name}'


def _lacking(name: str, error: ModuleNotFoundError) -> typer.Typer:
    """A verb whose packages are not installed (an extra): listed, and refused when it is used."""
    def verb() -> None:
        raise error

    verb.__doc__ = f'Not installed: {explained(error)}.'
    lacking = typer.Typer(add_completion=False)
    lacking.command(name, context_settings={
        'allow_extra_args': True, 'ignore_unknown_options': True})(verb)
    return lacking


app = typer.Typer(cls=Verbs, add_completion=False, no_args_is_help=True,
                  pretty_exceptions_enable=False)


@app.callback()
def diception() -> None:
    """One diffusion model as a robot's eyes: depth, normals, entities, masks, poses, categories."""


def main(arguments: list[str] | None = None) -> None:
    """Run `diception`; `arguments` default to those of the process. Always ends in SystemExit."""
    # Ended from outside, a verb still ends the node that it started.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    sys.exit(_status(arguments))


def _status(arguments: list[str] | None) -> int:
    try:
        result = app(args=arguments, prog_name='diception', standalone_mode=False)
        return result if isinstance(result, int) else 0
    except BrokenPipeError:  # the reader of our output (`| head`) has left: nothing to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (KeyboardInterrupt, typer.Abort):
        return _complain('interrupted', 130)
    except Exception as error:
        if hasattr(error, 'format_message'):  # typer's; its class differs between versions
            return _misused(error)
        known = isinstance(error, (Failure, ValueError, OSError, ModuleNotFoundError))
        if known and os.environ.get('DICEPTION_TRACEBACK') != '1':
            return _complain(explained(error), 1)
        raise


def _misused(error) -> int:
    """Typer or click refused the command line."""
    if type(error).__name__ == 'NoArgsIsHelpError':
        print(error.format_message(), file=sys.stderr)
        return 2
    context = getattr(error, 'ctx', None)
    where = f' (see {context.command_path} --help)' if context is not None else ''
    return _complain(' '.join(error.format_message().split()).rstrip('.') + where, error.exit_code)


def _complain(line: str, status: int) -> int:
    print(f'diception: {line}', file=sys.stderr)
    return status

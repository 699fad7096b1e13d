# SPDX-License-Identifier: Apache-2.0
"""Errors as people read them: one line that says what is wrong and the way out."""

from __future__ import annotations

import importlib.metadata
import re


class Failure(Exception):
    """It did not work, and this one line says what and the way out. Exit status 1."""


def one_line(error: BaseException | str) -> str:
    """All of an error's text, on one line; its type where it has none."""
    return ' '.join(str(error).split()) or type(error).__name__


def first_line(error: BaseException | str) -> str:
    """The first line of an error's text, at most 200 characters: what libraries say at length."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


def with_type(error: BaseException) -> str:
    """An error on one line: in its own words where it is ours, with its type elsewhere."""
    text = ' '.join(str(error).split())
    return text if isinstance(error, ValueError) else f'{type(error).__name__}: {text}'


def explained(error: BaseException) -> str:
    """What a user can cause, on one line: a file by its name, a missing package with the cure."""
    if isinstance(error, OSError) and error.filename is not None:
        return f'{error.filename}: {error.strerror}'
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition('.')[0]
        if package == 'rclpy' or package.endswith(('_msgs', '_interfaces')):
            return f'{package} is missing: source a ROS 2 installation, or run `make venv`'
        return f'the Python package {package} is missing: pip install {" ".join(_with(package))}'
    return one_line(error)


def _with(package: str) -> list[str]:
    """The packages of the extra that brings `package`: who lacks one of them lacks the others."""
    try:
        requirements = importlib.metadata.requires('diception_ros') or []
    except importlib.metadata.PackageNotFoundError:  # built by colcon
        requirements = []
    extras: dict[str, list[str]] = {}
    for requirement in requirements:
        found = re.match(r'([\w-]+)[^;]*; extra == "(\w+)"$', requirement)
        if found:
            extras.setdefault(found[2], []).append(found[1])
    return next((names for names in extras.values() if package in names), [package])

# SPDX-License-Identifier: Apache-2.0
"""A training's configuration: one YAML file, or one that changes another."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def read_settings(file: Path) -> dict[str, Any]:
    """A configuration; where it names another file as its `base`, what it says beside that."""
    settings = yaml.safe_load(file.read_text())
    if 'base' in settings:
        settings = merged(read_settings(file.parent / settings.pop('base')), settings)
    return settings


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over` in place of its own, mapping by mapping."""
    return {**base, **{key: merged(base[key], value)
                       if isinstance(value, dict) and isinstance(base.get(key), dict) else value
                       for key, value in over.items()}}


def size_of(config: dict[str, Any]) -> tuple[tuple[int, int], int]:
    """(width, height) of the targets, and how many times as large the images are."""
    scale = 2 if 'image_encoder' in config['model'] else 1
    return tuple(side // scale for side in config['resolution']), scale

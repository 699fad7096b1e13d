# SPDX-License-Identifier: Apache-2.0
"""Which room of the package imports which: the contracts in pyproject.toml."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_rooms_import_only_from_below_and_the_runtime_never_imports_the_laboratory():
    found = subprocess.run(
        [Path(sys.executable).with_name('lint-imports'), '--no-cache',
         '--config', ROOT / 'pyproject.toml'],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert found.returncode == 0, found.stdout[found.stdout.find('Contracts'):]


def test_every_room_has_its_place_in_the_order():
    text = (ROOT / 'pyproject.toml').read_text()
    rooms = {path.stem for path in (ROOT / 'diception_ros').iterdir()
             if path.suffix == '.py' or (path / '__init__.py').exists()}
    layers = text[text.index('layers = ['):].partition(']')[0]
    assert {room for room in rooms - {'__init__', 'msg'} if f'diception_ros.{room}' not in layers} \
        == set()

# SPDX-License-Identifier: Apache-2.0
"""Where results go: the one rule of every verb that writes, so that nothing of a user's is lost.

Before the work everything is checked: the place can be written, no input lies in it, and it is new,
empty, or of our own making. Results lie beside, in a hidden folder, until they are whole. A folder
of our making is known by the file MARKER in it, which lists the files that we made, with size and
time of change. Only those are ever replaced, and only where the user allows it (`--overwrite`);
what somebody changed since, and what else lies there, stays.

    with OutputFolder('seen', 'diception replay', inputs=[bag]) as beside:
        write(beside)   # a path that does not exist yet; it becomes `seen` when all went well

`RunFolder` is for a run of many hours, whose files appear one by one and which goes on when called
again; `output_file` for a single file.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

MARKER = '.diception_output.json'
HOLDER = '.diception-'  # how the folders begin in which results lie until they are whole
LOCK = 'lock'           # in them; held as long as the process that writes lives


class OutputError(ValueError):
    """Results cannot go where they were to go. One line, with the way out."""


@dataclass
class Marker:
    """What a folder of our making says about itself: by whom, and its files.

    `files`: path in the folder -> states, (bytes, time of change in ns), of which any is ours: of
    a file that is being replaced there are two.
    """

    made_by: str
    files: dict[str, list[list[int]]] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path) -> Marker | None:
        """The marker of a folder; None where there is none."""
        file = folder / MARKER
        try:
            content = json.loads(file.read_text(encoding='utf-8'))
            marker = cls(content['made_by'], dict(content['files']))
            sound = all(not PurePosixPath(name).is_absolute() and '..' not in name.split('/')
                        and isinstance(states, list) for name, states in marker.files.items())
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError):
            sound = False
        if not sound:
            raise OutputError(f'{file}: damaged: without it nobody knows what in that folder is '
                              'yours; name another folder')
        return marker

    def write(self, folder: Path) -> None:
        """Put it into `folder`, in place of an older one."""
        beside = folder / f'{MARKER}.partial'
        beside.write_text(json.dumps({'made_by': self.made_by, 'files': self.files}, indent=1),
                          encoding='utf-8')
        beside.replace(folder / MARKER)

    def is_ours(self, folder: Path, name: str) -> bool:
        """Whether a file is there as we made it."""
        return not _through_a_link(folder, name) and _state(folder / name) in self.files.get(
            name, [])

    def there(self, folder: Path) -> list[str]:
        """Which of its files are there, changed or not."""
        return [name for name in self.files if os.path.lexists(folder / name)]


def mark(folder: Path, made_by: str) -> None:
    """Make a folder one of our making, with all that is in it."""
    Marker(made_by, _states(folder)).write(folder)


def _state(file: Path) -> list[int]:
    """(bytes, time of change in ns) of a file; a link counts as itself."""
    try:
        status = file.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [status.st_size, status.st_mtime_ns]


def _states(folder: Path) -> dict[str, list[list[int]]]:
    """Every file below a folder, and its state, as a marker lists them."""
    return {file.relative_to(folder).as_posix(): [_state(file)]
            for file in sorted(folder.rglob('*'))
            if not file.is_dir() and file != folder / MARKER}


def _through_a_link(folder: Path, name: str) -> bool:
    """Whether one of the folders between `folder` and the file `name` is a link, or no folder."""
    between = (folder / part for part in PurePosixPath(name).parents if part.name)
    return any(os.path.lexists(part) and (part.is_symlink() or not part.is_dir())
               for part in between)


def _names(names: Iterable[str], most: int = 3) -> str:
    names = sorted(names)
    return ', '.join(names[:most]) + (', ...' if len(names) > most else '')


class OutputFolder:
    """A folder of results, written beside and renamed when whole; see the module.

    made_by: the verb, such as 'diception replay'. inputs: files and folders that the work reads, or
    `homes_of` them; what does not exist is no input. overwrite: whether results of our own making
    may be replaced. renew: the same without being asked, where `made_by` made them. option: what
    the user calls it.
    `needed` may be set before the work to the bytes that must be free on the disk.
    """

    def __init__(self, folder: str | Path, made_by: str, *,
                 inputs: Iterable[str | Path] | dict = (), overwrite: bool = False,
                 renew: bool = False, option: str = '--out') -> None:
        self.name = f'{option} {folder}'.strip()
        self.folder = Path(os.path.realpath(os.path.expanduser(folder)))
        self.made_by = made_by
        self._way_out = 'add --overwrite to replace them, or ' if option else ''
        self._homes = inputs if isinstance(inputs, dict) else homes_of(inputs)
        self._overwrite, self._renew = overwrite, renew
        self.needed = 0
        self._new_parents: list[Path] = []

    # --- before the work ---

    def check(self) -> None:
        """Raise OutputError if results cannot go there. Changes nothing."""
        self._check_inputs()
        if not self.folder.exists():
            self._check_place(next(p for p in self.folder.parents if p.exists()))
            return
        self._check_place(self.folder)
        marker = Marker.of(self.folder)
        if marker is None:
            strangers = [file.name for file in self.folder.iterdir() if not _is_holder(file)]
            if strangers:
                raise OutputError(f'{self.name}: holds files that diception did not make '
                                  f'({_names(strangers)}); name a new or an empty folder')
        elif there := marker.there(self.folder):
            self._check_own(marker, there)

    def _check_own(self, marker: Marker, there: list[str]) -> None:
        if not (self._overwrite or (self._renew and marker.made_by == self.made_by)):
            raise OutputError(f'{self.name}: holds results of `{marker.made_by}` already; '
                              f'{self._way_out}name another folder')
        changed = [name for name in there if not marker.is_ours(self.folder, name)]
        if changed:
            raise OutputError(f'{self.name}: {_names(changed)} changed since diception made it; '
                              'move it away, or name another folder')

    def _check_inputs(self) -> None:
        inside = self._homes.get(_identity(self.folder))
        if inside is not None:
            raise OutputError(f'{self.name}: the input {inside} lies in it; name another folder')

    def _check_place(self, place: Path) -> None:
        if not place.is_dir():
            raise OutputError(f'{self.name}: {place} is a file; name another folder')
        if not os.access(place, os.W_OK | os.X_OK):
            raise OutputError(f'{self.name}: {place} cannot be written; name another folder')
        free = shutil.disk_usage(place).free
        if self.needed > free:
            raise OutputError(f'{self.name}: needs {self.needed / 1e9:.2f} GB of disk, '
                              f'{free / 1e9:.2f} GB are free; free some or name another folder')

    # --- the work ---

    def __enter__(self) -> Path:
        """Check, and give the path to write to: it does not exist yet."""
        self.check()
        self._sweep()
        # In the folder itself where it exists, which may be a mounted disk: renames stay on it.
        home = self.folder if self.folder.exists() else self.folder.parent
        self._new_parents = [p for p in (home, *home.parents) if not p.exists()]
        home.mkdir(parents=True, exist_ok=True)
        self._holder = Path(tempfile.mkdtemp(prefix=HOLDER, dir=home))
        self._lock = (self._holder / LOCK).open('w')
        with contextlib.suppress(OSError):  # a network disk without locks: then nobody sweeps
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._lock.write(self.folder.name)
        self._lock.flush()
        self._built = self._holder / (self.folder.name or 'root')
        return self._built

    def __exit__(self, kind, error, trace) -> None:
        with self._lock:
            if kind is None and self._built.exists():
                try:
                    self._finish()
                except (OutputError, OSError) as why:
                    (self._holder / LOCK).unlink()  # nobody sweeps it away
                    raise OutputError(f'{" ".join(str(why).split())}; the new results are whole, '
                                      f'in {self._built}') from None
            shutil.rmtree(self._holder, ignore_errors=True)
            for parent in self._new_parents:
                if not _removed(parent):
                    break

    def _sweep(self) -> None:
        """Remove what a run that was killed has left beside this very folder."""
        for home in {self.folder, self.folder.parent}:
            for holder in home.glob(f'{HOLDER}*'):
                with contextlib.suppress(OSError), (holder / LOCK).open('r+') as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if lock.read() == self.folder.name:
                        shutil.rmtree(holder)
                        print(f'diception: removed {holder}, half of the results of a run that '
                              'was killed', file=sys.stderr)

    def _finish(self) -> None:
        marker = Marker(self.made_by, _states(self._built))
        if self.folder.exists():
            self.check()
            self._merge(marker)
        else:
            marker.write(self._built)
            self._built.rename(self.folder)

    def _merge(self, new: Marker) -> None:
        """Put the new files in place of the old ones of our making. Whoever is interrupted here
        leaves old and new ones, all known to be ours."""
        old = Marker.of(self.folder) or Marker(self.made_by)
        for name in new.files:
            if os.path.lexists(self.folder / name) and not old.is_ours(self.folder, name) or \
                    _through_a_link(self.folder, name):
                raise OutputError(f'{self.name}: {name} is not of our making and in the way')
        both = {name: old.files.get(name, []) + new.files.get(name, [])
                for name in {**old.files, **new.files}}
        Marker(self.made_by, both).write(self.folder)
        for name in new.files:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self._built / name).replace(self.folder / name)
        for name in set(old.files) - set(new.files):
            if old.is_ours(self.folder, name):
                (self.folder / name).unlink()
                for empty in list((self.folder / name).parents):
                    if empty == self.folder or not _removed(empty):
                        break
        new.write(self.folder)


def homes_of(inputs: Iterable[str | Path]) -> dict[tuple[int, int], str]:
    """Every folder that an input is or lies in, by what it is and not by how it is spelled, and
    that input. What does not exist is left out."""
    homes: dict[tuple[int, int], str] = {}
    for one in inputs:
        real = Path(os.path.realpath(os.path.expanduser(one)))
        for home in (real, *real.parents) if real.exists() else ():
            homes.setdefault(_identity(home), str(one))
    return homes


def _is_holder(file: Path) -> bool:
    return file.name.startswith(HOLDER) and file.is_dir()


def _identity(path: Path) -> tuple[int, int] | None:
    """What a path is, however it is spelled; None if it does not exist."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _removed(folder: Path) -> bool:
    """Whether a folder was empty, and is gone now."""
    try:
        folder.rmdir()
    except OSError:
        return False
    return True


class RunFolder(OutputFolder):
    """The folder of a run that takes hours and goes on when called again. `inputs` as above.

    `begin` makes it ours; `file` replaces one file of it.
    """

    def _check_own(self, marker: Marker, there: list[str]) -> None:
        if marker.made_by != self.made_by:
            raise OutputError(f'{self.name}: holds results of `{marker.made_by}`; name another '
                              'folder')

    def begin(self) -> None:
        """Check, and make the folder if it is not there."""
        self.check()
        self.folder.mkdir(parents=True, exist_ok=True)
        if Marker.of(self.folder) is None:
            Marker(self.made_by).write(self.folder)

    @contextlib.contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """A path beside the file `name`, which takes its place when the block ends well."""
        marker = Marker.of(self.folder) or Marker(self.made_by)
        if os.path.lexists(self.folder / name) and not marker.is_ours(self.folder, name):
            raise OutputError(f'{self.folder / name}: changed since diception made it; move it '
                              'away')
        beside = self.folder / f'.partial-{name}'
        try:
            yield beside
            marker = Marker.of(self.folder) or marker
            states = [_state(self.folder / name), _state(beside)]
            marker.files[name] = [state for state in states if state]
            marker.write(self.folder)
            beside.replace(self.folder / name)
        finally:
            beside.unlink(missing_ok=True)


@contextlib.contextmanager
def log_file(folder: Path, name: str) -> Iterator[Path]:
    """A file for what a process says, which moves into `folder` when the block ends well.

    Otherwise it stays where it is, outside, for whoever wants to know what went wrong.
    """
    home = Path(tempfile.mkdtemp(prefix='diception-'))
    yield home / name
    shutil.move(home / name, folder / name)
    home.rmdir()


@contextlib.contextmanager
def output_file(file: str | Path, *, option: str = '--out') -> Iterator[Path]:
    """A path with the same suffix, which becomes the new file `file` when the block ends well.

    Raises OutputError if there is something of that name already, or the place cannot be written.
    """
    check_file(file, option=option)
    file = Path(os.path.realpath(os.path.expanduser(file)))
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=HOLDER, dir=file.parent) as holder:
        yield Path(holder) / file.name
        check_file(file, option=option)
        (Path(holder) / file.name).rename(file)


def check_file(file: str | Path, *, option: str = '--out') -> None:
    """Raise OutputError if `output_file` would."""
    name, file = f'{option} {file}', Path(os.path.expanduser(file))
    if os.path.lexists(file):
        raise OutputError(f'{name}: exists already; remove it or name another file')
    place = next(p for p in file.absolute().parents if p.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise OutputError(f'{name}: {place} cannot be written; name another file')

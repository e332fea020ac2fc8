"""The folders below `runs/`: made and removed in one step, numbered without repetition, cleared of what died half-way."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from codex.core import clock
from codex.core.files import fsync_folder, write_atomic
from codex.runs.command import python_module
from codex.runs.locks import RunLock, lock_file
from codex.runs.record import Run, run_name, run_number, write_run
from codex.runs.status import Status, write_status

LEFTOVER_SECONDS = 60.0
NEW, DELETED, HIGHEST = ".new-", ".deleted-", ".highest-"


def run_folders(parent: Path) -> list[Path]:
    """Folders of runs, by number."""
    if not parent.is_dir():
        return []
    found = [(number, path) for path in parent.iterdir() if (number := run_number(path.name)) is not None and path.is_dir()]
    return [path for _, path in sorted(found)]


def make(parent: Path, kind: str, title: str, files: Mapping[str, str]) -> Run:
    """Make a run that holds `files` (name to text); it appears whole, under the next number, or not at all.

    Raises:
        OSError: the disk is full, or `parent` cannot be written.
    """
    hidden = parent / f"{NEW}{os.getpid()}-{secrets.token_hex(4)}"
    try:
        hidden.mkdir()
        lock = RunLock.take(hidden)
        assert lock is not None, "nobody else knows the name of a folder just made"
        with lock:  # tells the sweep of other processes that its maker lives
            (hidden / "checkpoints").mkdir()
            for name, text in files.items():
                write_atomic(hidden / name, text)
            write_status(hidden, Status())
            return _publish(parent, Run("", kind, title, clock.now(), (), hidden))
    finally:
        shutil.rmtree(hidden, ignore_errors=True)  # renamed away where all went well; what cannot be removed stays hidden


def _publish(parent: Path, run: Run) -> Run:
    number = highest_number(parent) + 1
    while True:
        folder = parent / run_name(number)
        named = replace(run, id=folder.name, argv=tuple(python_module("codex.runs.worker", folder)))
        write_run(named)
        try:
            run.folder.rename(folder)  # refused where another process took the number first, for its folder is not empty
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            number += 1
            continue
        fsync_folder(parent)
        return replace(named, folder=folder)


def discard(parent: Path, folder: Path) -> None:
    """Remove a run's folder; its lock must be held, and its number is not given again.

    Raises:
        OSError: it cannot be removed.
    """
    _remember(parent, run_number(folder.name) or 0)
    hidden = parent / f"{DELETED}{folder.name}-{secrets.token_hex(4)}"
    folder.rename(hidden)  # gone for everybody in one step; what follows may take its time
    fsync_folder(parent)
    _remove(hidden)


def withdraw(parent: Path, folder: Path) -> None:
    """Remove the folder of a run that never began, on a disk that may be full; its number may be given again.

    Raises:
        OSError: it cannot be removed.
    """
    hidden = parent / f"{DELETED}{folder.name}-{secrets.token_hex(4)}"
    folder.rename(hidden)
    _remove(hidden)


def highest_number(parent: Path) -> int:
    """The highest number that any run has, or had when it was deleted."""
    names = [path.name.removeprefix(HIGHEST) for path in parent.iterdir()]
    return max((number for name in names if (number := run_number(name)) is not None), default=0)


def _remember(parent: Path, number: int) -> None:
    """Keep `number` from being given again: rows of the session log go on naming the run that had it."""
    (parent / f"{HIGHEST}{run_name(number)}").touch()
    for marker in parent.glob(f"{HIGHEST}*"):
        if (run_number(marker.name.removeprefix(HIGHEST)) or 0) < number:
            marker.unlink(missing_ok=True)


def sweep(parent: Path) -> None:
    """Remove what makers and deleters that died left half done."""
    for folder in (*parent.glob(f"{NEW}*"), *parent.glob(f"{DELETED}*")):
        with contextlib.suppress(OSError):  # another process sweeps it, or it belongs to another user: it stays hidden
            # A folder so young may belong to a maker that is about to lock it.
            if time.time() - folder.stat().st_mtime > LEFTOVER_SECONDS:
                _remove_unless_locked(folder)


def _remove_unless_locked(folder: Path) -> None:
    if not lock_file(folder).exists():
        _remove(folder)
        return
    lock = RunLock.take(folder)
    if lock is not None:
        with lock:
            _remove(folder)


def _remove(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # another process removes it as well
        shutil.rmtree(folder)

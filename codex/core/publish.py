"""Give a file that is whole its name, without ever taking the name from another file."""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from codex.core.files import fsync_folder


@contextmanager
def draft_in(folder: Path) -> Generator[Path]:
    """A hidden name in `folder` for a file that is being written; what still has it in the end is removed."""
    path = folder / f".{secrets.token_hex(8)}.tmp"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def publish(draft: Path, path: Path) -> None:
    """Name the file `draft` also `path`, in the same folder, unless something is called so; it survives a power loss.

    Raises:
        FileExistsError: something is called so.
        OSError: the folder cannot be written.
    """
    with open(draft, "rb") as file:
        os.fsync(file.fileno())
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        _take(draft, path)
    fsync_folder(path.parent)


def _take(draft: Path, path: Path) -> None:
    """Take the name first, so that nobody else can, then put the whole file in its place."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    try:
        draft.replace(path)
    except OSError:
        path.unlink()
        raise

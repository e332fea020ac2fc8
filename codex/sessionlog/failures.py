"""What DuckDB and tantivy say when a log's files are damaged, the disk is full or memory is short, in words to act on.

This is the one place that knows their errors.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from codex.core.errors import WorkspaceError

_NO_ROOM = ("No space left on device", "File too large", "Disk quota exceeded", "max_temp_directory_size")


@contextmanager
def reading(folder: Path) -> Generator[None]:
    """Say an error of DuckDB's, met while the parts in `folder` are asked, in our words.

    Raises:
        WorkspaceError: it cannot read them, or not with the memory that it may take.
    """
    try:
        yield
    except Exception as error:
        said = _while_reading(folder, error)
        if said is None:
            raise
        raise said from error


@contextmanager
def compacting(folder: Path) -> Generator[None]:
    """Say an error of DuckDB's, met while the parts in `folder` are made, in our words.

    Raises:
        WorkspaceError: the disk is full, memory is short, or a part cannot be read.
    """
    try:
        yield
    except Exception as error:
        said = _while_compacting(folder, error)
        if said is None:
            raise
        raise said from error


def is_tantivy(error: BaseException) -> bool:
    """Whether an error is one that tantivy raises: a ValueError, or a panic, which is no Exception and has no class to import."""
    return isinstance(error, ValueError) or type(error).__name__ == "PanicException"


def has_no_room(error: BaseException) -> bool:
    """Whether an error says that the disk is full."""
    return any(words in str(error) for words in _NO_ROOM)


def is_locked_out(error: BaseException) -> bool:
    """Whether an error of tantivy's says that it cannot take a lock of its own, as in a folder that may only be read."""
    return "Failed to acquire Lockfile" in str(error)


def is_refused(error: BaseException) -> bool:
    """Whether an error of tantivy's says that the system lets it do nothing, which tells nothing of the files."""
    return is_locked_out(error) or "PermissionDenied" in str(error) or "ReadOnlyFilesystem" in str(error)


def plainly(error: BaseException) -> str:
    """An error's first line, without the JSON that DuckDB wraps its own errors in."""
    line = next(iter(str(error).splitlines()), type(error).__name__)
    before, brace, after = line.partition('{"exception_type"')
    if not brace:
        return line
    try:
        return str(json.JSONDecoder().raw_decode(brace + after)[0]["exception_message"])
    except (ValueError, KeyError):
        return before.rstrip(": ")


def _of_duckdb(error: Exception, name: str) -> bool:
    duckdb = sys.modules.get("duckdb")  # whoever has not imported it has met no error of its
    return duckdb is not None and isinstance(error, getattr(duckdb, name))


def _while_reading(folder: Path, error: Exception) -> WorkspaceError | None:
    if not _of_duckdb(error, "Error"):
        return None
    what = f"the session log in {str(folder)!r} cannot be read ({plainly(error)})"
    if _of_duckdb(error, "OutOfMemoryException"):
        return WorkspaceError(what, "expected it to fit in memory", "Ask for less at once, or end other programs.")
    return WorkspaceError(what, "expected the parts that MANIFEST names", "Look with `codex-ml logs doctor`.")


def _while_compacting(folder: Path, error: Exception) -> WorkspaceError | None:
    if not _of_duckdb(error, "Error"):
        return None
    what = f"the session log in {str(folder)!r} cannot be compacted ({plainly(error)})"
    if has_no_room(error):
        expected = "expected a disk with room for a second copy of the newest events"
        return WorkspaceError(what, expected, "Free some room; nothing is lost, and the log stays readable as it is.")
    if _of_duckdb(error, "OutOfMemoryException"):
        expected = "expected it to fit in memory"
        return WorkspaceError(
            what, expected, "End other programs, and compact again; nothing is lost, and the log stays readable as it is."
        )
    return WorkspaceError(what, "expected parts that can be read, and a disk that works", "Look with `codex-ml logs doctor`.")

"""Where an export goes: a new file, complete or not there at all, or a stream that somebody else opened."""

from __future__ import annotations

import gzip
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from codex.core.errors import UserError
from codex.core.publish import draft_in, publish


class Sink(Protocol):
    """What takes bytes, one after the other."""

    def write(self, data: bytes, /) -> object:
        """Take `data`."""
        ...


@contextmanager
def new_file(path: Path) -> Generator[Path]:
    """A draft beside `path` to write to; it gets that name when the block ends well, and is removed when it does not.

    Raises:
        UserError: something is called `path` already, or it cannot be written.
    """
    if path.exists() or path.is_symlink():
        raise _taken(path)
    try:
        with draft_in(path.parent) as draft:
            yield draft
            publish(draft, path)
    except FileExistsError as error:
        raise _taken(path) from error
    except OSError as error:
        raise cannot_write(path, error) from error


@contextmanager
def opened(target: Path | IO[bytes]) -> Generator[Sink]:
    """Where to write the bytes of `target`: a new file, packed when its name ends in `.gz`, or the stream that it is.

    Raises:
        UserError: the file is there already, or cannot be written. What goes wrong with a stream is its owner's to mend.
    """
    if not isinstance(target, Path):
        yield target
        target.flush()
        return
    with new_file(target) as draft, open(draft, "wb") as file:
        if target.suffix == ".gz":
            with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:  # no name and no time: the same events, the same bytes
                yield packed
        else:
            yield file


def cannot_write(path: Path, error: Exception) -> UserError:
    """The error of an export that failed."""
    reason = (error.strerror if isinstance(error, OSError) else None) or error
    return UserError(
        f"{str(path)!r} was not written ({reason})",
        "expected a folder that is there, may be written and has room",
        "Choose another path, or make room.",
    )


def _taken(path: Path) -> UserError:
    return UserError(f"{str(path)!r} is there already", "expected the path of a new file", "Choose another, or remove it first.")

"""Data on stdout: CSV, and what comes as bytes."""

from __future__ import annotations

import codecs
import csv
import io
import sys
import tempfile
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from codex.cli.terminal import is_terminal, printable, silence
from codex.core.errors import UserError

CHUNK_BYTES = 65_536
SPOOLED_BYTES = 64 * 2**20
"""How much of an answer is kept in memory; more goes to a temporary file."""


class DataOut:
    """Stdout for data, which is UTF-8 whatever the locale says; on a terminal, what that would obey is escaped.

    What was written is held back until there is a good deal of it, or `flush`: of what fails soon, nothing is written.
    """

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._size = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def write(self, data: bytes, /) -> int:
        """Take `data`."""
        self._held.append(bytes(data))
        self._size += len(data)
        if self._size >= CHUNK_BYTES:
            self.flush()
        return len(data)

    def flush(self) -> None:
        """Write what was held back; a reader that has left raises `BrokenPipeError`, a disk that is full a message."""
        data, self._held, self._size = b"".join(self._held), [], 0
        try:
            self._deliver(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            silence(sys.stdout)
            raise UserError(
                f"the output cannot be written ({error.strerror or error})",
                "expected a terminal, a pipe, or a file on a disk with room",
                "Make room, or write it elsewhere.",
            ) from error

    def _deliver(self, data: bytes) -> None:
        stream = sys.stdout
        if stream is None:  # the program was started with this output closed
            return
        raw = getattr(stream, "buffer", None)
        if is_terminal(stream) or raw is None:
            stream.write(printable(self._decoder.decode(data)))
        else:
            stream.flush()
            raw.write(data)
        stream.flush()


@contextmanager
def whole_or_none() -> Generator[BinaryIO]:
    """A file whose content goes to stdout when the block ends well; one that fails in the middle writes nothing.

    A reader that takes its time, such as a pager, does not hold up who fills the file.

    Raises:
        UserError: there is no room for the file.
    """
    with tempfile.SpooledTemporaryFile(SPOOLED_BYTES) as file:
        try:
            yield cast("BinaryIO", file)
            file.seek(0)
        except OSError as error:
            raise UserError(
                f"the answer cannot be kept in {tempfile.gettempdir()!r} ({error.strerror or error})",
                "expected room for all of it",
                "Ask for less, or name another folder in the variable TMPDIR.",
            ) from error
        target = DataOut()
        while piece := file.read(CHUNK_BYTES):
            target.write(piece)
        target.flush()


def csv_table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows as CSV under a line of headings; a missing value is nothing."""
    target = DataOut()
    for row in (headings, *rows):
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(row)
        target.write(line.getvalue().encode(errors="backslashreplace"))
    target.flush()

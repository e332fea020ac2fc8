"""Files of JSON lines: one event a line, of ours or of others."""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zlib
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Final, cast

from codex.core.errors import UserError
from codex.core.events import Event
from codex.sessionlog.frames import decode
from codex.sessionlog.interchange.files import opened
from codex.sessionlog.interchange.rows import Findings, Unfit, event_of, parse_json

_DAMAGED: Final = Unfit(
    "expected a frame of a segment as it was written, its checksum last",
    "Take the line from a whole copy, or leave it out; remove `crc` from a line that was rewritten on purpose.",
)
_NO_OBJECT: Final = Unfit("expected one JSON object a line", "Correct the line, or leave it out.")
_UNNUMBERED: Final = Unfit("expected `seq` in every line or in none", "Import the two kinds of lines as files of their own.")


def read(source: Path | IO[bytes]) -> Iterator[Event]:
    """The events of a file of JSON lines, or of a stream of them, in the order of the lines.

    A line is an event of ours, a frame of one of our segments, whose checksum is checked, or an object with `ts`, `session_id`
    or `session`, `role`, and `message` or `content`. Without `seq`, a session's events get one in the order of the lines. All
    lines are checked before the first event comes; a stream goes to a temporary file meanwhile. Not covered: whether a session
    has a `seq` twice, which shows when the events are added to a log.

    Args:
        source: a path, unpacked when its name ends in `.gz`, or an open binary stream, read from where it stands.

    Raises:
        UserError: it cannot be read, or some lines are wrong; it names the first 20 of them, and nothing was given.
    """
    name = source.name if isinstance(source, Path) else "the input"
    findings = Findings(name)
    try:
        with _rewindable(source) as file:
            lines = _Lines(file, findings)
            deque(lines.events(), maxlen=0)
            findings.refuse()
            yield from lines.events()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(
            f"{str(source) if isinstance(source, Path) else name!r} cannot be read ({error})",
            "expected a file of JSON lines, or one packed by gzip whose name ends in `.gz`",
            "Check the path, and that the file is complete.",
        ) from error


def write(target: Path | IO[bytes], events: Iterable[Event]) -> int:
    """Write `events`, one JSON object a line with all columns of `Event`, to a new file or to a stream.

    A loss that is not finite is "NaN" or "Infinity".

    Args:
        target: the path of a new file, packed when its name ends in `.gz`; or an open binary stream, which stays open.
        events: as a log gives them.

    Returns:
        How many were written.

    Raises:
        UserError: something is called so already, or it cannot be written.
    """
    count = 0
    with opened(target) as sink:
        for event in events:
            sink.write(event.model_dump_json().encode() + b"\n")
            count += 1
    return count


@contextmanager
def _rewindable(source: Path | IO[bytes]) -> Generator[IO[bytes]]:
    """The bytes of `source`, to be read twice; those of a pipe are kept in a temporary file."""
    with ExitStack() as stack:
        file: IO[bytes] = stack.enter_context(open(source, "rb")) if isinstance(source, Path) else source
        if not (isinstance(source, Path) and file.seekable()):
            kept = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(file, kept)
            kept.seek(0)
            file = kept
        if isinstance(source, Path) and source.suffix == ".gz":
            file = cast("IO[bytes]", stack.enter_context(gzip.GzipFile(fileobj=file)))
        yield file


class _Lines:
    """The lines of a file, read twice: to check them all, and to give their events."""

    def __init__(self, file: IO[bytes], findings: Findings) -> None:
        self._file = file
        self._findings = findings
        self._end: int | None = None

    def events(self) -> Iterator[Event]:
        """The events of the good lines; the second time no further than the first, should the file have grown."""
        self._file.seek(0)
        numbers = _Numbers()
        number = 0
        for number, line in enumerate(self._file, 1):
            if self._end is not None and number > self._end:
                return
            text = line.strip().removeprefix(b"\xef\xbb\xbf")  # a byte order mark, as some editors put it first
            event = self._event(text, f"line {number}", numbers) if text else None
            if event:
                yield event
        self._end = number

    def _event(self, line: bytes, where: str, numbers: _Numbers) -> Event | None:
        try:
            row = parse_json(line)
        except ValueError as error:
            return self._wrong(where, f"the line is {_start(line)}", Unfit(f"{_NO_OBJECT.expected} ({error})", _NO_OBJECT.fix))
        if not isinstance(row, dict):
            return self._wrong(where, f"the line is {_start(line)}", _NO_OBJECT)
        fields = cast("dict[str, Any]", row)
        if not numbers.fit(fields):
            return self._wrong(where, "only some lines have `seq`", _UNNUMBERED)
        if "crc" in fields:
            framed = decode(line)
            if framed is None:
                return self._wrong(where, f"`crc` is {fields['crc']!r} and does not match", _DAMAGED)
            fields = framed.model_dump()  # a frame of long ago may hold what is refused today
        return event_of(fields, where, self._findings)

    def _wrong(self, where: str, what: str, unfit: Unfit) -> None:
        self._findings.add(where, what, unfit)


class _Numbers:
    """Numbers the events of each session that have no `seq`, in the order in which they come."""

    def __init__(self) -> None:
        self._numbered: bool | None = None
        self._next: dict[str, int] = {}

    def fit(self, row: dict[str, Any]) -> bool:
        """Whether `row` has a `seq` or has none like all before it; gives it one when it has none."""
        numbered = row.get("seq") is not None
        if self._numbered is None:
            self._numbered = numbered
        if not numbered:
            session = str(row.get("session_id", row.get("session")))
            row["seq"] = self._next.get(session, 0)
            self._next[session] = row["seq"] + 1
        return numbered == self._numbered


def _start(line: bytes) -> str:
    return repr(line[:40].decode(errors="replace") + ("…" if len(line) > 40 else ""))

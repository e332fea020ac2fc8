"""A session that is being written."""

from __future__ import annotations

import os
import re
import reprlib
import secrets
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypedDict, Unpack

from pydantic import ValidationError

from codex.core import clock
from codex.core.errors import UserError, WorkspaceError
from codex.core.events import Event, Role
from codex.sessionlog.forks import forget_after_fork
from codex.sessionlog.frames import decode, encode
from codex.sessionlog.summary import MARK

if TYPE_CHECKING:
    from codex.sessionlog.locks import SessionLock
    from codex.sessionlog.redaction import Redactor
    from codex.sessionlog.writer import SegmentWriter

DURABLE_ROLES: Final = frozenset({"user", "assistant", "tool", "error"})
DURABLE_KINDS: Final = frozenset({"decision", "evaluation"})

MAX_ID: Final = 150
"""Characters of a session's id at most."""

_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_ID - 1}}}")


class Columns(TypedDict, total=False):
    """The promoted columns of an event; `latency_ms` in milliseconds."""

    tool: str | None
    model: str | None
    latency_ms: float | None
    tokens_in: int | None
    tokens_out: int | None
    run_id: str | None
    step: int | None
    loss: float | None


def new_id(kind: str) -> str:
    """A session id that nobody else makes: kind, time, chance."""
    stamp = clock.iso(clock.now())[:19].replace(":", "").replace("-", "").replace("T", "-")
    return f"{kind}-{stamp}-{secrets.token_hex(4)}"


def check_id(session: str) -> str:
    """`session`, when it can name a session.

    Raises:
        UserError: it cannot.
    """
    if not _ID.fullmatch(session):
        raise UserError(
            f"session id {session!r} cannot be used",
            "expected 1 to 150 letters, digits, `.`, `_` or `-`, the first a letter or digit",
            "Choose another, or leave `id` out to get a new one.",
        )
    return session


def without_secrets(fields: dict[str, Any], redactor: Redactor) -> dict[str, Any]:
    """The fields of an event whose content and attributes hold no secret; `redacted` counts what was taken out."""
    content, found = redactor.redact(fields["content"]) if isinstance(fields["content"], str) else (fields["content"], {})
    attributes, more = redactor.redact_value(fields["attributes"]) if fields["attributes"] else (fields["attributes"], {})
    if content is fields["content"] and attributes is fields["attributes"]:
        return fields
    count = sum(found.values()) + sum(more.values())
    return {**fields, "content": content, "attributes": attributes, "redacted": fields.get("redacted", 0) + count}


class Session:
    """An ordered list of events under one id, open for appending; made by `SessionLog.session`. Safe across threads.

    Args:
        id: the session's id.
        redactor: takes secrets out of what is appended.
        kind: the kind of its events, unless an append names another.
        run_id: the run of its events, unless an append names another.
    """

    def __init__(
        self, writer: SegmentWriter, lock: SessionLock, redactor: Redactor, *, id: str, kind: str, next_seq: int, run_id: str | None
    ) -> None:
        self.id: Final = id
        self._redactor = redactor
        self._writer = writer
        self._lock = lock
        self._kind = kind
        self._run_id = run_id
        self._next_seq = next_seq
        self._pid = os.getpid()
        self._closed = False
        self._order = threading.Lock()
        forget_after_fork(self)

    @property
    def closed(self) -> bool:
        """Whether it takes no more events."""
        return self._closed

    def append(
        self,
        role: Role,
        content: str = "",
        *,
        kind: str | None = None,
        attributes: dict[str, Any] | None = None,
        **columns: Unpack[Columns],
    ) -> Event:
        """Add an event; every reader sees it when this returns. Secrets in it are replaced before it reaches the disk.

        What a person, a model or a tool said, errors, decisions and evaluations survive a power loss from then on; other
        events do so some 10 ms later.

        Args:
            role: who speaks.
            content: what is said.
            kind: what the event is about, when that is not the session's kind.
            attributes: anything else that JSON can hold; numbers that are not finite become "NaN" or "Infinity".
            columns: the promoted columns.

        Returns:
            The event as it stands in the log.

        Raises:
            WorkspaceError: there is no room, or the disk fails; unless it says that syncing failed, nothing was written.
            UserError: a value does not fit, or the session is not this process's to write.
        """
        fields: dict[str, Any] = {"kind": self._kind if kind is None else kind, "run_id": self._run_id, **columns}
        return self._add(role, content, attributes or {}, fields)

    def _add(self, role: Role, content: str, attributes: dict[str, Any], fields: dict[str, Any], *, last: bool = False) -> Event:
        with self._order:
            self._check_open()
            self._closed = last
            event, frame = self._event({"role": role, "content": content, "attributes": attributes, **fields})
            self._next_seq += 1  # before writing: an interrupt in between may then leave a gap, but never use a seq twice
            try:
                ticket = self._writer.write(frame)
            except WorkspaceError:
                self._next_seq -= 1
                raise
        if event.role in DURABLE_ROLES or event.kind in DURABLE_KINDS:
            self._writer.sync(ticket)
        else:
            self._writer.sync_soon()
        return event

    def _event(self, fields: dict[str, Any]) -> tuple[Event, bytes]:
        """The next event, as it will be read back, and its frame."""
        try:
            asked = Event(session=self.id, seq=self._next_seq, ts=clock.now(), **without_secrets(fields, self._redactor))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise UserError(
                f"`{where}` of an event is {reprlib.repr(first['input'])}",
                first["msg"][0].lower() + first["msg"][1:],
                "Change it, or put it into `attributes`.",
            ) from error
        frame = encode(asked)
        stored = decode(frame[:-1])
        if stored is None:
            raise UserError("attributes nest too deeply to be read back", "expected fewer than 200 levels", "Flatten them.")
        return stored, frame

    def _check_open(self) -> None:
        if self._pid != os.getpid():
            raise UserError(
                f"session {self.id!r} belongs to process {self._pid}, from which this one was forked",
                "expected one writer of a session at a time",
                "Start a session of this process: `log.session(...)`.",
            )
        if self._closed:
            raise UserError(
                f"session {self.id!r} is closed", "expected an open session", f"Continue it: `log.session(..., id={self.id!r})`."
            )

    def close(self, outcome: str = "finished", *, role: Role = "info", content: str = "", attributes: dict[str, Any] | None = None) -> None:
        """End the session with an event that says how, synced to disk; a second close does nothing.

        Raises:
            WorkspaceError: the ending cannot be written; the session is closed all the same.
        """
        if self._closed or self._pid != os.getpid():
            return
        try:
            marks = {**(attributes or {}), MARK: "ended", "outcome": outcome}
            self._add(role, content, marks, {"kind": self._kind, "run_id": self._run_id}, last=True)
            self._writer.flush()
        finally:
            self._lock.release()

    def forget_parent(self) -> None:
        """In a forked child: a lock held by one of the parent's threads would never be released."""
        self._order = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None or (isinstance(error, SystemExit) and not error.code):
            self.close()
            return
        failed = isinstance(error, Exception)
        try:
            self.close(
                "failed" if failed else "interrupted",
                role="error" if failed else "warning",
                content=f"{type(error).__name__}: {error}",
                attributes={"exception": type(error).__name__},
            )
        except WorkspaceError as unwritten:
            error.add_note(f"The session log does not have this ending: {unwritten}")

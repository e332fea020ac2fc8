"""One session in short, kept up to date event by event."""

from __future__ import annotations

from dataclasses import dataclass, field

from codex.core.events import Event

MARK = "session_event"
"""The attribute that marks a session's own events: its value is `opened`, `continued` or `ended`."""

_MOST = 2**63 - 1


def _held(total: int) -> int:
    """`total`, or the largest or smallest number that a column can hold, as in the rollup."""
    return min(max(total, -_MOST), _MOST)


@dataclass
class Summary:
    """What the rollup says of a session; see `codex.sessionlog.rollup`. `started` and `last` in seconds since the epoch."""

    id: str
    kind: str = ""
    title: str = ""
    started: float = float("inf")
    last: float = float("-inf")
    first_seq: int = 2**63 - 1
    last_seq: int = -1
    events: int = 0
    run_id: str | None = None
    outcome: str | None = None
    errors: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    redacted: int = 0
    roles: set[str] = field(default_factory=set[str])
    tools: set[str] = field(default_factory=set[str])
    models: set[str] = field(default_factory=set[str])
    _run_seq: int = 2**63 - 1

    def add(self, event: Event) -> None:
        """Count an event that was not counted before; events may come in any order."""
        mark = event.attributes.get(MARK)
        if event.seq < self.first_seq:
            self.first_seq, self.kind = event.seq, event.kind
            self.title = event.content if mark == "opened" else ""
        if event.seq > self.last_seq:
            self.last_seq = event.seq
            self.outcome = str(event.attributes.get("outcome")) if mark == "ended" else None
        if event.run_id is not None and event.seq < self._run_seq:
            self._run_seq, self.run_id = event.seq, event.run_id
        self.started = min(self.started, event.ts)
        self.last = max(self.last, event.ts)
        self._sums(event)

    def _sums(self, event: Event) -> None:
        self.events += 1
        self.errors += event.role == "error"
        self.tokens_in = _held(self.tokens_in + (event.tokens_in or 0))
        self.tokens_out = _held(self.tokens_out + (event.tokens_out or 0))
        self.redacted = _held(self.redacted + event.redacted)
        self.roles.add(event.role)
        if event.tool is not None:
            self.tools.add(event.tool)
        if event.model is not None:
            self.models.add(event.model)

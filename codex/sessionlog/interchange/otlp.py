"""The calls of models and tools as OpenTelemetry spans, in OTLP's JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from codex.core.events import Event
from codex.core.version import VERSION
from codex.sessionlog.interchange.conventions import SCHEMA_URL
from codex.sessionlog.interchange.files import Sink, opened
from codex.sessionlog.interchange.spans import Calls, attribute


@dataclass(frozen=True)
class Exported:
    """What an export holds.

    Args:
        spans: how many spans; an agent's session has one of its own besides those of its calls.
        skipped: how many events are no span: questions, settings, steps of training.
    """

    spans: int
    skipped: int


def write(target: Path | IO[bytes], events: Iterable[Event], *, content: bool = False, lines: bool = False) -> Exported:
    """Write the calls among `events` as spans: one trace a session, with ids that are the same whenever it is exported.

    An `assistant` event is a span `chat MODEL`, a `tool` event `execute_tool TOOL`; an `error` event that names a model or a tool
    is such a call that failed. A call ends at the event's `ts` and lasts its `latency_ms`. A session of kind `agent` has a span
    `invoke_agent` around its calls. Names and values are those of the GenAI semantic conventions in the version that
    `conventions.py` pins; `codex.seq` and `codex.run_id` lead back to the event.

    Args:
        target: the path of a new file, packed when its name ends in `.gz`; or an open binary stream, which stays open.
        events: session by session, each in the order of `seq`, as a log gives them.
        content: also write what was said, and what errors say. It is private, so it is left out unless asked for. The input of an
            answer is what came since the same side's last one.
        lines: a document for each session, each on a line, as the Collector's file receiver reads them; without, one for all.

    Raises:
        UserError: something is called so already, or it cannot be written.
        ValueError: a session of an agent comes in two pieces.
    """
    calls = Calls(content)
    with opened(target) as sink:
        document = _Document(sink, lines)
        for span in calls.spans(events):
            document.add(span)
        document.end()
    return Exported(document.spans, calls.skipped)


class _Document:
    """Writes spans into one document, or into one for each trace."""

    def __init__(self, sink: Sink, lines: bool) -> None:
        resource = {"attributes": [attribute("service.name", "codex-ml"), attribute("service.version", VERSION)]}
        scope: dict[str, Any] = {"scope": {"name": "codex.sessionlog", "version": VERSION}, "schemaUrl": SCHEMA_URL, "spans": []}
        head, foot = _bytes({"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}).split(b'"spans":[]')
        self._head, self._foot = head + b'"spans":[', b"]" + foot + b"\n"
        self._sink = sink
        self._lines = lines
        self._trace: str | None = None
        self.spans = 0

    def add(self, span: dict[str, Any]) -> None:
        """Write one more span."""
        if self._trace is None:
            before = self._head
        elif self._lines and span["traceId"] != self._trace:
            before = self._foot + self._head
        else:
            before = b"," if self._lines else b",\n"
        self._sink.write(before + _bytes(span))
        self._trace = span["traceId"]
        self.spans += 1

    def end(self) -> None:
        """Write what closes the document; one for all is there even when it has no span."""
        if self._trace is not None:
            self._sink.write(self._foot)
        elif not self._lines:
            self._sink.write(self._head + self._foot)


def _bytes(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()

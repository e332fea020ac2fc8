"""Events as spans: which of them are calls, and what OTLP's JSON says of each."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby
from typing import Any, Final, cast

from codex.core import clock
from codex.core.events import Event
from codex.sessionlog.interchange import conventions as genai
from codex.sessionlog.session import MARK

OWN_PROVIDER: Final = "codex-ml"
"""The provider of answers that name none: the models of this machine."""

NO_CALLS: Final = frozenset({"training", "evaluation", "decision", "annotation"})
"""Kinds of events that are no calls: what an assistant says there is a verdict or a note."""

_LAST: Final = 2**64 - 1
_OF_AGENT: Final = ("provider", *(entry.ours for entry in genai.ATTRIBUTES_OF_AGENT))
_MESSAGE_ROLES: Final = frozenset({"system", "user", "tool"})


@dataclass
class _Session:
    """What is known of a session while its events come.

    Args:
        id: its id.
        agent: the id of its agent's span, when it is an agent's.
        start: of its earliest call, nanoseconds since the epoch.
        end: of its last event.
        named: what its events say of the agent.
        failure: the event that ended it as failed.
        said: what was said to the model, as messages of the convention.
        answered: how many of these each side has answered.
    """

    id: str
    agent: str | None
    start: int = _LAST
    end: int = 0
    named: dict[str, Any] = field(default_factory=dict[str, Any])
    failure: Event | None = None
    said: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    answered: dict[str, int] = field(default_factory=dict[str, int])

    def note(self, event: Event) -> None:
        """Take in what `event` says of the whole session."""
        self.start = min(self.start, _start(event))
        self.end = max(self.end, _nanoseconds(event.ts))
        if self.agent:
            self.named = {name: event.attributes[name] for name in _OF_AGENT if name in event.attributes} | self.named
        if event.role == "error" and event.attributes.get(MARK) == "ended":
            self.failure = event


class Calls:
    """Finds the calls among events.

    Args:
        content: whether to tell what was said.
    """

    def __init__(self, content: bool) -> None:
        self._content = content
        self._agents: set[str] = set()
        self.skipped = 0

    def spans(self, events: Iterable[Event]) -> Iterator[dict[str, Any]]:
        """The spans of `events`; the one around an agent's calls comes after them."""
        for id, group in groupby(events, key=lambda event: event.session):
            first = next(group)
            session = self._begin(id, first)
            for event in chain((first,), group):
                session.note(event)
                operation = _operation(event)
                if operation:
                    yield self._call(event, operation, session)
                else:
                    self.skipped += 1
                if self._content and event.role in _MESSAGE_ROLES:
                    session.said.append(_message(event))
            if session.agent:
                yield self._agent(session)

    def _begin(self, id: str, first: Event) -> _Session:
        if first.kind != "agent":
            return _Session(id, None)
        if id in self._agents:
            raise ValueError(f"the events of session {id!r} come in two pieces; expected them together, as a log gives them")
        self._agents.add(id)
        return _Session(id, _hex(8, id, "agent"))

    def _call(self, event: Event, operation: str, session: _Session) -> dict[str, Any]:
        chat = operation == genai.CHAT
        subject = event.model if chat else event.tool
        remote = chat and _provider(event.attributes) != OWN_PROVIDER
        return {
            "traceId": _hex(16, session.id),
            "spanId": _hex(8, session.id, str(event.seq)),
            **({"parentSpanId": session.agent} if session.agent else {}),
            "name": f"{operation} {subject}" if subject else operation,
            "kind": genai.SPAN_KIND_CLIENT if remote else genai.SPAN_KIND_INTERNAL,
            "startTimeUnixNano": str(_start(event)),
            "endTimeUnixNano": str(_nanoseconds(event.ts)),
            "attributes": [
                attribute(genai.OPERATION, operation),
                attribute(genai.CONVERSATION, session.id),
                *(self._of_chat(event, session) if chat else self._of_tool(event)),
                attribute("codex.seq", event.seq),
                *([attribute("codex.run_id", event.run_id)] if event.run_id else []),
                *_error(event),
            ],
            **self._status(event),
        }

    def _of_chat(self, event: Event, session: _Session) -> list[dict[str, Any]]:
        finish = _finish(event)
        attributes = [
            attribute(genai.PROVIDER, _provider(event.attributes)),
            *_known(event.model_dump(include={"model", "tokens_in", "tokens_out"}), genai.COLUMNS_OF_CHAT),
            *_known({**event.attributes, "finish": finish}, genai.ATTRIBUTES_OF_CHAT),
        ]
        if self._content:
            side = str(event.attributes.get("side", ""))
            new = session.said[session.answered.get(side, 0) :]
            session.answered[side] = len(session.said)
            attributes.append(attribute(genai.INPUT_MESSAGES, new))
        if self._content and event.role == "assistant":
            parts = [{"type": "text", "content": event.content}]
            answer = {"role": "assistant", "parts": parts, "finish_reason": finish or ("error" if _failed(event) else "unknown")}
            attributes.append(attribute(genai.OUTPUT_MESSAGES, [answer]))
        return attributes

    def _of_tool(self, event: Event) -> list[dict[str, Any]]:
        attributes = [
            *_known({"tool": event.tool}, genai.COLUMNS_OF_TOOL),
            *_known(event.attributes, genai.ATTRIBUTES_OF_TOOL),
        ]
        if self._content:
            if "arguments" in event.attributes:
                attributes.append(attribute(genai.TOOL_ARGUMENTS, event.attributes["arguments"]))
            if not _failed(event):
                attributes.append(attribute(genai.TOOL_RESULT, event.content))
        return attributes

    def _agent(self, session: _Session) -> dict[str, Any]:
        """The span around the calls of an agent."""
        name = session.named.get("agent")
        return {
            "traceId": _hex(16, session.id),
            "spanId": session.agent,
            "name": f"{genai.INVOKE_AGENT} {name}" if isinstance(name, str) else genai.INVOKE_AGENT,
            "kind": genai.SPAN_KIND_INTERNAL,
            "startTimeUnixNano": str(session.start),
            "endTimeUnixNano": str(session.end),
            "attributes": [
                attribute(genai.OPERATION, genai.INVOKE_AGENT),
                attribute(genai.PROVIDER, _provider(session.named)),
                attribute(genai.CONVERSATION, session.id),
                *_known(session.named, genai.ATTRIBUTES_OF_AGENT),
                *(_error(session.failure) if session.failure else ()),
            ],
            **(self._status(session.failure) if session.failure else {}),
        }

    def _status(self, event: Event) -> dict[str, Any]:
        if not _failed(event):
            return {}
        message = {"message": event.content} if self._content else {}
        return {"status": {"code": genai.STATUS_ERROR, **message}}


def attribute(name: str, value: Any) -> dict[str, Any]:
    """One attribute in OTLP's JSON."""
    return {"key": name, "value": _value(value)}


def _value(value: Any) -> dict[str, Any]:
    """`value` as OTLP's AnyValue, whose JSON writes whole numbers as text."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)} if -(2**63) <= value < 2**63 else {"stringValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value if math.isfinite(value) else "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {"kvlistValue": {"values": [attribute(str(key), item) for key, item in items]}}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return {"arrayValue": {"values": [_value(item) for item in cast("Sequence[Any]", value)]}}
    return {} if value is None else {"stringValue": str(value)}


def _known(values: Mapping[str, Any], table: Sequence[genai.Entry]) -> Iterator[dict[str, Any]]:
    """The attributes of `table` whose values are there and of the type that the convention says; others are left out."""
    for entry in table:
        value = _typed(values.get(entry.ours), entry.type)
        if value is not None:
            yield attribute(entry.theirs, value)


def _typed(value: Any, type: genai.Type) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**63
    if type == "double":
        return float(value) if number else None
    if type == "int":
        return value if number and isinstance(value, int) else None
    text = value if isinstance(value, str) else None
    return [text] if type == "strings" and text is not None else text


def _operation(event: Event) -> str | None:
    """What `event` is a call of; None when it is none."""
    if event.kind in NO_CALLS:
        return None
    if event.role == "assistant" or (event.role == "error" and event.model and not event.tool):
        return genai.CHAT
    if event.role == "tool" or (event.role == "error" and event.tool):
        return genai.EXECUTE_TOOL
    return None


def _message(event: Event) -> dict[str, Any]:
    """What was said to the model, as a message of the convention."""
    if event.role != "tool":
        return {"role": event.role, "parts": [{"type": "text", "content": event.content}]}
    call = event.attributes.get("tool_call_id")
    named = {"id": call} if isinstance(call, str) else {}
    return {"role": "tool", "parts": [{"type": "tool_call_response", **named, "response": event.content}]}


def _failed(event: Event) -> bool:
    return event.role == "error" or bool(event.attributes.get("error")) or "exception" in event.attributes


def _error(event: Event) -> Iterator[dict[str, Any]]:
    if _failed(event):
        exception = event.attributes.get("exception")
        yield attribute(genai.ERROR_TYPE, exception if isinstance(exception, str) else genai.ERROR_TYPE_OTHER)


def _finish(event: Event) -> str | None:
    reason = event.attributes.get("finish")
    return genai.FINISH.get(reason, reason) if isinstance(reason, str) else None


def _provider(attributes: Mapping[str, Any]) -> str:
    provider = attributes.get("provider")
    return provider if isinstance(provider, str) else OWN_PROVIDER


def _nanoseconds(ts: float) -> int:
    """Since the epoch, from 1970 to 2554: all that OTLP can say."""
    return min(max(clock.microseconds(ts) * 1000, 0), _LAST)


def _start(event: Event) -> int:
    """When a call began, as far as is known."""
    latency = event.latency_ms
    lasted = round(min(latency * 1e6, _LAST)) if latency is not None and 0 < latency < math.inf else 0
    return max(_nanoseconds(event.ts) - lasted, 0)


def _hex(size: int, *parts: str) -> str:
    """An id of `size` bytes that the same parts always give."""
    return hashlib.sha256("\0".join(parts).encode()).digest()[:size].hex()

"""One session as a person reads it: who spoke when, what they said, what it took."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from codex.cli.outcome import facts
from codex.cli.terminal import Painted, Part, Tone, cells, clipped, is_terminal, one_line, out, printable, width
from codex.core import numbers

if TYPE_CHECKING:
    from codex.core.events import Event
    from codex.services.logs import Annotation, SessionInfo, Timeline

TONES: dict[str, Tone] = {"warning": "warn", "error": "bad", "user": "bold", "assistant": "live"}
OUTCOMES: dict[str, Tone] = {"finished": "good", "stopped": "warn", "failed": "bad", "interrupted": "warn"}
RATINGS: dict[int, tuple[str, Tone]] = {1: ("good", "good"), -1: ("bad", "bad")}
BESIDE = ("info", "warning")
"""Roles whose short texts stand beside their facts."""
INDENT = "    "
_UNITS = {"learning_rate": ("learning rate", numbers.rate), "grad_norm": ("gradient norm", lambda value: numbers.fixed(value, 3))}
_SHOWN = {"session_event", "outcome", "split", "attempt", "learning_rate", "grad_norm", "tokens_per_s"}


def stamp(ts: float) -> str:
    """Local date and time, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ts))


def outcome_of(info: SessionInfo) -> Painted:
    """How a session ended, in a word."""
    word = info.outcome if info.outcome is not None else "open"
    return Painted(word, OUTCOMES.get(word, "dim"))


def rating_of(info: SessionInfo) -> Painted | None:
    """How its events are rated, in a word, or with counts where some are good and some bad; None where none is either."""
    if info.rated_good and info.rated_bad:
        return Painted(f"{numbers.count(info.rated_good)} good, {numbers.count(info.rated_bad)} bad", "warn")
    said = RATINGS.get(bool(info.rated_good) - bool(info.rated_bad))
    return Painted(*said) if said else None


def tokens_of(read: int | None, written: int | None) -> str:
    """Tokens in words: "120 in, 5 out"; "5 tokens" where nothing was read; empty where nobody counted."""
    if read is not None and (read or written is None):
        return f"{numbers.count(read)} in" + ("" if written is None else f", {numbers.count(written)} out")
    return numbers.plural(written, "token") if written is not None else ""


def brief(event: Event) -> list[str]:
    """What a line says of an event beside its text."""
    said = [f"step {numbers.count(event.step)}"] if event.step is not None else []
    said += [f"{event.attributes.get('split', '')} loss {numbers.loss(event.loss)}".strip()] if event.loss is not None else []
    said += [event.tool] if event.tool else []
    said += [f"{numbers.count(event.tokens_out)} tokens"] if event.tokens_out is not None else []
    mark = event.attributes.get("session_event")
    return [*said, f"session {mark}{f', {outcome}' if (outcome := event.attributes.get('outcome')) else ''}"] if mark else said


def show_timeline(found: Timeline) -> None:
    """Write it: what it is, then each event."""
    _show_head(found.info)
    if not found.events:
        return
    out()
    digits = len(str(found.events[-1].seq))
    for event in found.events:
        _show_event(event, found.info.started, digits)
        for line in _said_of(found.annotations.get(event.seq)):
            paragraph(printable(line), "warn")


def _show_head(info: SessionInfo) -> None:
    title = one_line(info.title) or info.id
    out(Painted(clipped(title, width()) if is_terminal(sys.stdout) else title, "bold"))
    errors = f", {numbers.plural(info.errors, 'error')}" if info.errors else ""
    pairs: list[tuple[str, Any]] = [("id", info.id), ("kind", one_line(info.kind))]
    pairs += [("run", one_line(info.run_id))] if info.run_id else []
    pairs += [("started", stamp(info.started)), ("took", numbers.duration(info.last_ts - info.started))]
    pairs += [("events", f"{numbers.count(info.events)}{errors}"), ("outcome", outcome_of(info))]
    pairs += [("tokens", tokens_of(info.tokens_in, info.tokens_out))] if info.tokens_in or info.tokens_out else []
    pairs += [("rating", rating)] if (rating := rating_of(info)) else []
    pairs += [("redacted", numbers.plural(info.redacted, "secret"))] if info.redacted else []
    facts(pairs)


def _show_event(event: Event, started: float, digits: int) -> None:
    offset = _offset(event.ts - started)
    facts_, rest = one_line("  ".join(_facts(event))), one_line("  ".join(_rest(event)))
    text = printable(event.content).rstrip()
    room = width() - digits - 28 if is_terminal(sys.stdout) else sys.maxsize  # 28: the columns before it, and blanks
    said = _joined(facts_, rest)
    below = ""
    if cells(said) > room:
        said, below = (facts_, rest) if cells(facts_) <= room else ("", said)
    if event.role in BESIDE and "\n" not in text and cells(_joined(said, text)) <= room:
        said, text = _joined(said, one_line(text)), ""
    role = Painted(f"{event.role:<9}" if said else event.role, TONES.get(event.role, "dim"))
    out(Painted(f"{event.seq:>{digits}}", "dim"), f"  {offset:>11}  ", role, f"  {said}" if said else "")
    if below:
        paragraph(below, "dim")
    if text:
        paragraph(text)


def _joined(*parts: str) -> str:
    return "  ".join(part for part in parts if part)


def _offset(seconds: float) -> str:
    if abs(seconds) < 60:
        return f"{numbers.fixed(seconds, 1) if seconds < 0 else f'+{seconds:.1f}'} s"
    return f"{'+' if seconds > 0 else numbers.MINUS}{numbers.duration(abs(seconds))}"


def _facts(event: Event) -> Iterator[str]:
    """What happened besides words: figures of a step, a call, an answer."""
    if event.step is not None or event.loss is not None:
        yield from brief(event)[: (event.step is not None) + (event.loss is not None)]
    for name, (word, form) in _UNITS.items():
        value = event.attributes.get(name)
        if isinstance(value, int | float):
            yield f"{word} {form(value)}"
    speed = event.attributes.get("tokens_per_s")
    if isinstance(speed, int | float):
        yield f"{numbers.count(speed)} tokens/s"
    yield from (each for each in (event.tool, event.model) if each)
    if event.latency_ms is not None:
        yield f"{event.latency_ms:,.0f} ms" if event.latency_ms < 1000 else f"{event.latency_ms / 1000:,.1f} s"
    tokens = tokens_of(event.tokens_in, event.tokens_out)
    yield from [tokens] if tokens else []
    yield from [f"{numbers.plural(event.redacted, 'secret')} redacted"] if event.redacted else []


def _rest(event: Event) -> Iterator[str]:
    """The session's own mark, and attributes that have no words of their own, as `name=value`."""
    mark = event.attributes.get("session_event")
    if mark:
        outcome = event.attributes.get("outcome")
        yield f"session {mark}{f', {outcome}' if outcome else ''}"
    figures = event.step is not None
    for name, value in event.attributes.items():
        if name not in _SHOWN and not (figures and name in ("tokens", "memory_gib", "gpu_memory_gib")):
            yield f"{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"


def _said_of(annotation: Annotation | None) -> Iterator[str]:
    if annotation is None:
        return
    said = RATINGS.get(annotation.rating or 0)
    if said:
        yield f"Rated {said[0]}."
    if annotation.note:
        yield f"Note: {annotation.note}"
    if annotation.edit is not None:
        yield f"Better: {annotation.edit}"


def paragraph(text: str, tone: Tone | None = None, *, marks: Sequence[tuple[int, int]] = ()) -> None:
    """Write printable text, indented; on a terminal broken into lines no wider than the window, in a pipe as it is.

    Args:
        text: what to write.
        tone: of all of it.
        marks: what to set off instead, as (start, end); only in text of one line.
    """
    room = width() - len(INDENT) if is_terminal(sys.stdout) else None
    for line in text.split("\n"):
        shown = line if room is None else line.expandtabs(4)
        for start, end in [(0, len(shown))] if room is None else breaks(shown, room):
            piece = shown[start:end]
            parts: list[Part] = [*_marked(shown, start, end, marks)] if marks else [Painted(piece, tone) if tone else piece]
            out(*([INDENT, *parts] if piece else []))


def _marked(line: str, start: int, end: int, marks: Sequence[tuple[int, int]]) -> Iterator[Part]:
    """`line` from `start` to `end`, with what is marked in it set off."""
    at = start
    for begin, stop in marks:
        begin, stop = max(begin, at), min(stop, end)
        if begin < stop:
            yield line[at:begin]
            yield Painted(line[begin:stop], "bold")
            at = stop
    yield line[at:end]


def breaks(line: str, room: int) -> Iterator[tuple[int, int]]:
    """Where to break a line into pieces of at most `room` columns, at blanks where there are any, as (start, end) of each piece."""
    start, first = 0, len(line) - len(line.lstrip(" "))
    while True:
        end = start + _fitting(line[start : start + room + 1], room)
        if end >= len(line):
            yield start, len(line)
            return
        blank = line.rfind(" ", max(start, first) + 1, end + 1)
        cut = blank if blank > 0 else end
        yield start, start + len(line[start:cut].rstrip(" "))
        start = cut
        while start < len(line) and line[start] == " ":
            start += 1
        if start == len(line):
            return


def _fitting(text: str, room: int) -> int:
    """How many of the first characters fit into `room` columns; at least one."""
    if text.isascii():
        return min(len(text), room)
    used = 0
    for at, character in enumerate(text):
        used += cells(character)
        if used > room:
            return max(at, 1)
    return len(text)

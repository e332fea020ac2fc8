"""A session of the log as turns: each question with what was done and said to answer it, for each side on its own.

Where base and adapter both answer, each has a history of its own: it never saw what the other said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from codex.core.events import Event
from codex.sessionlog import Annotation
from codex.sessionlog.summary import MARK

Message = dict[str, Any]

NOT_SAID: Final = frozenset({"training", "evaluation", "decision", "annotation"})
"""Kinds of events whose words are a verdict or a note, and no part of a conversation."""
CUT_SHORT: Final = frozenset({"length", "context", "stopped"})
"""How an answer ends that does not end by itself."""
REDACTED_MARK: Final = "[redacted:"


@dataclass(frozen=True)
class Turn:
    """One question and what followed it.

    Args:
        asked: the question, and what the system said before it and before anything followed it.
        steps: answers, tool calls and errors of all sides, in order.
    """

    asked: tuple[Event, ...]
    steps: tuple[Event, ...]

    def of(self, side: str | None) -> tuple[tuple[Event, ...], tuple[Event, ...]]:
        """What one side did on the way, up to its last tool call; and its answers, of which each is whole, the last the newest."""
        own = [event for event in self.steps if event.role != "error" and _belongs(event, side)]
        done = max((at for at, event in enumerate(own, 1) if event.role == "tool"), default=0)
        return tuple(own[:done]), tuple(own[done:])

    def failed(self, side: str | None) -> bool:
        """Whether something went wrong for this side."""
        own = (event for event in self.steps if _belongs(event, side))
        return any(event.role == "error" or (event.role == "assistant" and _is_failure(event.attributes)) for event in own)

    @property
    def system(self) -> tuple[Event, ...]:
        """What the system said."""
        return tuple(event for event in self.asked if event.role == "system")


def side_of(event: Event) -> str | None:
    """Which side an event is of; None where there is only one."""
    side = event.attributes.get("side")
    return side if isinstance(side, str) else None


def _belongs(event: Event, side: str | None) -> bool:
    """Whether an event is of `side`; what is no answer and names no side is of all."""
    own = side_of(event)
    return own == side or (own is None and event.role != "assistant")


def _is_failure(attributes: Mapping[str, Any]) -> bool:
    return bool(attributes.get("error")) or "exception" in attributes


def was_cut_short(event: Event) -> bool:
    """Whether an answer stopped before its end."""
    return event.attributes.get("finish") in CUT_SHORT


def was_redacted(event: Event) -> bool:
    """Whether secrets were taken out of an event before it was stored."""
    return event.redacted > 0 or REDACTED_MARK in event.content


@dataclass(frozen=True)
class Answer:
    """One answer, and what people made of it.

    Args:
        event: it, as the model gave it.
        rating: 1 good, -1 bad, 0 neither; None when nobody rated it.
        edit: what a person wrote in its place.
        picked: whether a person chose it by hand.
    """

    event: Event
    rating: int | None
    edit: str | None
    picked: bool

    @property
    def key(self) -> tuple[str, int]:
        """(session, seq)."""
        return self.event.session, self.event.seq

    @property
    def side(self) -> str | None:
        """Whose it is."""
        return side_of(self.event)

    @property
    def text(self) -> str:
        """What it says, as a person left it."""
        return self.event.content if self.edit is None else self.edit

    @property
    def worth(self) -> int:
        """2 when a person rewrote it, else its rating; what nobody rated is 0."""
        return 2 if self.edit is not None else self.rating or 0

    @property
    def judged(self) -> bool:
        """Whether a person wants it."""
        return self.picked or self.worth > 0


@dataclass
class Talk:
    """One session, read.

    Args:
        id: its id.
        turns: its questions with what followed.
        orphans: answers before any question.
        said: what people said of its events, by seq.
        whole: whether all of it was chosen, not only `picks`.
        picks: seqs of the answers that were chosen by hand.
    """

    id: str
    turns: list[Turn]
    orphans: list[Event]
    said: Mapping[int, Annotation]
    whole: bool
    picks: frozenset[int] = field(default_factory=frozenset[int])

    @classmethod
    def of(cls, id: str, events: Iterable[Event], said: Mapping[int, Annotation], *, whole: bool, picks: frozenset[int]) -> Talk:
        """The talk that a session's events, in order, are."""
        turns: list[tuple[list[Event], list[Event]]] = []
        orphans: list[Event] = []
        system: list[Event] = []
        for event in events:
            if MARK in event.attributes or event.kind in NOT_SAID:
                continue
            if event.role == "system":
                unanswered = turns and not turns[-1][1]
                (turns[-1][0] if unanswered else system).append(event)
            elif event.role == "user":
                turns.append(([*system, event], []))
                system = []
            elif event.role in ("assistant", "tool", "error"):
                (turns[-1][1] if turns else orphans).append(event)
        heard = [Turn(tuple(asked), tuple(steps)) for asked, steps in turns]
        return cls(id, heard, [event for event in orphans if event.role == "assistant"], said, whole, picks)

    @cached_property
    def sides(self) -> tuple[str | None, ...]:
        """Who answers, in the order of appearance."""
        return tuple(dict.fromkeys(side_of(event) for turn in self.turns for event in turn.steps if event.role == "assistant"))

    @cached_property
    def picked_sides(self) -> frozenset[str | None]:
        """Those of whom a person picked an answer by hand."""
        return frozenset(side_of(event) for turn in self.turns for event in turn.steps if event.seq in self.picks)

    def answers(self, turn: Turn, side: str | None) -> list[Answer]:
        """One side's answers to a question."""
        return [self._answer(event) for event in turn.of(side)[1]]

    def _answer(self, event: Event) -> Answer:
        said = self.said.get(event.seq)
        return Answer(event, said.rating if said else None, self.edit(event), event.seq in self.picks)

    def edit(self, event: Event) -> str | None:
        """What a person wrote in the place of an event's content; a blank edit takes an earlier one back."""
        said = self.said.get(event.seq)
        edit = said.edit if said else None
        return None if edit is None or not edit.strip() or edit == event.content else edit

    def is_redacted(self, event: Event) -> bool:
        """Whether secrets were taken out of what stands for an event."""
        edit = self.edit(event)
        return REDACTED_MARK in edit if edit is not None else was_redacted(event)

    def messages(self, events: Sequence[Event]) -> list[Message]:
        """Events as messages; each tool event is a call, said by the assistant, and its result."""
        messages: list[Message] = []
        for event in events:
            text = self.edit(event) or event.content
            if event.role != "tool":
                messages.append({"role": event.role, "content": text})
                continue
            if event.tool is not None:
                _called(messages, event)
            messages.append(
                {"role": "tool", **_named(event, "tool_call_id"), **({"name": event.tool} if event.tool else {}), "content": text}
            )
        return messages


def _called(messages: list[Message], event: Event) -> None:
    """Add a tool's call, to what the assistant has just said where it said something."""
    call = {"type": "function", **_named(event, "id"), "function": {"name": event.tool, "arguments": event.attributes.get("arguments", {})}}
    if messages and messages[-1]["role"] == "assistant":  # else the last is a question, or another tool's result
        messages[-1]["tool_calls"] = [call]
    else:
        messages.append({"role": "assistant", "content": "", "tool_calls": [call]})


def _named(event: Event, key: str) -> dict[str, str]:
    call = event.attributes.get("tool_call_id")
    return {key: call} if isinstance(call, str) else {}

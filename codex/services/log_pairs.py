"""Pairs of a chosen and a rejected answer, in the shape that TRL calls conversational preference data with an explicit prompt.

A pair is an answer with what a person wrote in its place; or two answers to the same prompt, one rated good (or rewritten) and one rated
bad. The prompt is what the model had read: answers in it stand as they were given, for nothing of a prompt is learnt.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from codex.core.events import Event
from codex.services.log_chats import Row, origin_of
from codex.services.log_choice import AFTER_LEFT_OUT, ALONE, EMPTY, ERROR, NOT_JUDGED, OTHER_SIDE, REDACTED, SAME, TOOLS, Choice, Tally
from codex.services.log_turns import Answer, Message, Talk, Turn, was_redacted


@dataclass(eq=False)
class _Judged:
    """An answer that a person rated or rewrote.

    Args:
        answer: it.
        prompt: all that the model had read, as messages.
        origin: where both came from.
    """

    answer: Answer
    prompt: list[Message]
    origin: Row


@dataclass
class _Prompt:
    """What one side has read so far.

    Args:
        messages: it.
        events: where it came from.
        trouble: why answers to it are left out; "" when nothing speaks against them.
    """

    messages: list[Message] = field(default_factory=list[Message])
    events: list[Event] = field(default_factory=list[Event])
    trouble: str = ""

    def read(self, talk: Talk, events: Sequence[Event], trouble: str) -> None:
        """Go on with what was asked and done."""
        self.messages += talk.messages(events)
        self.events += events
        self.trouble = self.trouble or trouble

    def heard(self, event: Event, trouble: str) -> None:
        """Go on with an answer as it was given."""
        self.messages.append({"role": "assistant", "content": event.content})
        self.events.append(event)
        self.trouble = self.trouble or trouble


class Pairs:
    """Gathers what was judged, session by session; then makes rows of `prompt`, `chosen` and `rejected`.

    Args:
        choice: which answers.
        tally: where what is left out is counted.
    """

    def __init__(self, choice: Choice, tally: Tally) -> None:
        self._choice = choice
        self._tally = tally
        self._groups: dict[bytes, list[_Judged]] = {}

    def add(self, talk: Talk) -> None:
        """Take in one session."""
        for side in talk.sides:
            prompt = _Prompt()
            for turn in talk.turns:
                self._add_turn(talk, turn, side, prompt)

    def _add_turn(self, talk: Talk, turn: Turn, side: str | None, prompt: _Prompt) -> None:
        work, answers = turn.of(side)
        if not answers:  # our chats forget a question that was not answered, and go on; where tools were at work, who knows
            prompt.read(talk, turn.system, AFTER_LEFT_OUT if work else "")
            return
        prompt.read(talk, (*turn.asked, *work), self._trouble(talk, (*turn.asked, *work)))
        for answer in talk.answers(turn, side):
            why = self._fault(talk, turn, answer, prompt.trouble)
            if not why:
                judged = _Judged(answer, list(prompt.messages), origin_of(talk, [*prompt.events, answer.event], side, answer.rating))
                self._groups.setdefault(_digest(judged.prompt), []).append(judged)
            elif talk.whole or answer.picked:
                self._tally.skip(why)
        prompt.heard(answers[-1], REDACTED if self._hides(was_redacted(answers[-1])) else "")

    def _trouble(self, talk: Talk, events: Sequence[Event]) -> str:
        """Why what stands in a prompt keeps all out that goes on from it."""
        if not self._choice.include_tools and any(event.role == "tool" for event in events):
            return TOOLS
        return REDACTED if any(self._hides(talk.is_redacted(event)) for event in events) else ""

    def _hides(self, redacted: bool) -> bool:
        return redacted and not self._choice.include_redacted

    def _fault(self, talk: Talk, turn: Turn, answer: Answer, trouble: str) -> str:
        """Why an answer can be in no pair; "" when it can."""
        faults = (
            (OTHER_SIDE, not self._choice.takes(answer.side)),
            (NOT_JUDGED, answer.worth == 0 or not (talk.whole or answer.picked)),
            (ERROR, turn.failed(answer.side)),
            (trouble, trouble != ""),
            (EMPTY, answer.worth > 0 and not answer.text.strip()),
            (REDACTED, self._hides(was_redacted(answer.event) or talk.is_redacted(answer.event))),
        )
        return next((why for why, is_so in faults if is_so), "")

    def rows(self) -> Iterator[tuple[Row, list[Answer]]]:
        """The pairs, each with the answers in it."""
        for group in self._groups.values():
            pairs = _paired(group)
            self._tally.skip(ALONE, len({*group}.difference(*pairs)))
            for chosen, rejected in pairs:
                if chosen.answer.text == rejected.answer.event.content:
                    self._tally.skip(SAME)
                else:
                    yield _row(chosen, rejected), [chosen.answer, rejected.answer]


def _digest(prompt: list[Message]) -> bytes:
    """Equal for equal prompts."""
    return hashlib.sha256(json.dumps(prompt, sort_keys=True).encode()).digest()


def _paired(group: Sequence[_Judged]) -> list[tuple[_Judged, _Judged]]:
    """(chosen, rejected) of answers to one prompt: each good and each bad one at least once, and no more pairs than that takes."""
    edits = [(each, each) for each in group if each.answer.edit is not None]
    good = [each for each in group if each.answer.worth > 0]
    bad = [each for each in group if each.answer.rating == -1]
    rounds = max(len(good), len(bad)) if good and bad else 0
    return list(dict.fromkeys([*edits, *((good[at % len(good)], bad[at % len(bad)]) for at in range(rounds))]))


def _row(chosen: _Judged, rejected: _Judged) -> Row:
    other = {"session": rejected.answer.event.session, "seq": rejected.answer.event.seq, "rating": rejected.answer.rating}
    return {
        "prompt": chosen.prompt,
        "chosen": [{"role": "assistant", "content": chosen.answer.text}],
        "rejected": [{"role": "assistant", "content": rejected.answer.event.content}],
        "origin": {**chosen.origin, "edited": chosen.answer.edit is not None, "rejected": other},
    }

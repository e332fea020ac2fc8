"""Conversations to learn from: of each session, as much as is good.

In a row of `messages` every answer is learnt. So a conversation ends before an answer that must not be learnt, and what was said after
that is left out too: it was said to somebody who had read the other answer. For the same reason it ends with an answer that a person
rewrote. Where base and adapter both answered, one side's conversation is taken, for each saw only its own answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from codex.core.events import Event
from codex.services.log_choice import (
    AFTER_EDIT,
    AFTER_LEFT_OUT,
    BAD,
    CUT_OFF,
    EMPTY,
    ERROR,
    NOT_GOOD,
    OTHER_ANSWER,
    OTHER_SIDE,
    REDACTED,
    TOOLS,
    Choice,
    Tally,
)
from codex.services.log_turns import Answer, Message, Talk, Turn, was_cut_short

Row = dict[str, Any]


@dataclass
class _Thread:
    """One side's conversation as it grows: for each answer that is taken, what stands before it, and it.

    Args:
        side: whose.
        taken: (what was asked and done, the answer), in order.
        left: answers that are not taken, each with the reason.
    """

    side: str | None
    taken: list[tuple[tuple[Event, ...], Answer]] = field(default_factory=list[tuple[tuple[Event, ...], Answer]])
    left: list[tuple[Answer, str]] = field(default_factory=list[tuple[Answer, str]])

    def worth(self) -> tuple[int, int, bool]:
        """What decides between sides: answers that a person wants, answers at all, being the adapter."""
        return sum(answer.judged for _, answer in self.taken), len(self.taken), self.side == "adapter"


class Chats:
    """Makes rows of `messages`.

    Args:
        choice: which answers.
        tally: where what is left out is counted.
    """

    def __init__(self, choice: Choice, tally: Tally) -> None:
        self._choice = choice
        self._tally = tally

    def rows(self, talk: Talk) -> Iterator[tuple[Row, list[Answer]]]:
        """The examples of one session, each with the answers in it."""
        threads = [self._thread(talk, side) for side in talk.sides if self._choice.takes(side)]
        best = max(threads, key=_Thread.worth, default=None) if talk.whole else None
        for thread in threads:
            self._end_with_wanted(thread, whole=thread is best)
            self._skip(talk, thread.left if thread is best else [(each, why if each.picked else OTHER_SIDE) for each, why in thread.left])
            if thread.taken:
                yield self._row(talk, thread)
        for side in talk.sides:
            if not self._choice.takes(side):
                self._skip(talk, [(answer, OTHER_SIDE) for turn in talk.turns for answer in talk.answers(turn, side)])

    def _end_with_wanted(self, thread: _Thread, *, whole: bool) -> None:
        """Take back what follows the last answer that was asked for: by hand alone, unless the side's `whole` conversation was."""
        while thread.taken:
            _, last = thread.taken[-1]
            if last.picked or (whole and last.worth >= self._choice.min_rating):
                return
            thread.taken.pop()
            thread.left.append((last, NOT_GOOD))

    def _skip(self, talk: Talk, left: Sequence[tuple[Answer, str]]) -> None:
        """Count what is left out; of a session that was not chosen whole, only what a person picked."""
        self._tally.skipped.update(why for answer, why in left if talk.whole or answer.picked)

    def _thread(self, talk: Talk, side: str | None) -> _Thread:
        thread = _Thread(side)
        system: list[Event] = []  # of questions that this side did not answer: our chats forget such a question, and go on
        ended = ""
        for turn in talk.turns:
            work, _ = turn.of(side)
            answers = talk.answers(turn, side)
            if not answers:
                ended = ended or (AFTER_LEFT_OUT if work else "")
                system += turn.system
                continue
            best = max(answers, key=lambda each: (each.picked, each.worth, each.event.seq))
            before = (*system, *turn.asked, *work)
            why = ended or self._fault(talk, turn, best, before)
            thread.left += [(each, ended or OTHER_ANSWER) for each in answers if each is not best]
            if why:
                thread.left.append((best, why))
                ended = ended or AFTER_LEFT_OUT
                continue
            thread.taken.append((before, best))
            system = []
            if best.edit is not None:
                ended = AFTER_EDIT
            elif best is not answers[-1]:
                ended = AFTER_LEFT_OUT
        return thread

    def _fault(self, talk: Talk, turn: Turn, best: Answer, before: Sequence[Event]) -> str:
        """Why an answer must not be learnt; "" when nothing speaks against it."""
        faults = (
            (ERROR, turn.failed(best.side)),
            (TOOLS, not self._choice.include_tools and any(event.role == "tool" for event in before)),
            (BAD, best.worth < min(self._choice.min_rating, 0)),
            (EMPTY, not best.text.strip()),
            (CUT_OFF, was_cut_short(best.event) and not best.judged),
            (REDACTED, not self._choice.include_redacted and any(map(talk.is_redacted, (*before, best.event)))),
            (OTHER_ANSWER, self._is_beaten(talk, turn, best)),
        )
        return next((why for why, is_so in faults if is_so), "")

    def _is_beaten(self, talk: Talk, turn: Turn, best: Answer) -> bool:
        """Whether a person liked another side's answer to the same question better; whoever picks a side by hand has chosen."""
        if best.side in talk.picked_sides:
            return False
        rivals = (answer for side in talk.sides if self._choice.takes(side) for answer in talk.answers(turn, side))
        return any(rival.worth > best.worth for rival in rivals)

    def _row(self, talk: Talk, thread: _Thread) -> tuple[Row, list[Answer]]:
        messages: list[Message] = []
        events: list[Event] = []
        for before, answer in thread.taken:
            messages += talk.messages((*before, answer.event))
            events += [*before, answer.event]
        answers = [answer for _, answer in thread.taken]
        ratings = [answer.rating for answer in answers if answer.rating is not None]
        return {"messages": messages, "origin": origin_of(talk, events, thread.side, max(ratings, default=None))}, answers


def origin_of(talk: Talk, events: Sequence[Event], side: str | None, rating: int | None) -> Row:
    """Where an example came from: the session, its first and last event there, all of them, and what people made of it."""
    seqs = [event.seq for event in events]
    edited = any(talk.edit(event) is not None for event in events)
    return {"session": talk.id, "seqs": [min(seqs), max(seqs)], "events": seqs, "side": side, "rating": rating, "edited": edited}

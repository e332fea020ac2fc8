"""What a data set is made of, and how what was left out is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from codex.core.errors import UserError
from codex.sessionlog import Selection

DataKind = Literal["chat", "preference"]
WantedSide = Literal["judged", "base", "adapter"]

CONVERSATIONS: Final = ("chat", "agent", "serving", "notebook")
"""The kinds of sessions in which somebody asks and somebody answers."""

NO_ANSWER: Final = "session has no answer"
NO_QUESTION: Final = "answer without a question before it"
UNANSWERED: Final = "question has no answer"
ERROR: Final = "error in the turn"
TOOLS: Final = "turn uses a tool"
EMPTY: Final = "answer is empty"
BAD: Final = "answer rated bad"
CUT_OFF: Final = "answer was cut off"
REDACTED: Final = "redacted content"
OTHER_SIDE: Final = "answer of the other side"
OTHER_ANSWER: Final = "another answer was preferred"
AFTER_LEFT_OUT: Final = "follows an answer that is left out"
AFTER_EDIT: Final = "follows an answer that was edited"
NOT_GOOD: Final = "answer not rated good"
NOT_JUDGED: Final = "answer neither rated nor edited"
ALONE: Final = "rated answer without one to compare"
SAME: Final = "both answers say the same"


@dataclass(frozen=True)
class Choice:
    """Which answers of the log become a data set, and in which form.

    Args:
        selection: sessions by conditions; `Selection()` is all of them. Unless it names kinds or sessions, only those of `CONVERSATIONS`.
        sessions: more sessions, by hand: ids, or beginnings of ids.
        events: more answers, by hand: (session, seq); each comes with the conversation before it.
        kind: `chat` for conversations to learn, `preference` for pairs of a chosen and a rejected answer.
        min_rating: of a chat: 1 ends every example with an answer that was rated good or edited; 0 also takes what nobody rated; -1 also
            takes what was rated bad.
        side: whose answers are taken where base and adapter both answered; `judged` is whose were rated good or edited, else the adapter.
        include_tools: keep turns that use tools, with calls and results as messages; without, such turns are left out.
        include_redacted: keep what has secrets taken out of it, with the marks in their place.
    """

    selection: Selection | None = None
    sessions: tuple[str, ...] = ()
    events: tuple[tuple[str, int], ...] = ()
    kind: DataKind = "chat"
    min_rating: int = 0
    side: WantedSide = "judged"
    include_tools: bool = False
    include_redacted: bool = False

    def check(self) -> None:
        """Whether it can be asked for.

        Raises:
            UserError: it cannot.
        """
        for name, choices in (("kind", get_args(DataKind)), ("side", get_args(WantedSide)), ("min_rating", (-1, 0, 1))):
            value = getattr(self, name)
            if value not in choices:
                raise UserError(f"`{name}` is {value!r}", f"expected one of {', '.join(map(str, choices))}", "Choose one of these.")
        if self.selection is None and not self.sessions and not self.events:
            raise UserError("nothing is chosen", "expected sessions or answers of the log", "Choose some; `Selection()` means all.")

    def takes(self, side: str | None) -> bool:
        """Whether answers of `side` may be taken; where only one side can answer, it is always taken."""
        return self.side == "judged" or side not in ("base", "adapter") or side == self.side


@dataclass(frozen=True)
class Counts:
    """What a data set has.

    Args:
        sessions: that were looked at.
        examples: that it holds.
        answers: that are in them to be learnt or compared; the same answer counts once.
        good: how many of these were rated good.
        edited: how many of these a person rewrote.
        duplicates: examples that say the same as an earlier one, which were dropped.
    """

    sessions: int = 0
    examples: int = 0
    answers: int = 0
    good: int = 0
    edited: int = 0
    duplicates: int = 0


@dataclass
class Tally:
    """Counts while the log is read; see `Counts`."""

    sessions: int = 0
    examples: int = 0
    duplicates: int = 0
    with_tools: int = 0
    answers: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    good: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    edited: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    skipped: Counter[str] = field(default_factory=Counter[str])

    def skip(self, why: str, count: int = 1) -> None:
        """Count what is left out."""
        if count:
            self.skipped[why] += count

    def counts(self) -> Counts:
        """As they stand now."""
        return Counts(self.sessions, self.examples, len(self.answers), len(self.good), len(self.edited), self.duplicates)

    def reasons(self) -> Mapping[str, int]:
        """Why something was left out, and how often, the most frequent first."""
        return dict(sorted(self.skipped.items(), key=lambda item: (-item[1], item[0])))

"""From log to data: sessions and answers that a person chooses become a data set, each example with where it came from."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Final

from codex.core import numbers
from codex.core.errors import DataError, UserError, WorkspaceError
from codex.core.paths import Workspace
from codex.core.publish import draft_in, publish
from codex.services import logs
from codex.services.log_chats import Chats, Row
from codex.services.log_choice import CONVERSATIONS, NO_ANSWER, NO_QUESTION, UNANSWERED, Choice, Counts, DataKind, Tally, WantedSide
from codex.services.log_pairs import Pairs
from codex.services.log_turns import Answer, Talk
from codex.services.own import data_names
from codex.sessionlog import Annotation, Selection, SessionLog

__all__ = ["Choice", "Counts", "DataKind", "Preview", "Selection", "WantedSide", "Written", "choose", "write"]

SHOWN: Final = 5
SUFFIX: Final = ".jsonl"
_AT_ONCE: Final = 500  # sessions that are in memory together
_BREAKS: Final = {ord(each): f"\\u{ord(each):04x}" for each in "\x85\u2028\u2029"}  # which Python's `splitlines` would break a row at
_NAME: Final = re.compile(r"\w[\w.-]{0,63}")


@dataclass(frozen=True)
class Preview:
    """What a data set would be.

    Args:
        counts: what it would hold.
        examples: its first rows, as they would be written.
        skipped: why something was left out, and how often, the most frequent first.
        notes: what one should know before using it, in sentences.
    """

    counts: Counts
    examples: tuple[Mapping[str, Any], ...]
    skipped: Mapping[str, int]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Written:
    """A data set that was written.

    Args:
        path: the file.
        source: what to put into `data.source`.
        counts: what it holds.
        skipped: why something was left out, and how often, the most frequent first.
        sha256: of the file's bytes, which is also the fingerprint of a run's data.
        notes: what one should know before using it, in sentences.
    """

    path: Path
    source: str
    counts: Counts
    skipped: Mapping[str, int]
    sha256: str
    notes: tuple[str, ...]

    @property
    def examples(self) -> int:
        """How many it holds."""
        return self.counts.examples


def choose(workspace: Workspace, choice: Choice, *, shown: int = SHOWN) -> Preview:
    """What a data set of `choice` would be; nothing is written.

    Args:
        workspace: whose log.
        choice: which answers.
        shown: how many rows to show.

    Raises:
        UserError: nothing is chosen, something that was named is not in the log, or the selection's condition cannot be answered.
    """
    with SessionLog.open(workspace) as log:
        rows = _Rows(log, choice)
        every = iter(rows)
        first = tuple(islice(every, shown))
        for _ in every:  # so that all is counted
            pass
    return Preview(rows.tally.counts(), first, rows.tally.reasons(), rows.notes())


def write(workspace: Workspace, choice: Choice, name: str) -> Written:
    """Write a data set into the workspace's `datasets`; no file is ever replaced.

    Args:
        workspace: whose log, and where the file goes.
        choice: which answers.
        name: of the file, with or without `.jsonl`.

    Raises:
        UserError: the name cannot be used or is taken, or as `choose`.
        DataError: there is no example.
        WorkspaceError: the folder cannot be written.
    """
    path = _path(workspace, name)
    with SessionLog.open(workspace) as log:
        rows = _Rows(log, choice)
        digest = _publish(rows, path, workspace)
    source = path.name if path.name in data_names(workspace) else str(path)
    return Written(path, source, rows.tally.counts(), rows.tally.reasons(), digest, rows.notes())


def _path(workspace: Workspace, name: str) -> Path:
    stem = name.strip().removesuffix(SUFFIX)
    if not _NAME.fullmatch(stem):
        raise UserError(
            f"the name {name[:80]!r} cannot be used",
            "expected up to 64 letters, digits, `-`, `_` and `.`, the first a letter or digit",
            "Choose another name, for example `good-answers`.",
        )
    path = workspace.datasets / f"{stem}{SUFFIX}"
    if path.exists():
        raise _taken(path)
    return path


def _taken(path: Path) -> UserError:
    return UserError(f"the name {path.stem!r} is taken by {str(path)!r}", "expected one that is free", "Choose another name.")


def _publish(rows: _Rows, path: Path, workspace: Workspace) -> str:
    """Write the rows, then give the file its name; gives its SHA-256."""
    digest = hashlib.sha256()
    try:
        with draft_in(workspace.create().datasets) as draft:
            with open(draft, "wb") as file:
                for row in rows:
                    line = (json.dumps(row, ensure_ascii=False, allow_nan=False).translate(_BREAKS) + "\n").encode()
                    digest.update(line)
                    file.write(line)
            if not rows.tally.examples:
                raise rows.nothing()
            publish(draft, path)
    except FileExistsError:
        raise _taken(path) from None
    except OSError as error:
        raise WorkspaceError(
            f"{str(path)!r} cannot be written ({error.strerror or error})",
            "expected a folder that you may write, on a disk with room",
            "Make room, or name another workspace: `--workspace DIR`.",
        ) from error
    return digest.hexdigest()


class _Rows:
    """The rows of a choice, made while the log is read, always in the same order; go through them once.

    Args:
        log: where the sessions are.
        choice: which of them.

    Raises:
        UserError: the choice cannot be made; see `choose`.
    """

    def __init__(self, log: SessionLog, choice: Choice) -> None:
        choice.check()
        self.tally = Tally()
        self._choice = choice
        self._chosen = _Chosen(log, choice)
        self._seen: set[bytes] = set()

    def __iter__(self) -> Iterator[Row]:
        made = self._chats() if self._choice.kind == "chat" else self._pairs()
        for row, answers in made:
            if self._is_new(row):
                self._count(row, answers)
                yield row

    def _chats(self) -> Iterator[tuple[Row, list[Answer]]]:
        chats = Chats(self._choice, self.tally)
        for talk in self._talks():
            yield from chats.rows(talk)

    def _pairs(self) -> Iterator[tuple[Row, list[Answer]]]:
        pairs = Pairs(self._choice, self.tally)
        for talk in self._talks():
            pairs.add(talk)
        yield from pairs.rows()

    def _talks(self) -> Iterator[Talk]:
        for talk in self._chosen.talks():
            self.tally.sessions += 1
            if talk.whole:
                self._count_gaps(talk)
            yield talk

    def _count_gaps(self, talk: Talk) -> None:
        """Count questions without an answer, and answers without a question."""
        unanswered = [turn for turn in talk.turns if not any(turn.of(side)[1] for side in talk.sides)]
        if not talk.orphans and len(unanswered) == len(talk.turns):
            self.tally.skip(NO_ANSWER)
        else:
            self.tally.skip(UNANSWERED, len(unanswered))
        self.tally.skip(NO_QUESTION, len(talk.orphans))

    def _is_new(self, row: Row) -> bool:
        """Whether no earlier row says the same."""
        said = {name: value for name, value in row.items() if name != "origin"}
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).digest()
        if digest in self._seen:
            self.tally.duplicates += 1
            return False
        self._seen.add(digest)
        return True

    def _count(self, row: Row, answers: Sequence[Answer]) -> None:
        tally = self.tally
        tally.examples += 1
        tally.with_tools += any(message["role"] == "tool" for message in row.get("messages", row.get("prompt", ())))
        tally.answers.update(answer.key for answer in answers)
        tally.good.update(answer.key for answer in answers if answer.rating == 1)
        tally.edited.update(answer.key for answer in answers if answer.edit is not None)

    def notes(self) -> tuple[str, ...]:
        """What one should know before using what was made."""
        notes: list[str] = []
        if self._choice.kind == "preference" and self.tally.examples:
            notes.append("Codex does not train on preference pairs yet; TRL's DPOTrainer takes the file as it is.")
        if self.tally.with_tools:
            notes.append(f"Codex does not train on tool turns yet; examples with some: {numbers.count(self.tally.with_tools)}.")
        return tuple(notes)

    def nothing(self) -> DataError:
        """The error for a choice without an example."""
        reasons = "; ".join(f"{why}: {numbers.count(count)}" for why, count in self.tally.reasons().items())
        fix = "Rate an answer bad beside a good one, or rewrite one." if self._choice.kind == "preference" else "Choose other sessions."
        return DataError(
            f"no example is left of {numbers.plural(self.tally.sessions, 'session')}{f' ({reasons})' if reasons else ''}",
            "expected at least one",
            fix,
        )


class _Chosen:
    """The sessions of a choice.

    Args:
        log: where they are.
        choice: which.

    Raises:
        UserError: something that was named is not there, or the condition cannot be answered.
    """

    def __init__(self, log: SessionLog, choice: Choice) -> None:
        self._log = log
        self._picks: dict[str, set[int]] = {}
        names = _whole_ids(log, [*choice.sessions, *(session for session, _ in choice.events)])
        for session, seq in choice.events:
            self._picks.setdefault(names[session], set()).add(seq)
        self._whole = {*(names[name] for name in choice.sessions), *_selected(log, choice.selection)}

    def talks(self) -> Iterator[Talk]:
        """Each session, read."""
        ids = sorted({*self._whole, *self._picks})
        for at in range(0, len(ids), _AT_ONCE):
            some = tuple(ids[at : at + _AT_ONCE])
            said = _said(self._log, some)
            for id, events in groupby(self._log.scan(Selection(sessions=some)), key=lambda event: event.session):
                picks = frozenset(self._picks.get(id, ()))
                talk = Talk.of(id, events, said.get(id, {}), whole=id in self._whole, picks=picks)
                _must_be_answers(talk)
                yield talk


def _selected(log: SessionLog, selection: Selection | None) -> list[str]:
    if selection is None:
        return []
    named = logs.checked(log, selection)
    narrowed = named if named.kinds or named.sessions else replace(named, kinds=CONVERSATIONS)
    chosen, keys = logs.answered(log, narrowed, "sessions")
    return [info.id for info in log.find(chosen, limit=None, among=keys)]


def _whole_ids(log: SessionLog, names: Sequence[str]) -> dict[str, str]:
    """The ids of the sessions that `names` name."""
    known = {info.id for info in log.find(Selection(sessions=tuple(names)), limit=None)} if names else set[str]()
    return {name: name if name in known else logs.resolve(log, name) for name in dict.fromkeys(names)}


def _said(log: SessionLog, sessions: Sequence[str]) -> dict[str, dict[int, Annotation]]:
    """What people said of the events of some sessions, by session and seq."""
    places = ", ".join("?" for _ in sessions)
    rows = log.rows(f"select session, seq, rating, note, edit from annotations where session in ({places})", list(sessions))
    said: dict[str, dict[int, Annotation]] = {}
    for row in rows:
        said.setdefault(row[0], {})[row[1]] = Annotation(*row)
    return said


def _must_be_answers(talk: Talk) -> None:
    """Refuse a picked event that is no answer."""
    there = {answer.event.seq for side in talk.sides for turn in talk.turns for answer in talk.answers(turn, side)}
    strange = sorted(talk.picks - there)
    if strange:
        raise UserError(
            f"event {strange[0]} of session {talk.id!r} is no answer",
            "expected an assistant's answer to a question",
            f"`codex-ml logs show {talk.id}` shows its events.",
        )

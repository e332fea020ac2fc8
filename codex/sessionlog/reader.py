"""The reading side of live segments: good events of those that are not compacted yet, each read once.

A reader remembers how far it has read each segment, so reading again costs one look at the segments that may have grown.
A segment whose writer is gone and that was read to its end is never looked at again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from codex.core.events import Event
from codex.sessionlog import schema
from codex.sessionlog.forks import forget_after_fork
from codex.sessionlog.frames import TORN, Damage, Good, decode, parse, tail
from codex.sessionlog.locks import is_locked
from codex.sessionlog.manifest import cannot_read
from codex.sessionlog.schema import newer
from codex.sessionlog.segment import SUFFIX
from codex.sessionlog.summary import Summary


@dataclass
class SegmentState:
    """How far one segment was read."""

    offset: int = 0
    good: int = 0
    bad: list[Damage] = field(default_factory=list[Damage])
    tail: Damage | None = None
    final: bool = False


@dataclass
class SessionLines:
    """The good lines of one session by seq; two lines that claim the same seq count once, the first."""

    summary: Summary
    lines: dict[int, bytes] = field(default_factory=dict[int, bytes])
    _seqs: int = 0

    def add(self, good: Good) -> bool:
        """Whether the event is new."""
        event = good.event
        if event.seq in self.lines:
            return False
        self.lines[event.seq] = good.line
        self.summary.add(event)
        self._seqs += event.seq
        return True

    @property
    def last(self) -> int:
        """The highest seq."""
        return self.summary.last_seq

    @property
    def missing(self) -> int:
        """How many seqs below the last are absent."""
        return self.last + 1 - len(self.lines)

    @property
    def gaps(self) -> tuple[int, int]:
        """What is absent, as count and sum of the seqs: cheap to compare, and unequal as soon as a gap is filled or opens."""
        return self.missing, self.last * (self.last + 1) // 2 - self._seqs

    @property
    def contiguous(self) -> bool:
        """Whether no seq between the first and the last is absent."""
        return self.last + 1 - self.summary.first_seq == len(self.lines)

    def since(self, position: int) -> list[bytes]:
        """The lines from `position` on, in seq order."""
        first = max(position, self.summary.first_seq)
        if not self.contiguous:
            return [self.lines[seq] for seq in sorted(seq for seq in self.lines if seq >= first)]
        return [self.lines[seq] for seq in range(first, self.last + 1)]


@dataclass(frozen=True)
class LogReport:
    """What `check` found.

    Args:
        segments: files read.
        good: frames that are whole.
        bad: damaged frames, which are skipped.
        torn: half frames at the end of a segment whose writer is gone.
        duplicates: good frames that repeat an event, which count once.
        others: good frames with the number of another event, which are not read.
        missing: events that should be there by their session's seqs, are not, and were not given up.
        parts: compacted files.
        compacted: events in them.
        damaged_parts: compacted files that are not what they were when they were written, which are not read.
        given_up: events that are missing and were given up by a person, so they are no alarm.
    """

    segments: int
    good: int
    bad: tuple[Damage, ...]
    torn: tuple[Damage, ...]
    duplicates: int
    missing: int
    parts: int = 0
    compacted: int = 0
    damaged_parts: tuple[str, ...] = ()
    given_up: int = 0
    others: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing was lost; half a frame whose writer was killed was never acknowledged, so it is no loss."""
        return not self.bad and not self.duplicates and not self.others and not self.missing and not self.damaged_parts


class LogReader:
    """Reads the segments in `folder`; an absent folder is an empty log. Safe across threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.RLock()
        self._forget()
        forget_after_fork(self)

    def _forget(self) -> None:
        self._segments: dict[str, SegmentState] = {}
        self._sessions: dict[str, SessionLines] = {}
        self._gaps: dict[str, tuple[int, int]] = {}
        self._duplicates = 0
        self._others = 0
        self.arrived: list[bytes] = []

    def refresh(self, skip: Collection[str] = ()) -> None:
        """Read what was written since the last time.

        A session's events may lie in several segments, and a later one may be read before an earlier one is complete.
        Whatever precedes an event was written before it, so one more look fills such a gap; one that stays is real.

        Args:
            skip: names of segments that are compacted; what was read of them counts no more.

        Raises:
            WorkspaceError: the log cannot be read.
        """
        with self._lock:
            while True:
                try:
                    self._read_segments(skip)
                except OSError as error:
                    raise cannot_read(self.folder, error) from error
                gaps = {session: lines.gaps for session, lines in self._sessions.items() if lines.missing}
                if gaps == self._gaps:
                    return
                self._gaps = gaps

    def _read_segments(self, skip: Collection[str]) -> None:
        names = [path.name for path in self.paths() if path.name not in skip]
        if self._segments.keys() - names:
            self._forget()
        for name in names:
            state = self._segments.setdefault(name, SegmentState())
            if not state.final and not self._read(name, state):
                # Somebody cut or replaced the file: what was read of it counts no more.
                self._forget()
                return self._read_segments(skip)
        return None

    def paths(self) -> list[Path]:
        """The segments that are there, the oldest first."""
        try:
            with os.scandir(self.folder) as entries:
                return sorted(self.folder / entry.name for entry in entries if entry.name.endswith(SUFFIX) and entry.is_file())
        except FileNotFoundError:
            return []

    def _read(self, name: str, state: SegmentState) -> bool:
        """Read the segment on from where we were; False when it is shorter than that."""
        if not schema.readable(schema.version_of(name)):
            raise newer(name)
        try:
            descriptor = os.open(self.folder / name, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # removed between listing and opening: what it held is gone
            return True
        with open(descriptor, "rb", buffering=0) as file:
            growing = is_locked(descriptor)  # asked before reading, so that a sealed file is read to its end
            size = os.fstat(descriptor).st_size
            if size < state.offset:
                return False
            file.seek(state.offset)
            data = file.read(size - state.offset)
        parsed = parse(name, data, state.offset)
        state.offset += parsed.consumed
        state.good += len(parsed.good)
        state.bad += parsed.bad
        for good in parsed.good:
            self._take(good)
        left = len(data) - parsed.consumed
        state.tail = tail(name, data[parsed.consumed :], state.offset) if left and not growing else None
        state.final = not growing and state.offset + left == size
        return True

    def _take(self, good: Good) -> None:
        session = good.event.session
        held = self._sessions.get(session)
        if held is None:
            held = self._sessions[session] = SessionLines(Summary(session))
        if held.add(good):
            self.arrived.append(good.line)
        elif is_same(read_again(held.lines[good.event.seq]), good.event):
            self._duplicates += 1
        else:
            self._others += 1

    def exclude(self, session: str, seqs: Collection[int], others: int = 0) -> None:
        """Leave out events whose numbers are compacted already, although they stand in a segment that is not.

        Args:
            session: theirs.
            seqs: their numbers.
            others: how many of them are not the events that are compacted.
        """
        with self._lock:
            held = self._sessions[session]
            kept = SessionLines(Summary(session))
            for seq, line in held.lines.items():
                if seq not in seqs:
                    kept.add(Good(read_again(line), line))
            gone = {held.lines[seq] for seq in seqs if seq in held.lines}
            self._duplicates += len(gone) - others
            self._others += others
            self.arrived = [line for line in self.arrived if line not in gone]
            if kept.lines:
                self._sessions[session] = kept
            else:
                del self._sessions[session]

    def ids(self) -> list[str]:
        """The sessions that have been read."""
        with self._lock:
            return list(self._sessions)

    def events(self, session: str, position: int = 0) -> list[Event]:
        """The session's events from seq `position` on, in seq order, as far as they have been read."""
        with self._lock:
            held = self._sessions.get(session)
            lines = held.since(position) if held else []
        return [read_again(line) for line in lines]

    def one(self, session: str, seq: int) -> Event | None:
        """That event, when it has been read."""
        with self._lock:
            held = self._sessions.get(session)
            line = held.lines.get(seq) if held else None
        return None if line is None else read_again(line)

    def last_events(self, session: str, count: int) -> list[Event]:
        """The session's last `count` events, in seq order, as far as they have been read."""
        with self._lock:
            held = self._sessions.get(session)
            lines = held.since(held.last + 1 - count if held.contiguous else 0) if held else []
        return [read_again(line) for line in lines[max(len(lines) - count, 0) :]]

    def last_seq(self, session: str) -> int:
        """The highest seq of the session that has been read; -1 when there is none."""
        with self._lock:
            held = self._sessions.get(session)
            return held.last if held else -1

    def summaries(self) -> list[Summary]:
        """Each session in short."""
        with self._lock:
            return [held.summary for held in self._sessions.values()]

    def arrivals(self, known: list[bytes] | None, position: int) -> tuple[list[bytes], list[bytes]]:
        """Lines in the order in which they were read.

        Args:
            known: the list that an earlier call returned first.
            position: how many of its lines the caller has.

        Returns:
            The list of all lines, another one than `known` when reading began anew, and the lines that are new to the caller.
        """
        with self._lock:
            return self.arrived, self.arrived[position:] if known is self.arrived else self.arrived[:]

    def report(self) -> LogReport:
        """What is good and what is not, as far as it has been read."""
        with self._lock:
            states = self._segments.values()
            tails = [state.tail for state in states if state.tail]
            return LogReport(
                segments=len(self._segments),
                good=sum(state.good for state in states),
                bad=(*(damage for state in states for damage in state.bad), *(each for each in tails if each.reason != TORN)),
                torn=tuple(each for each in tails if each.reason == TORN),
                duplicates=self._duplicates,
                others=self._others,
                missing=sum(lines.missing for lines in self._sessions.values()),
            )

    def forget_parent(self) -> None:
        """In a forked child: a lock held by one of the parent's threads would never be released."""
        self._lock = threading.RLock()
        self._forget()


def is_same(one: Event, other: Event) -> bool:
    """Whether two events under one number are the same, however they are written."""
    return (one.ts, one.role, one.content) == (other.ts, other.role, other.content)


def read_again(line: bytes) -> Event:
    """The event of a line that was found good before."""
    event = decode(line)
    assert event is not None, "a good line stays good"
    return event

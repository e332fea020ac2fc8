"""Where events that come in belong in a session that the log may have already.

A session that comes in is numbered in one of two ways: as in the log that it was copied from, without gaps, or as in its source, whose
numbers may have gaps. What came from a source was numbered anew here, and keeps its number there as its origin; what was said here
since has none. So a number is compared with those of its own kind: that of a copy with the numbers here, that of a source with origins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple


class Another(Exception):
    """What comes in is not the session that the log holds under this name."""


class Row(NamedTuple):
    """An event that comes in, without its frame.

    Args:
        id: where its frame is.
        seq: its number.
        origin: the number that it had in its source; None when it was never numbered anew.
        print: what it says.
    """

    id: int
    seq: int
    origin: int | None
    print: bytes

    @property
    def number(self) -> int:
        """The number by which its source knows it."""
        return self.seq if self.origin is None else self.origin


class Placed(NamedTuple):
    """Where an event belongs; `known` when it is there already, `anew` when its own number must be kept as its origin."""

    row: Row
    seq: int
    known: bool
    anew: bool = False


@dataclass
class Held:
    """What a log holds of a session.

    Args:
        known: the number here of each event, by the number that it has, or that it had in its source, and what it says.
        numbers: those that its events have here.
        origins: those that they had in their source, which are theirs here until one was numbered anew.
        renumbered: whether one was.
        given: the highest number that lost events had here; -1 when none were lost at the end.
    """

    known: dict[tuple[int, bytes], int] = field(default_factory=dict[tuple[int, bytes], int])
    numbers: set[int] = field(default_factory=set[int])
    origins: set[int] = field(default_factory=set[int])
    renumbered: bool = False
    given: int = -1

    def add(self, event: Row) -> None:
        """Take an event of the log; they come in the order of their numbers."""
        self.known[event.number, event.print] = self.known[event.seq, event.print] = event.seq
        self.numbers.add(event.seq)
        self.renumbered |= event.origin is not None
        if event.origin is not None or not self.renumbered:
            self.origins.add(event.number)

    def places(self, rows: Iterable[Row], *, whole: bool) -> Iterator[Placed]:
        """Where each of `rows`, in the order of their numbers, belongs.

        Args:
            rows: the events of one session.
            whole: they belong here only if some of them are here already, or nothing is.

        Raises:
            Another: they belong to another session.
        """
        walk = _Walk(self)
        yield from map(walk.place, rows)
        if whole and not walk.met:
            raise Another


class _Walk:
    """One way through the events of a session that comes in.

    Args:
        held: what is here.
    """

    def __init__(self, held: Held) -> None:
        self.met = not held.numbers
        self._held = held
        self._last_origin, self._last = max(held.origins, default=-1), max(held.numbers, default=-1)
        self._end = max(self._last, held.given) + 1
        self._filled: set[int] = set()
        self._new: Placed | None = None
        self._copy = False  # whether its numbers are known to be those of a log

    def place(self, row: Row) -> Placed:
        """Where the next event belongs."""
        known = self._held.known
        there = known.get((row.number, row.print), known.get((row.seq, row.print)))
        said_here = there == row.seq and there not in self._held.origins
        self._copy = self._copy or said_here or row.origin is not None
        if there is not None:
            self.met = True
            return Placed(row, there, True)
        if self._new is not None and (self._new.row.seq, self._new.row.print) == (row.seq, row.print):
            return Placed(row, self._new.seq, True)
        self._new = self._place_new(row)
        return self._new

    def _place_new(self, row: Row) -> Placed:
        copied = self._copy and row.origin is None
        if (copied or not self._held.renumbered) and self._last < row.number <= self._held.given:  # it was lost here
            return self._put(row, row.number)
        if row.number > (self._last if copied else self._last_origin):
            return self._put(row, self._end, anew=self._held.renumbered and row.origin is None and not copied)
        if (copied or not self._held.renumbered) and self._is_free(row.number):  # it was lost here
            return self._put(row, row.number)
        raise Another  # it is taken, or would belong between two that were numbered anew

    def _is_free(self, seq: int) -> bool:
        return seq not in self._held.numbers and seq not in self._filled

    def _put(self, row: Row, seq: int, *, anew: bool = False) -> Placed:
        if seq < self._last:
            self._filled.add(seq)
        self._end = max(self._end, seq + 1)
        return Placed(row, seq, False, anew or seq != row.seq)

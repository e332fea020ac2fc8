"""The log as one: what is compacted and what is not, as of one moment.

A look takes MANIFEST, then the live segments that it does not call done, then MANIFEST again: only when that has not changed
meanwhile do the two belong together, and every event is in just one of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from codex.core import clock
from codex.core.errors import CodexError
from codex.core.events import Event
from codex.sessionlog import manifest as manifests
from codex.sessionlog import numbers, rollup, schema
from codex.sessionlog.failures import reading
from codex.sessionlog.forks import forget_after_fork, keep_for_ever
from codex.sessionlog.manifest import Manifest, Manifests, Part, StoredFile
from codex.sessionlog.parts import quoted, rows_of
from codex.sessionlog.reader import LogReader, LogReport
from codex.sessionlog.schema import newer
from codex.sessionlog.summary import Summary

if TYPE_CHECKING:
    import duckdb

Answer = TypeVar("Answer")
_EVENT_COLUMNS = ", ".join("epoch_us(time) / 1e6 as ts" if name == "ts" else name for name in schema.FRAME_TYPES)


class Store:
    """Reads one log; an absent folder is an empty log. Safe across threads.

    Args:
        folder: the log's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.live = LogReader(folder / "segments")
        self._manifests = Manifests(folder)
        self._lock = threading.RLock()
        self._forget()
        forget_after_fork(self)

    def _forget(self) -> None:
        self.manifest = Manifest()
        self._rolled: dict[str, Summary | None] = {}
        self._compared: dict[str, int] = {}
        self._sums: dict[tuple[str, int, int], bool] = {}
        self._base: duckdb.DuckDBPyConnection | None = None
        self.damaged: tuple[str, ...] = ()

    def refresh(self) -> Manifest:
        """Look again at everything; what the other methods say is as of this moment.

        Raises:
            WorkspaceError: the log cannot be read, MANIFEST is damaged, or a newer Codex wrote it.
        """
        with self._lock:
            return self.steadily(self._look)

    def _look(self) -> Manifest:
        while True:
            manifest = self._manifests.current()
            if manifest is not self.manifest:
                self._check_version(manifest)
                self._rolled, self._compared = {}, {}
            self.live.refresh({each.name for each in manifest.done} if manifest.done else ())
            damaged = tuple(each.name for each in self._files(manifest) if not self._intact(each))
            if self._manifests.current() is manifest:
                break
        self.manifest, self.damaged = manifest, damaged
        self._leave_out_repeated()
        return manifest

    def steadily(self, ask: Callable[[], Answer]) -> Answer:
        """What `ask` gives; again when it failed and MANIFEST is another one by then, for the files may have gone while they were read.

        Raises:
            CodexError: it cannot be answered as the newest MANIFEST has it.
        """
        while True:
            manifest = self._manifests.current()
            try:
                return ask()
            except CodexError:  # a question's own mistake among them, for DuckDB calls a file that is gone one
                if self._manifests.current() is manifest:
                    raise

    def now(self, ask: Callable[[], Answer]) -> Answer:
        """What `ask` gives of the log as it is now, steadily; it may be asked more than once.

        Raises:
            CodexError: it cannot be answered as the newest MANIFEST has it.
        """

        def anew() -> Answer:
            self.refresh()
            return ask()

        return self.steadily(anew)

    @staticmethod
    def _check_version(manifest: Manifest) -> None:
        for part in manifest.parts:
            if not schema.readable(part.schema_version):
                raise newer(part.name)

    @staticmethod
    def _files(manifest: Manifest) -> Iterable[StoredFile]:
        yield from manifest.parts
        if manifest.sessions is not None:
            yield manifest.sessions

    def _intact(self, file: StoredFile) -> bool:
        """Whether a file is what it was when it was published; it is summed again only when it looks touched."""
        path = self.folder / file.name
        try:
            state = path.stat()
            if (state.st_size, state.st_mtime_ns) == (file.size, file.modified):
                return True
            key = (file.name, state.st_mtime_ns, state.st_ino)
            if key not in self._sums:
                self._sums[key] = state.st_size == file.size and manifests.sha256(path) == file.sha256
            return self._sums[key]
        except OSError:
            return False

    def sum_again(self) -> None:
        """Compare every file of the compacted log with its sum, whatever it looks like."""
        with self._lock:
            self.damaged = tuple(file.name for file in self._files(self.manifest) if not manifests.is_intact(self.folder, file))

    @property
    def parts(self) -> list[Part]:
        """The parts that can be read, the oldest day first."""
        return sorted((part for part in self.manifest.parts if part.name not in self.damaged), key=lambda part: (part.day, part.first))

    def _leave_out_repeated(self) -> None:
        """An event that a live segment holds although it is compacted counts once."""
        for summary in self.live.summaries():
            known = self.compacted(summary.id)
            if known is None or summary.first_seq > known.last_seq or self._compared.get(summary.id) == summary.events:
                continue
            rows = self._rows(
                known.started, known.last, "select seq, epoch_us(time), role, content from {rows} where session = ?", [summary.id]
            )
            live = {event.seq: event for event in self.live.events(summary.id)}
            both = {seq: (time, role, content) for seq, time, role, content in rows if seq in live}
            said = {seq: (clock.microseconds(live[seq].ts), live[seq].role, live[seq].content) for seq in both}
            if both:
                self.live.exclude(summary.id, both.keys(), others=sum(said[seq] != both[seq] for seq in both))
            self._compared[summary.id] = summary.events

    # --- asking the parts ---

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A DuckDB for questions of our own; it is kept, for making one costs more than most questions."""
        import duckdb

        if self._base is None:
            settings: dict[str, Any] = {
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "temp_directory": "",
                "threads": 1,
            }
            self._base = duckdb.connect(":memory:", config=settings)
            self._base.execute("set global parquet_metadata_cache = true")
        return self._base.cursor()

    def between(self, since: float | None, until: float | None) -> list[Part]:
        """The parts that may hold events from `since` to `until`, both included."""
        return [part for part in self.parts if (since is None or part.last >= since) and (until is None or part.first <= until)]

    def _rows(self, since: float, until: float, query: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        parts = self.between(since, until)
        if not parts:
            return []
        return self.ask(query.format(rows=rows_of(self.folder, parts)), parameters)

    def ask(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a question of our own."""
        with reading(self.folder):
            return self.cursor().execute(query, list(parameters)).fetchall()

    def rollup(self) -> str:
        """SQL for the rollup of the parts; made from the parts themselves when its file is not what was written, or there is none."""
        file = self.manifest.sessions
        if file is not None and file.name not in self.damaged:  # it also knows the sessions of parts that are damaged
            return f"read_parquet({quoted(str(self.folder / file.name))})"
        return f"({rollup.of_events(rows_of(self.folder, self.parts))})" if self.parts else rollup.empty()

    def compacted(self, session: str) -> Summary | None:
        """What the parts hold of a session, in short; None when they hold nothing."""
        with self._lock:
            if not self.manifest.parts:
                return None
            if session not in self._rolled:
                columns = "id, kind, title, epoch_us(started) / 1e6, epoch_us(last) / 1e6, first_seq, last_seq, events, run_id, outcome"
                rows = self.ask(f"select {columns} from {self.rollup()} where id = ?", [session])
                self._rolled[session] = Summary(*rows[0]) if rows else None
            return self._rolled[session]

    def last_seqs(self, session: str | None = None) -> dict[str, int]:
        """The highest compacted seq of one session, or of each."""
        if not self.manifest.parts:
            return {}
        condition, parameters = ("", []) if session is None else (" where id = ?", [session])
        return dict(self.ask(f"select id, last_seq from {self.rollup()}{condition}", parameters))

    def last_seq(self, session: str) -> int:
        """The highest seq of the session; -1 when there is none."""
        known = self.compacted(session)
        return max(known.last_seq if known else -1, self.live.last_seq(session))

    def events(self, session: str, position: int = 0) -> list[Event]:
        """The session's events from seq `position` on, in seq order."""
        live = self.live.events(session, position)
        known = self.compacted(session)
        if known is None or position > known.last_seq:
            return live
        stored = self._stored(known, position)
        if live and stored and live[0].seq < stored[-1].seq:
            return sorted([*stored, *live], key=lambda event: event.seq)
        return [*stored, *live]

    def _stored(self, known: Summary, position: int) -> list[Event]:
        """The compacted events of a session from seq `position` on, in seq order."""
        query = (
            f"select {_EVENT_COLUMNS} from {{rows}} where session = ? and seq >= ? and time between make_timestamp(?) and make_timestamp(?)"
            " order by seq"
        )
        span = [clock.microseconds(known.started), clock.microseconds(known.last)]
        return [event_of(row) for row in self._rows(known.started, known.last, query, [known.id, position, *span])]

    def picked(self, wanted: Mapping[str, Sequence[tuple[str, int]]]) -> Iterator[Event]:
        """Compacted events, each day's named by session and seq; in no order.

        One question for each event: only with constants can DuckDB skip the row groups that cannot have it.
        """
        for day, keys in wanted.items():
            parts = [part for part in self.parts if part.day == day]
            if not parts:
                continue
            cursor, rows = self.cursor(), rows_of(self.folder, parts)
            for session, seq in keys:
                query = f"select {_EVENT_COLUMNS} from {rows} where session = {quoted(session)} and seq = {int(seq)}"
                with reading(self.folder):
                    found = cursor.execute(query).fetchone()
                if found is not None:
                    yield event_of(found)

    def latest(self, count: int, session: str | None = None) -> list[Event]:
        """The `count` newest compacted events, of one session or of all, the oldest first."""
        if session is not None:
            known = self.compacted(session)
            return self._stored(known, max(known.last_seq + 1 - count, 0))[-count:] if known else []
        days: list[Part] = []
        for part in reversed(self.parts):
            if sum(each.rows for each in days) >= count and days[-1].day != part.day:
                break
            days.append(part)
        if not days or count < 1:
            return []
        rows = rows_of(self.folder, days)
        # Two questions, for the first reads one column, and the second only the row groups that it needs.
        oldest = self.ask(f"select min(time) from (select time from {rows} order by time desc limit {int(count)})")[0][0]
        query = f"select {_EVENT_COLUMNS} from {rows} where time >= ? order by time desc, session desc, seq desc limit {int(count)}"
        return [event_of(row) for row in reversed(self.ask(query, [oldest]))]

    def report(self) -> LogReport:
        """What is good and what is not, as far as it has been read."""
        live, missing, known = self.live.report(), self.missing(), numbers.given_up(self.folder)
        given_up = sum(min(count, known.get(session, 0)) for session, count in missing.items())
        return LogReport(
            segments=live.segments,
            good=live.good,
            bad=live.bad,
            torn=live.torn,
            duplicates=live.duplicates,
            missing=sum(missing.values()) - given_up,
            parts=len(self.parts),
            compacted=sum(part.rows for part in self.parts),
            damaged_parts=self.damaged,
            given_up=given_up,
            others=live.others,
        )

    def missing(self) -> dict[str, int]:
        """How many events each session lacks by its numbers; those that lack none are left out."""
        lacks = f"select id, last_seq::hugeint + 1 - events from {self.rollup()} where last_seq::hugeint + 1 > events"
        found: dict[str, int] = dict(self.ask(lacks)) if self.manifest.parts else {}
        for held in self.live.summaries():
            known = self.compacted(held.id)
            last, events = (-1, 0) if known is None else (known.last_seq, known.events)
            found[held.id] = max(last, held.last_seq) + 1 - events - held.events
        return {session: count for session, count in found.items() if count > 0}

    def forget_parent(self) -> None:
        """In a forked child: a lock held by one of the parent's threads would never be released."""
        keep_for_ever(self._base)
        self._lock = threading.RLock()
        self._forget()


def event_of(row: Sequence[Any]) -> Event:
    """An event of a row of FRAME_TYPES' columns."""
    import json

    values = dict(zip(schema.FRAME_TYPES, row, strict=True))
    values["attributes"] = json.loads(values["attributes"]) if values["attributes"] != "{}" else {}
    return Event.model_construct(**values)

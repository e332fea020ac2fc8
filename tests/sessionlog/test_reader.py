"""Reading again is cheap, and what is read is in order whatever the order of files and clocks."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from codex.core.errors import WorkspaceError
from codex.core.events import Event
from codex.sessionlog import SessionLog, reader
from codex.sessionlog.frames import Parsed, encode, parse
from codex.sessionlog.reader import LogReader


def frame(seq: int, session: str = "x", ts: float = 0.0) -> bytes:
    return encode(Event(session=session, seq=seq, ts=ts, role="info", kind="chat", content=f"{session}{seq}"))


def seqs(events: list[Event]) -> list[int]:
    return [event.seq for event in events]


class Counted:
    """Counts the bytes that are parsed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        monkeypatch.setattr(reader, "parse", self.parse)

    def parse(self, segment: str, data: bytes, offset: int = 0) -> Parsed:
        self.sizes.append(len(data))
        return parse(segment, data, offset)


def test_absent_log_is_empty_and_reading_makes_nothing(folder: Path) -> None:
    log = SessionLog.open(folder / "nowhere")
    assert log.sessions() == [] and log.events("s") == [] and list(log.tail()) == [] and log.since("s", 4) == ([], 4)
    assert log.sql("select count(*) from events").fetchall() == [(0,)]
    assert log.check().ok and log.check().segments == 0
    assert not list(folder.iterdir())


def test_following_reads_only_what_is_new(log: SessionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    with log.session("training", id="t") as session:
        for step in range(50):
            session.append("info", step=step)
        events, position = log.since("t", 0)
        counted = Counted(monkeypatch)
        session.append("info", step=50)
        newest, after = log.since("t", position)
        assert seqs(newest) == [51] and after == position + 1 == 52 and len(events) == 51
        assert sum(counted.sizes) == len(encode(newest[0]))
        assert log.since("t", after) == ([], after)


def test_sealed_segment_is_not_looked_at_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SessionLog.open(folder) as log, log.session("chat", id="c") as session:
        session.append("user", "hello")
    reading = SessionLog.open(folder)
    assert len(reading.events("c")) == 3
    counted = Counted(monkeypatch)
    assert len(reading.events("c")) == 3
    assert counted.sizes == []


def test_reader_sees_an_event_right_after_append_in_another_process(
    log: SessionLog, folder: Path, start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    writer = start_python(
        """
import sys
from codex.sessionlog import SessionLog
session = SessionLog.open(sys.argv[1]).session("training", id="t")
for line in sys.stdin:
    event = session.append("info", line.strip(), step=int(line))
    print(event.seq, flush=True)
""",
        folder,
    )
    assert writer.stdin is not None and writer.stdout is not None
    position = 0
    for step in range(20):
        print(step, file=writer.stdin, flush=True)
        seq = int(writer.stdout.readline())
        events, position = log.since("t", position)
        assert events[-1].seq == seq and events[-1].step == step and position == seq + 1


def test_order_is_seq_though_the_clock_jumps_and_files_sort_otherwise(folder: Path) -> None:
    (folder / "b.ndjson").write_bytes(frame(0, ts=900.0) + frame(1, ts=100.0))
    (folder / "a.ndjson").write_bytes(frame(3, ts=300.0) + frame(2, ts=800.0))
    reading = LogReader(folder)
    reading.refresh()
    assert seqs(reading.events("x")) == [0, 1, 2, 3]
    assert seqs(reading.last_events("x", 2)) == [2, 3]


def test_event_that_stands_in_two_segments_counts_once(folder: Path) -> None:
    for name in ("a", "copy-of-a"):
        (folder / f"{name}.ndjson").write_bytes(frame(0) + frame(1))
    reading = LogReader(folder)
    reading.refresh()
    assert seqs(reading.events("x")) == [0, 1]
    assert reading.report().duplicates == 2 and not reading.report().ok


def test_follower_misses_nothing_when_a_session_changes_hands_while_it_reads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first writer adds seq 1 just after its segment was read; the second adds seq 2 to a segment that is read next."""
    first, second = folder / "1.ndjson", folder / "2.ndjson"
    for path in (first, second):
        path.write_bytes(b"")
    first.write_bytes(frame(0))
    monkeypatch.setattr(reader, "is_locked", lambda descriptor: True)

    def parse_then_hand_over(segment: str, data: bytes, offset: int = 0) -> Parsed:
        if segment == first.name:
            monkeypatch.setattr(reader, "parse", parse)
            first.write_bytes(frame(0) + frame(1))
            second.write_bytes(frame(2))
        return parse(segment, data, offset)

    monkeypatch.setattr(reader, "parse", parse_then_hand_over)
    reading = LogReader(folder)
    reading.refresh()
    assert seqs(reading.events("x")) == [0, 1, 2]


def test_gap_that_stays_is_counted_and_does_not_stop_the_reader(folder: Path) -> None:
    (folder / "a.ndjson").write_bytes(frame(0) + frame(3) + frame(4))
    reading = LogReader(folder)
    reading.refresh()
    assert seqs(reading.events("x", 1)) == [3, 4] and seqs(reading.last_events("x", 2)) == [3, 4]
    assert reading.report().missing == 2
    assert reading.last_seq("x") == 4


def test_segment_that_was_cut_is_read_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "is_locked", lambda descriptor: True)
    path = folder / "a.ndjson"
    path.write_bytes(frame(0) + frame(1))
    reading = LogReader(folder)
    reading.refresh()
    path.write_bytes(frame(0))
    reading.refresh()
    assert seqs(reading.events("x")) == [0]
    assert len(reading.arrivals(None, 0)[1]) == 1


def test_half_frame_is_in_flight_while_its_writer_lives_and_torn_after(
    log: SessionLog, folder: Path, segments: Path, start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    writer = start_python(
        """
import sys
from codex.sessionlog import SessionLog
session = SessionLog.open(sys.argv[1]).session("chat")
print("open", flush=True)
input()
""",
        folder,
    )
    assert writer.stdout is not None and writer.stdout.readline() == "open\n"
    (path,) = segments.iterdir()
    with path.open("ab") as file:
        file.write(b'{"session":"ha')
    assert log.check().torn == ()
    writer.kill()
    writer.wait()
    (torn,) = log.check().torn
    assert (torn.segment, torn.size, torn.offset + torn.size) == (path.name, 14, path.stat().st_size)
    assert log.check().ok and log.check().good == 1


def test_unreadable_log_is_a_workspace_error(folder: Path) -> None:
    (folder / "log").mkdir()
    (folder / "log" / "segments").write_bytes(b"")
    with pytest.raises(WorkspaceError, match=r"cannot be read.*Not a directory"):
        SessionLog.open(folder).events("s")

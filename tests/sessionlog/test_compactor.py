"""Compaction changes where events are and nothing else, whatever happens meanwhile."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codex.core.errors import WorkspaceError
from codex.core.events import Event
from codex.sessionlog import CompactorBusy, Selection, SessionLog, compactor, frames, lookup, manifest
from codex.sessionlog.compactor import Compactor
from codex.sessionlog.locks import only_one
from tests.sessionlog.logs import by_key, some_events, write_segments


def all_of(log: SessionLog) -> dict[tuple[str, int], str]:
    """Every event, asked session by session."""
    return by_key(event for info in log.sessions() for event in log.events(info.id))


def test_compacted_log_says_what_the_live_one_said(log: SessionLog) -> None:
    events = some_events(600)
    write_segments(log.folder, events)
    before, sessions, rows = all_of(log), log.sessions(), sorted(map(str, log.sql("select * from events").fetchall()))
    done = log.compact(grace_seconds=0)
    assert (done.segments, done.events, done.damaged) == (4, 600, 0)
    assert all_of(log) == before == by_key(events)
    assert log.sessions() == sessions
    assert sorted(map(str, log.sql("select * from events").fetchall())) == rows
    assert by_key(log.scan()) == before
    assert [path.name for path in (log.folder / "segments").iterdir()] == []


def test_sessions_that_are_partly_compacted_are_whole(log: SessionLog) -> None:
    events = some_events(400)
    write_segments(log.folder, events[:250], seed=1)
    log.compact()
    write_segments(log.folder, events[250:], seed=2)
    assert all_of(log) == by_key(events)
    plain = SessionLog(log.folder.parent / "other")
    write_segments(plain.folder, events)
    assert log.sessions() == plain.sessions()
    for session in ("s-1", "s-2"):
        assert log.since(session, 5) == plain.since(session, 5)
        assert list(log.tail(session, n=7)) == list(plain.tail(session, n=7))
    assert [event.model_dump_json() for event in log.tail(n=20)] == [event.model_dump_json() for event in events[-20:]]


def test_many_compactions_merge_small_parts_and_lose_nothing(log: SessionLog) -> None:
    events = some_events(900, days=1)
    for number in range(9):
        write_segments(log.folder, events[number * 100 : (number + 1) * 100], count=1, seed=number)
        log.compact(grace_seconds=0)
        assert all_of(log) == by_key(events[: (number + 1) * 100])
    assert len(Compactor(log.folder).manifest.parts) < compactor.MERGE_AT
    assert len(list((log.folder / "parts").glob("*/*.parquet"))) < 2 * compactor.MERGE_AT


def test_parts_are_merged_up_to_a_bound_of_bytes(log: SessionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    import duckdb

    monkeypatch.setattr(compactor, "MERGE_BYTES", 60_000)
    events = some_events(900, days=1)
    for number in range(9):
        stretch = [event.model_copy(update={"content": event.content * 5}) for event in events[number * 100 : (number + 1) * 100]]
        write_segments(log.folder, stretch, count=1, seed=number)
        assert log.compact(grace_seconds=0).unmerged == ""
    parts = Compactor(log.folder).manifest.parts
    sizes = [
        duckdb.execute(f"select sum(total_uncompressed_size) from parquet_metadata('{log.folder / part.name}')").fetchall()[0][0]
        for part in parts
    ]
    assert sum(sizes) > 60_000 > max(sizes) and sum(part.rows for part in parts) == 900
    assert sum(size <= 60_000 / compactor.MERGE_AT for size in sizes) < compactor.MERGE_AT


def test_failed_merge_leaves_nothing_else_undone(log: SessionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    import duckdb

    def fail(*_: object) -> None:
        raise duckdb.OutOfMemoryException("Out of Memory Error: failed to allocate data (1.0 GiB/1.0 GiB used)")

    events = some_events(500, days=1)
    for number in range(5):
        write_segments(log.folder, events[number * 100 : (number + 1) * 100], count=1, seed=number)
        with monkeypatch.context() as patching:
            patching.setattr(Compactor, "replace", fail)
            done = log.compact(grace_seconds=0)
        assert done.events == 100
        assert ("fit in memory" in done.unmerged and "disk" not in done.unmerged) == (number >= compactor.MERGE_AT - 1)
        assert all(part.indexed for part in Compactor(log.folder).manifest.parts)
    assert all_of(log) == by_key(events)
    assert len(list((log.folder / "segments").iterdir())) <= 1
    assert log.purge(events[-1].ts + 1).events == 500


def test_rollup_that_is_damaged_or_gone_is_made_anew(log: SessionLog) -> None:
    events = some_events(300)
    write_segments(log.folder, events[:200], seed=1)
    log.compact()
    for number, damage in enumerate((lambda path: path.write_bytes(b"no parquet"), Path.unlink)):
        (path,) = (log.folder / file.name for file in [Compactor(log.folder).manifest.sessions] if file)
        damage(path)
        write_segments(log.folder, events[200 + number * 50 : 250 + number * 50], count=1, seed=10 + number)
        assert all_of(SessionLog(log.folder)) == by_key(events[: 250 + number * 50])
        assert log.compact().events == 50
        assert all_of(SessionLog(log.folder)) == by_key(events[: 250 + number * 50])
        assert log.check().ok


def test_event_that_comes_again_counts_once(log: SessionLog) -> None:
    events = some_events(300)
    (first, *_) = write_segments(log.folder, events, count=3)
    copy = first.read_bytes()
    (log.folder / "segments" / "2026-000-900.v2.ndjson").write_bytes(copy)
    log.compact(grace_seconds=0)
    assert all_of(log) == by_key(events)
    (log.folder / "segments" / "2026-000-901.v2.ndjson").write_bytes(copy)
    assert all_of(log) == by_key(events) == by_key(log.scan())
    log.compact(grace_seconds=0)
    assert all_of(log) == by_key(events) == by_key(log.scan())


def test_event_that_comes_late_is_kept(log: SessionLog) -> None:
    events = some_events(300, sessions=1)
    write_segments(log.folder, events[100:], count=1, seed=5)
    log.compact()
    write_segments(log.folder, events[:100], count=1, seed=6)
    assert by_key(log.events("s-0")) == by_key(events)
    log.compact()
    assert by_key(log.events("s-0")) == by_key(events)
    assert log.health().missing == 0


def test_segment_that_is_being_written_stays_as_it_is(log: SessionLog) -> None:
    with log.session("chat", id="c") as session:
        session.append("user", "hello")
        assert log.compact().segments == 0
        assert len(log.events("c")) == 2


def test_damaged_frames_are_set_aside_byte_for_byte_and_counted(log: SessionLog) -> None:
    import base64
    import json

    events = some_events(50)
    (path,) = write_segments(log.folder, events, count=1)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[7] = lines[7].replace(b'"seq"', b'"sEq"')
    path.write_bytes(b"".join(lines) + b'{"session":"s-1","seq":9')
    assert log.compact().damaged == 1
    assert all_of(log) == by_key(event for at, event in enumerate(events) if at != 7)
    (kept,) = (log.folder / "quarantine").iterdir()
    assert base64.b64decode(json.loads(kept.read_text())["frames"][0]["base64"]) + b"\n" == lines[7]
    assert log.check().missing == 1


def test_frame_with_a_right_sum_that_is_no_event_is_left_out(log: SessionLog) -> None:
    import zlib

    events = some_events(20)
    (path,) = write_segments(log.folder, events, count=1)
    bodies = (
        b'{"session":"x","seq":-1,"ts":1.0,"role":"user","kind":"chat"',
        b'{"session":"x","seq":"no","ts":1.0,"role":"user","kind":"chat"',
    )
    path.write_bytes(path.read_bytes() + b"".join(b'%b,"crc":"%08x"}\n' % (body, zlib.crc32(body)) for body in bodies))
    log.compact()
    assert all_of(log) == by_key(events)


def test_long_and_strange_contents_survive(log: SessionLog) -> None:
    contents = ["x" * 3_000_000, 'NUL \0 quote " back \\ owl 🦉 line \u2028 tab \t', "", "'; drop table events; --"]
    with log.session("notebook", id="n") as session:
        for content in contents:
            session.append(
                "info", content, attributes={"k": content[:20], "inf": float("inf"), "big": 2**70, "": {"a.b": []}}, step=2**63 - 1
            )
    log.close()
    before = all_of(log)
    log.compact()
    assert all_of(log) == before
    assert [event.content for event in log.events("n")][1:5] == contents


def test_one_compactor_at_a_time(log: SessionLog) -> None:
    write_segments(log.folder, some_events(10))
    with only_one(log.folder), pytest.raises(CompactorBusy):
        log.compact()
    assert log.compact().events == 10


def test_replaced_files_stay_for_the_grace_and_go_after_it(log: SessionLog) -> None:
    events = some_events(100)
    paths = write_segments(log.folder, events)
    relation = log.sql("select count(*) from events")
    log.compact()
    assert all(path.exists() for path in paths)
    later = log.sql("select count(*) from events")
    log.compact(grace_seconds=0)
    assert not any(path.exists() for path in paths)
    assert relation.fetchall() == later.fetchall() == [(100,)]


def test_index_of_words_that_was_deleted_is_made_anew(log: SessionLog) -> None:
    import shutil

    write_segments(log.folder, some_events(200))
    log.compact()
    found = [(hit.event.session, hit.event.seq) for hit in log.search("socket timeout", limit=500)]
    shutil.rmtree(log.folder / "text-1")
    assert {(hit.event.session, hit.event.seq) for hit in log.search("socket timeout", limit=500)} == set(found)
    log.compact()
    assert (log.folder / "text-1").is_dir()
    assert [(hit.event.session, hit.event.seq) for hit in log.search("socket timeout", limit=500)] == found


STEPS = ("write_day", "_roll", "publish", "bring_text_up_to_date", "remove_retired")
KILLED = """
import os, sys
from codex.sessionlog import SessionLog, compactor, manifest, parts
log = SessionLog(__import__("pathlib").Path(sys.argv[1]))
step, when = sys.argv[2], sys.argv[3]
home = {"write_day": compactor, "publish": manifest}.get(step, compactor.Compactor)
real = getattr(home, step)
def dying(*arguments, **options):
    if when == "before":
        os.kill(os.getpid(), 9)
    real(*arguments, **options)
    os.kill(os.getpid(), 9)
setattr(home, step, dying)
log.compact(grace_seconds=0)
"""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_compactor_killed_at_a_step_loses_nothing_and_leaves_nothing(log: SessionLog, step: str, when: str) -> None:
    events = some_events(200)
    write_segments(log.folder, events[:100], seed=1)
    log.compact(grace_seconds=0)
    write_segments(log.folder, events[100:], seed=2)
    died = subprocess.run([sys.executable, "-c", KILLED, str(log.folder), step, when], check=False)
    assert died.returncode == -9
    assert all_of(log) == by_key(events)
    words = {(hit.event.session, hit.event.seq) for hit in log.search("verdict", limit=500)}
    assert words == {(event.session, event.seq) for event in events if "verdict" in event.content.split()}
    log.compact(grace_seconds=0)
    log.compact(grace_seconds=0)
    assert all_of(log) == by_key(events) == by_key(log.scan())
    assert {(hit.event.session, hit.event.seq) for hit in log.search("verdict", limit=500)} == words
    named = {part.name for part in Compactor(log.folder).manifest.parts}
    assert {str(path.relative_to(log.folder)) for path in log.folder.glob("parts/*/*")} == named
    assert log.check().ok


def test_reads_while_compacting_see_no_gap_no_double_and_no_step_back(log: SessionLog, folder: Path) -> None:
    events = some_events(2_000, days=1)
    stop, problems, looks = threading.Event(), list[str](), 0

    def read() -> None:
        nonlocal looks
        reading, last = SessionLog(log.folder), 0
        while not stop.is_set() and not problems:
            rows = reading.rows("select session, seq from events")
            looks += 1
            if len(set(rows)) != len(rows):
                problems.append("a double")
            if len(rows) < last:
                problems.append(f"a step back from {last} to {len(rows)}")
            last = len(rows)
            for session in {session for session, _ in rows}:
                seqs = [event.seq for event in reading.events(session)]
                if seqs != list(range(len(seqs))):
                    problems.append(f"a gap in {session}")

    thread = threading.Thread(target=read)
    thread.start()
    for number in range(10):
        write_segments(log.folder, events[number * 200 : (number + 1) * 200], count=1, seed=number)
        log.compact(grace_seconds=0)
    stop.set()
    thread.join()
    assert not problems and looks > 3


@pytest.mark.parametrize("moment", ["connect_parts", "add_live"])
@pytest.mark.parametrize(
    "ask",
    [lambda log: log.rows("select sum(events) from sessions")[0][0], lambda log: sum(each.events for each in log.sessions())],
    ids=["rows", "sessions"],
)
def test_read_whose_files_go_meanwhile_is_asked_again(
    log: SessionLog, ask: Callable[[SessionLog], int], moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = some_events(40)
    write_segments(log.folder, events[:20], seed=1)
    log.compact(grace_seconds=0)
    real, gone = getattr(lookup, moment), list[int]()

    def late(*arguments: Any) -> Any:
        if not gone:
            gone.append(1)
            write_segments(log.folder, events[20:], seed=2)
            for _ in range(3):
                SessionLog(log.folder).compact(grace_seconds=0)
        return real(*arguments)

    monkeypatch.setattr(lookup, moment, late)
    assert ask(SessionLog(log.folder)) == len(events)
    assert gone


def test_part_that_is_gone_for_good_is_no_endless_question(log: SessionLog) -> None:
    write_segments(log.folder, some_events(40))
    log.compact(grace_seconds=0)
    assert len(log.rows("select * from events")) == 40
    for part in log.folder.glob("parts/*/*"):
        part.unlink()
    assert SessionLog(log.folder).rows("select * from events") == []
    assert not log.health().ok


def test_damaged_manifest_is_named_and_nothing_is_read_from_it(log: SessionLog) -> None:
    write_segments(log.folder, some_events(10))
    log.compact()
    path = log.folder / manifest.NAME
    path.write_bytes(path.read_bytes().replace(b"parts", b"parrs", 1))
    with pytest.raises(WorkspaceError, match="doctor --repair"):
        SessionLog(log.folder).sessions()


def test_part_that_was_touched_is_not_read(log: SessionLog) -> None:
    events = some_events(300)
    write_segments(log.folder, events)
    log.compact()
    part = max(log.folder.glob("parts/*/*.parquet"))
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    read = by_key(SessionLog(log.folder).scan())
    assert read.items() < by_key(events).items()
    assert SessionLog(log.folder).health().damaged_parts == (str(part.relative_to(log.folder)),)


def test_part_with_another_time_but_the_same_bytes_is_read(log: SessionLog) -> None:
    events = some_events(50)
    write_segments(log.folder, events)
    log.compact()
    for path in (*log.folder.glob("parts/*/*"), *log.folder.glob("sessions-*")):
        os.utime(path, (1, 1))
    assert by_key(SessionLog(log.folder).scan()) == by_key(events)


def test_parts_are_sorted_and_of_one_day(log: SessionLog) -> None:
    import duckdb

    write_segments(log.folder, some_events(500))
    log.compact()
    for part in Compactor(log.folder).manifest.parts:
        rows = duckdb.execute(f"select session, seq, day from '{log.folder / part.name}'").fetchall()
        assert {str(day) for _, _, day in rows} == {part.day} and len(rows) == part.rows
        seen: list[str] = []
        for session, _, _ in rows:
            if not seen or seen[-1] != session:
                assert session not in seen, "a session's rows lie together"
                seen.append(session)


def test_full_disk_stops_compaction_and_loses_nothing(log: SessionLog, run_python: Callable[..., str]) -> None:
    events = some_events(400)
    write_segments(log.folder, events)
    said = run_python(
        """
import resource, signal, sys
from pathlib import Path
from codex.core.errors import WorkspaceError
from codex.sessionlog import SessionLog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))  # a file that would grow past this gets EFBIG, as on a full disk
try:
    SessionLog(Path(sys.argv[1])).compact()
except WorkspaceError as error:
    print("refused:", error)
""",
        log.folder,
    )
    assert said.startswith("refused:") and "room" in said
    assert all_of(log) == by_key(events)
    assert log.compact().events == 400
    assert all_of(log) == by_key(events)


def test_random_histories_agree_with_a_plain_list(log: SessionLog) -> None:
    chance = random.Random(3)
    events = some_events(600, seed=9, days=5)
    written: list[Event] = []
    for number in range(12):
        new = events[number * 50 : (number + 1) * 50]
        write_segments(log.folder, new, count=chance.randrange(1, 4), seed=100 + number)
        written += new
        if chance.random() < 0.6:
            log.compact(grace_seconds=chance.choice((0, 600)))
        assert all_of(log) == by_key(written)
        want = Selection(roles=("tool", "user"), since=events[100].ts, until=events[-100].ts)
        fit = [event for event in written if event.role in want.roles and events[100].ts <= event.ts < events[-100].ts]
        assert by_key(log.scan(want)) == by_key(fit)


def test_frames_of_the_first_form_are_compacted(log: SessionLog) -> None:
    events = some_events(30)
    write_segments(log.folder, events, version=1)
    log.compact()
    assert all_of(log) == by_key(events)


def test_segment_of_a_newer_version_is_left_alone_and_named(log: SessionLog) -> None:
    write_segments(log.folder, some_events(30), count=1, version=99)
    assert log.compact().segments == 0
    with pytest.raises(WorkspaceError, match="newer Codex"):
        log.sessions()


def test_plain_lines_agrees_with_parse() -> None:
    data = b"".join(map(frames.encode, some_events(20)))
    assert frames.plain_lines(data)
    chance = random.Random(1)
    for _ in range(300):
        broken = bytearray(data)
        broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
        assert not frames.plain_lines(bytes(broken))


@pytest.mark.parametrize(
    "query",
    [
        "with x as (copy (select 1 as a) to '{part}' (use_tmp_file false)) select 1",
        "explain analyze copy (select 1 as a) to '{part}'",
        "explain analyze create or replace view events as select 1 as seq",
        "with x as (create or replace view events as select 1 as seq) select 1",
    ],
)
def test_query_changes_no_part_and_no_view(log: SessionLog, query: str) -> None:
    from codex.core.errors import UserError

    events = some_events(60)
    write_segments(log.folder, events)
    log.compact()
    part = next(iter(log.folder.glob("parts/*/*.parquet")))
    before = part.read_bytes()
    with pytest.raises(UserError):
        log.sql(query.format(part=part)).fetchall()
    assert part.read_bytes() == before
    assert by_key(log.scan()) == by_key(events)

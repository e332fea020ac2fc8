"""What is old leaves whole, with what was said of it; nothing else does."""

from __future__ import annotations

from pathlib import Path

from codex.core.events import Event
from codex.sessionlog import SessionLog
from codex.sessionlog.doctor import examine
from tests.sessionlog.logs import by_key, some_events, write_segments


def three_ages(log: SessionLog) -> tuple[list[Event], float]:
    """Sessions of three times; gives the events and a time after which only some sessions have events."""
    events = some_events(300, days=9, sessions=40)
    write_segments(log.folder, events[:200], seed=1)
    log.compact()
    write_segments(log.folder, events[200:], seed=2)
    return events, events[150].ts


def young(events: list[Event], before: float) -> list[Event]:
    last = {event.session: event.ts for event in events}
    return [event for event in events if last[event.session] >= before]


def test_dry_run_counts_what_purge_removes(log: SessionLog) -> None:
    events, before = three_ages(log)
    kept = young(events, before)
    assert 0 < len(kept) < len(events)
    would = log.purge(before, dry_run=True)
    assert by_key(log.scan()) == by_key(events)
    done = log.purge(before)
    gone = {event.session for event in events} - {event.session for event in kept}
    assert (would.sessions, would.events) == (done.sessions, done.events) == (len(gone), len(events) - len(kept))
    assert done.freed > 0
    assert by_key(log.scan()) == by_key(kept)
    assert {info.id for info in log.sessions()} == {event.session for event in kept}
    assert log.purge(before).sessions == 0
    assert examine(log.folder).ok


def test_what_was_removed_is_on_the_disk_no_more(log: SessionLog) -> None:
    with log.session("chat", "Private", id="old") as session:
        session.append("user", "the xylophone password")
    log.annotate("old", 1, note="a xylophone note")
    log.close()
    log = SessionLog(log.folder)
    log.compact()
    assert log.search("xylophone")
    purged = log.purge(log.find()[0].last_ts + 1)
    assert purged.sessions == 2
    assert not log.search("xylophone") and log.sessions() == []
    left = [path for path in log.folder.rglob("*") if path.is_file() and b"xylophone" in path.read_bytes()]
    assert left == []


def test_note_about_an_old_session_goes_with_it_and_others_stay(log: SessionLog) -> None:
    events = some_events(100, days=2, sessions=3)
    write_segments(log.folder, events)
    with log.session("chat", "New", id="new") as session:
        session.append("user", "new")
    log.annotate("s-0", 1, note="about the old")
    log.annotate("new", 1, note="about the new")
    log.close()
    before = events[-1].ts + 1
    assert log.purge(before).sessions == 4
    assert [annotation.note for annotation in log.annotations("new").values()] == ["about the new"]
    assert log.annotations("s-0") == {}
    assert {info.kind for info in log.sessions()} == {"chat", "annotation"}


def test_session_that_is_being_written_stays(log: SessionLog) -> None:
    with log.session("chat", id="open") as session:
        session.append("user", "hello")
        assert log.purge(session.append("user", "again").ts + 100).sessions == 0
        assert len(log.events("open")) == 3


def test_empty_log_has_nothing_to_purge(folder: Path) -> None:
    log = SessionLog.open(folder / "nowhere")
    assert log.purge(1e9).sessions == log.purge(1e9, dry_run=True).sessions == 0
    assert not list(folder.iterdir())

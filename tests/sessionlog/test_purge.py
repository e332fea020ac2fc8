"""What is old leaves whole, with what was said of it; nothing else does."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from codex.core import clock
from codex.core.errors import WorkspaceError
from codex.core.events import Event
from codex.sessionlog import CompactorBusy, SessionBusy, SessionLog, locks, manifest
from codex.sessionlog import purge as purging
from codex.sessionlog.compactor import Compactor
from codex.sessionlog.doctor import examine
from codex.sessionlog.locks import SessionLock, only_one
from codex.sessionlog.store import Store
from codex.sessionlog.text import TextIndex
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


def talk(folder: Path, name: str, *words: str) -> None:
    """A session by a process that has ended."""
    with SessionLog(folder) as log, log.session("chat", id=name) as session:
        for each in words:
            session.append("user", each)


def holding(folder: Path, word: bytes) -> list[str]:
    """The files of a log that hold `word` as it is."""
    return [path.name for path in folder.rglob("*") if path.is_file() and word in path.read_bytes()]


def test_words_of_what_was_removed_leave_the_text_index(log: SessionLog) -> None:
    talk(log.folder, "old", "quuxzorblatt")
    talk(log.folder, "young", "weather", "wind")
    log.compact()
    log.purge(log.find()[0].started)
    assert [hit.event.content for hit in log.search("weather")] == ["weather"]
    segments = json.loads((log.folder / "text-1" / "meta.json").read_text())["segments"]
    assert [(each["max_doc"], each["deletes"]) for each in segments] == [(2, None)], "the words of a deleted row stay in its segment"
    assert examine(log.folder).ok


def test_what_an_open_process_said_is_held_and_goes_with_the_next_purge(log: SessionLog) -> None:
    talk(log.folder, "old", "long ago")
    before = clock.now()
    with SessionLog(log.folder) as app:
        app.annotate("old", 1, edit="a xylophone answer")
        would, done = log.purge(before, dry_run=True), log.purge(before)
        assert (would.sessions, would.events, would.held) == (done.sessions, done.events, done.held) == (1, 3, 1)
        assert [info.kind for info in log.sessions()] == ["annotation"]
    would, done = log.purge(before, dry_run=True), log.purge(before)
    assert (would.sessions, would.events, would.held) == (done.sessions, done.events, done.held) == (1, 3, 0)
    assert log.sessions() == [] and not holding(log.folder, b"xylophone")


def test_what_was_said_long_ago_of_a_session_that_stays_stays(log: SessionLog) -> None:
    with log.session("chat", id="going-on") as session:
        session.append("user", "hello")
        log.annotate("going-on", 1, rating=1)
        before = clock.now()
        session.append("user", "again")
    log.close()
    assert log.purge(before, dry_run=True).sessions == log.purge(before).sessions == 0
    assert log.annotations("going-on")[1].rating == 1


def test_what_a_clock_that_ran_ahead_compacted_is_gone_too(log: SessionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    talk(log.folder, "old", "the xylophone")
    real = clock.now
    with monkeypatch.context() as patched:
        patched.setattr(clock, "now", lambda: real() + 3600)
        log.compact()
    assert holding(log.folder / "segments", b"xylophone")
    assert log.purge(real() + 1).sessions == 1
    assert not holding(log.folder, b"xylophone")


class Killed(BaseException):
    """What nobody catches, as a process that is killed does not."""


def kill_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Die before publishing a MANIFEST or removing the text index for the time that `step` says, from 0."""
    left = [step]

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return real(*arguments, **named)

        return run

    monkeypatch.setattr(TextIndex, "remove", dying(TextIndex.remove))
    monkeypatch.setattr(manifest, "publish", dying(manifest.publish))


@pytest.mark.parametrize("everything", [False, True], ids=["some", "all"])
def test_purge_that_is_killed_at_any_step_leaves_nothing_for_good(folder: Path, monkeypatch: pytest.MonkeyPatch, everything: bool) -> None:
    for session, words in (("old", ["xylophone"]), ("young", [] if everything else [f"weather {'word ' * n}" for n in range(12)])):
        talk(folder / "log", session, *words)
    log = SessionLog(folder / "log")
    log.compact()
    before = clock.now() if everything else log.events("young")[0].ts
    step = 0
    for step in range(2, 100):  # before that it compacts
        shutil.copytree(folder / "log", folder / f"{step}")
        killed = SessionLog(folder / f"{step}")
        with monkeypatch.context() as patching:
            kill_at(step, patching)
            try:
                killed.purge(before)
            except Killed:
                pass
            else:
                break
        SessionLog(killed.folder).compact()
        assert examine(killed.folder).ok, step
        assert everything or len(SessionLog(killed.folder).search("weather", limit=10)) == 10, step
        SessionLog(killed.folder).purge(before)
        assert not holding(killed.folder, b"xylophone"), step
        index = TextIndex(killed.folder)
        assert not index.exists() if everything else index.open().searcher().num_docs == 12, step
    assert step > 4


def meanwhile(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Have something happen once, after a purge has chosen what goes and before it is gone."""
    real, left = Compactor.write_rollup, [happens]

    def write(self: Compactor, *arguments: Any) -> Any:
        if left:
            left.pop()()
        return real(self, *arguments)

    monkeypatch.setattr(Compactor, "write_rollup", write)


def test_session_that_is_continued_meanwhile_stays_whole(log: SessionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("old", "coming-back", "held"):
        talk(log.folder, name, "long ago")
    log.annotate("coming-back", 1, rating=1)
    log.close()
    log.compact()
    before = clock.now()
    holder = SessionLock(log.folder / "locks", "held")  # as one has who is about to go on with it

    def come_back() -> None:
        talk(log.folder, "coming-back", "here again")
        holder.acquire()

    meanwhile(monkeypatch, come_back)
    assert (log.purge(before).sessions, holder.release()) == (1, None)
    assert [event.content for event in log.events("coming-back") if event.role == "user"] == ["long ago", "here again"]
    assert log.annotations("coming-back")[1].rating == 1
    assert {info.id for info in log.sessions() if info.kind == "chat"} == {"coming-back", "held"}
    assert log.search("again") and log.check().ok and examine(log.folder).ok


def test_session_is_not_continued_in_the_moment_of_its_removal(log: SessionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    talk(log.folder, "old", "long ago")
    real, asked = manifest.publish, list[str]()

    def publish(folder: Path, wanted: manifest.Manifest) -> manifest.Manifest:
        if not wanted.parts and not asked:  # that is the one without it
            with pytest.raises(SessionBusy, match=r"waits for a purge or a repair of the log; .* Try again when it has ended"):
                SessionLog(log.folder).session("chat", id="old")
            asked.append("old")
            with SessionLog(log.folder) as writing, writing.session("chat") as new:  # which nobody can be about to remove
                asked.append(new.id)
        return real(folder, wanted)

    log.compact()
    monkeypatch.setattr(manifest, "publish", publish)
    monkeypatch.setattr(locks, "_PURGE_SECONDS", 0.1)
    assert (log.purge(clock.now()).sessions, len(asked)) == (1, 2)
    assert {info.id for info in log.sessions()} == {asked[1]}
    with log.session("chat", id="old") as session:
        assert session.append("user", "anew").seq == 1


def test_session_waits_for_a_slow_purge_and_then_begins(log: SessionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_PATIENCE_SECONDS", 0.05)
    talk(log.folder, "other", "long ago")
    with locks.nobody_begins(log.folder / "locks"):
        begins = threading.Thread(target=talk, args=(log.folder, "other", "again"))
        begins.start()
        begins.join(0.3)
        assert begins.is_alive()
    begins.join(10)
    assert [event.content for event in log.events("other") if event.role == "user"] == ["long ago", "again"]


def test_dry_run_of_which_a_segment_goes_meanwhile_counts_all_the_same(log: SessionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    talk(log.folder, "old", "long ago")
    listed = Path.iterdir

    def iterdir(path: Path) -> Iterator[Path]:
        yield from [*listed(path), *([path / "2026-gone.v2.ndjson"] if path.name == "segments" else [])]

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert log.purge(clock.now(), dry_run=True).sessions == 1


def test_dry_run_whose_parts_go_meanwhile_counts_all_the_same(log: SessionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    talk(log.folder, "old", "long ago")
    log.compact()
    young = clock.now()
    talk(log.folder, "young", "just now")
    real = purging.connect_parts

    def connect(store: Any) -> Any:
        connection = real(store)
        monkeypatch.setattr(purging, "connect_parts", real)
        assert SessionLog(log.folder).purge(young).sessions == 1
        return connection

    monkeypatch.setattr(purging, "connect_parts", connect)
    assert log.purge(clock.now(), dry_run=True).sessions == 1


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (lambda log: [hit.event.content for hit in log.search("zebra")], ["the zebra"]),
        (lambda log: [event.content for event in log.tail(n=2)][:1], ["the zebra"]),
        (lambda log: [event.content for event in log.tail("young", n=2)][:1], ["the zebra"]),
        (lambda log: log.annotate("young", 1, rating=1).rating, 1),
        (lambda log: log.session("chat", id="young").append("user", "again").seq, 4),
        (lambda log: log.health().ok, True),
        (lambda log: log.ingest([Event(session="young", seq=0, ts=0.0, role="user", kind="chat")]).renamed, {"young": "young-2"}),
    ],
    ids=["search", "tail", "tail of one", "annotate", "go on", "health", "ingest"],
)
def test_question_whose_parts_go_meanwhile_is_asked_again(
    log: SessionLog, monkeypatch: pytest.MonkeyPatch, ask: Callable[[SessionLog], object], answer: object
) -> None:
    talk(log.folder, "old", "long ago")
    before = clock.now()
    talk(log.folder, "young", "the zebra")
    log.compact()
    real = Store.refresh

    def refresh(store: Store) -> manifest.Manifest:
        seen = real(store)
        if Store.refresh is refresh:  # once
            monkeypatch.setattr(Store, "refresh", real)
            assert SessionLog(log.folder).purge(before).sessions == 1
        return seen

    monkeypatch.setattr(Store, "refresh", refresh)
    assert ask(log) == answer


@pytest.mark.parametrize("hidden", [False, True], ids=["young part that looks touched", "old part that does not"])
def test_purge_of_a_damaged_log_is_refused_and_changes_nothing(log: SessionLog, hidden: bool) -> None:
    write_segments(log.folder, some_events(10, sessions=1, days=1))
    before = clock.now()
    talk(log.folder, "young", "just now")
    log.compact()
    parts = sorted(Compactor(log.folder).manifest.parts, key=lambda part: part.day)
    part = parts[0 if hidden else 1]
    path = log.folder / part.name
    path.write_bytes(b"Q" + path.read_bytes()[1:])  # DuckDB does not look at it
    os.utime(path, ns=(part.modified, part.modified if hidden else 1))
    with pytest.raises(WorkspaceError, match="is damaged"):
        log.purge(before)
    assert sorted(Compactor(log.folder).manifest.parts, key=lambda part: part.day) == parts


def test_copies_in_quarantine_are_counted_for_they_stay(log: SessionLog) -> None:
    talk(log.folder, "old", "the xylophone")
    (path,) = log.folder.glob("segments/*")
    path.write_bytes(path.read_bytes().replace(b"the xylo", b"eht xylo"))
    log.compact()
    assert log.purge(clock.now(), dry_run=True).quarantined == log.purge(clock.now()).quarantined == 1
    (log.folder / "quarantine" / "lost-events.5b0c.json").write_text("{}")  # says how many, not which
    assert log.purge(clock.now()).quarantined == 1


def test_purge_beside_a_compactor_is_refused_and_leaves_its_files(log: SessionLog) -> None:
    talk(log.folder, "old", "long ago")
    with only_one(log.folder):
        (log.folder / "scratch").mkdir()
        with pytest.raises(CompactorBusy):
            log.purge(clock.now())
        assert (log.folder / "scratch").is_dir()

"""The log as a whole: lists, following, closing, and what it costs to import."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from codex.core import clock
from codex.core.errors import UserError
from codex.core.paths import Workspace
from codex.sessionlog import SessionLog

ROOT = Path(__file__).parents[2]


def test_opening_and_reading_make_no_folder_and_the_first_session_does(folder: Path) -> None:
    log = SessionLog.open(Workspace(folder))
    assert not list(folder.iterdir())
    with log.session("chat"):
        assert len(list((folder / "log" / "segments").glob("*.ndjson"))) == 1
    log.close()
    assert not list((folder / "log" / "locks").iterdir())


def test_tail_gives_the_last_events_of_all_sessions_by_time(log: SessionLog) -> None:
    with log.session("chat", id="a") as first, log.session("chat", id="b") as second:
        for number in range(5):
            first.append("info", f"a{number}")
            second.append("info", f"b{number}")
        assert [event.content for event in log.tail(n=4)] == ["a3", "b3", "a4", "b4"]
        assert [event.content for event in log.tail("a", n=2)] == ["a3", "a4"]
        assert list(log.tail(n=0)) == [] and list(log.tail("nobody")) == []


@pytest.mark.parametrize("only", [None, "talk"])
def test_tail_that_follows_gives_what_was_compacted_between_two_looks(folder: Path, only: str | None) -> None:
    def say(session: str, *words: str) -> None:
        with SessionLog.open(folder) as writing, writing.session("chat", id=session) as said:
            for word in words:
                said.append("user", word)

    say("old", "long ago")
    say("talk", "zero")
    SessionLog.open(folder).compact(grace_seconds=0)
    say("talk", "one")
    following = SessionLog.open(folder).tail(only, follow=True, n=2, poll_seconds=0.001)
    assert [next(following).content, next(following).attributes["session_event"]] == ["one", "ended"]
    say("talk", "two", "three")
    say("new", "four")
    SessionLog.open(folder).compact(grace_seconds=0)
    say("talk", "five")
    say("end" if only is None else only, "that was all")
    seen: list[tuple[str, int, str]] = []
    while not seen or seen[-1][2] != "that was all":
        event = next(following)
        seen.append((event.session, event.seq, event.content))
    assert [word for _, _, word in seen if word] == ["two", "three", *(["four"] if only is None else []), "five", "that was all"]
    assert len(seen) == len(set(seen))
    assert [seq for session, seq, _ in seen if session == "talk"][:4] == [6, 7, 8, 9]


@pytest.mark.parametrize("only", [None, "default"])
def test_tail_that_follows_gives_all_of_a_session_that_was_purged_and_begun_again(folder: Path, only: str | None) -> None:
    def say(*words: str) -> None:
        with SessionLog.open(folder) as writing, writing.session("chat", id="default") as said:
            for word in words:
                said.append("user", word)

    say(*"abcdef")
    following = SessionLog.open(folder).tail(only, follow=True, n=1, poll_seconds=0.001)
    assert next(following).seq == 7
    SessionLog.open(folder).purge(clock.now() + 1)
    say("new", "and newer")
    assert [next(following).content for _ in range(4)] == ["", "new", "and newer", ""]
    say("last")
    assert [(event.seq, event.content) for event in (next(following) for _ in range(3))] == [(4, ""), (5, "last"), (6, "")]


def test_tail_that_follows_gives_what_comes_once_and_in_order(log: SessionLog) -> None:
    with log.session("chat", id="a") as session:
        session.append("info", "old")
        following = log.tail(follow=True, n=1, poll_seconds=0.001)
        assert next(following).content == "old"
        for number in range(5):
            session.append("info", f"{number}, first")
            session.append("info", f"{number}, second")
            assert [next(following).content for _ in range(2)] == [f"{number}, first", f"{number}, second"]
        with log.session("chat", "new", id="b"):
            pass
        assert [next(following).attributes["session_event"] for _ in range(2)] == ["opened", "ended"]
        session.append("info", "last")
        assert next(following).content == "last"


def test_since_walks_a_session_in_steps_without_a_gap(log: SessionLog) -> None:
    position, seen = 0, []
    with log.session("training", id="t") as session:
        for step in range(30):
            session.append("info", step=step)
            if step % 7 == 0:
                events, position = log.since("t", position)
                seen += [event.seq for event in events]
    events, position = log.since("t", position)
    assert [*seen, *(event.seq for event in events)] == list(range(32)) and position == 32
    assert log.since("t", position) == ([], 32)


def test_closing_the_log_ends_open_sessions_and_leaves_reading(log: SessionLog) -> None:
    log.session("chat", id="c").append("user", "hello")
    log.close()
    assert log.sessions()[0].outcome == "left open" and len(log.events("c")) == 3
    with pytest.raises(UserError, match="the session log is closed"):
        log.session("chat")


@pytest.mark.parametrize("ending", ["pass", "raise SystemExit(3)", "1 / 0"])
def test_process_that_ends_without_closing_still_ends_its_sessions(folder: Path, ending: str) -> None:
    code = f"""
import sys
from codex.sessionlog import SessionLog
session = SessionLog.open(sys.argv[1]).session("training", id="t")
session.append("info", step=1)
{ending}
"""
    subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, capture_output=True, check=False)
    log = SessionLog.open(folder)
    assert [event.step for event in log.events("t")] == [None, 1, None]
    assert log.sessions()[0].outcome == "left open" and log.check().torn == ()


def test_writing_and_reading_events_import_nothing_heavy(folder: Path, run_python: Callable[..., str]) -> None:
    loaded = run_python(
        """
import sys
from codex.sessionlog import SessionLog
with SessionLog.open(sys.argv[1]) as log, log.session("chat", id="c") as session:
    session.append("user", "hello")
    assert len(log.events("c")) == 2 and log.sessions() and log.check().ok
print(*{name.partition(".")[0] for name in sys.modules})
""",
        folder,
    ).split()
    assert not {"duckdb", "pyarrow", "polars", "pandas", "numpy", "torch"} & set(loaded)


def test_four_writers_killed_in_three_rounds_lose_no_acknowledged_event() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.log_crash", "--json", "--rounds", "3", "--seed", "7"]
    figures = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)["figures"]
    assert figures["acknowledged"] >= 12 and figures["rounds"] == 3
    assert {
        name: figures[name] for name in ("acknowledged_lost", "wrong", "duplicates", "readers_differ", "missing", "bad_frames")
    } == dict.fromkeys(("acknowledged_lost", "wrong", "duplicates", "readers_differ", "missing", "bad_frames"), 0)

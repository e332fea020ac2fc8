"""What a session takes, how it ends, and who may write it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codex.core import clock
from codex.core.errors import UserError, WorkspaceError
from codex.sessionlog import SessionLog


def test_append_returns_the_event_as_it_is_read_back(log: SessionLog) -> None:
    with log.session("chat", "title", id="c", run_id="r1", attributes={"app": "ui"}) as session:
        said = session.append("user", "hi", attributes={"where": Path("/a"), "pair": (1, 2)}, tokens_in=2)
        answered = session.append("assistant", "ho", model="m", latency_ms=3, tokens_out=1, tool="t", run_id="r2", step=4, loss=0.5)
    opened, *between, ended = log.events("c")
    assert between == [said, answered]
    assert said.attributes == {"where": "/a", "pair": [1, 2]} and (said.run_id, answered.run_id) == ("r1", "r2")
    assert (opened.seq, opened.content, opened.attributes) == (0, "title", {"app": "ui", "session_event": "opened"})
    assert (ended.seq, ended.attributes) == (3, {"session_event": "ended", "outcome": "finished"})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"role": "robot"}, r"`role` of an event is 'robot'; input should be 'system'"),
        ({"role": "user", "content": None}, r"`content` of an event is None; input should be a valid string"),
        ({"role": "user", "attributes": [1]}, r"`attributes` of an event is \[1\]; input should be a valid dictionary"),
        ({"role": "user", "attributes": {"x": object()}}, r"attributes .*object.* cannot be stored"),
        ({"role": "info", "step": 2**63}, r"`step` of an event is .*; input should be less than"),
        ({"role": "info", "tokens_in": 2**53 + 1}, r"`tokens_in` of an event is 9007199254740993; input should be less than or equal to"),
        ({"role": "info", "tokens_out": -1}, r"`tokens_out` of an event is -1; input should be greater than or equal to 0"),
        ({"role": "info", "step": 1.5}, r"`step` of an event is 1.5; input should be a valid integer"),
        ({"role": "info", "tokens": 3}, r"`tokens` of an event is 3; extra inputs are not permitted. .*put it into `attributes`"),
    ],
)
def test_value_that_does_not_fit_is_refused_and_takes_no_seq(log: SessionLog, fields: dict[str, Any], message: str) -> None:
    with log.session("chat", id="c") as session:
        with pytest.raises(UserError, match=message):
            session.append(**fields)
        assert session.append("user", "fits").seq == 1


def test_attributes_nested_beyond_reading_are_refused(log: SessionLog) -> None:
    nested: list[Any] = []
    for _ in range(220):
        nested = [nested]
    with log.session("chat") as session, pytest.raises(UserError, match="too deep"):
        session.append("info", attributes={"x": nested})


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b", "x" * 151, "a\n"])
def test_session_id_that_is_no_name_is_refused(log: SessionLog, name: str) -> None:
    with pytest.raises(UserError, match=r"session id .* cannot be used"):
        log.session("chat", id=name)


def test_unknown_kind_is_refused(log: SessionLog) -> None:
    with pytest.raises(UserError, match="session kind 'chatt' is unknown; expected one of chat, agent"):
        log.session("chatt")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("error", "outcome", "role"),
    [
        (ValueError("no data"), "failed", "error"),
        (KeyboardInterrupt(), "interrupted", "warning"),
        (SystemExit(3), "interrupted", "warning"),
    ],
)
def test_exception_ends_the_session_and_is_said_there(log: SessionLog, error: BaseException, outcome: str, role: str) -> None:
    with pytest.raises(type(error)) as caught, log.session("agent", id="a") as session:
        session.append("user", "go")
        raise error
    assert caught.value is error
    ended = log.events("a")[-1]
    assert (ended.role, ended.content) == (role, f"{type(error).__name__}: {error}")
    assert ended.attributes == {"session_event": "ended", "outcome": outcome, "exception": type(error).__name__}
    assert log.sessions()[0].outcome == outcome


def test_exit_with_status_0_is_a_good_ending(log: SessionLog) -> None:
    with pytest.raises(SystemExit), log.session("agent", id="a"):
        raise SystemExit(0)
    assert log.sessions()[0].outcome == "finished"


def test_ending_that_cannot_be_written_does_not_hide_the_exception(log: SessionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(frame: bytes) -> None:
        raise WorkspaceError("the disk", "expected room", "Free some.")

    with pytest.raises(ValueError, match="the reason") as caught, log.session("agent", id="a") as session:
        monkeypatch.setattr(session._writer, "write", refuse)  # pyright: ignore[reportPrivateUsage]
        raise ValueError("the reason")
    assert "does not have this ending: the disk" in caught.value.__notes__[0]
    monkeypatch.undo()
    with log.session("agent", id="a"):
        pass  # the lock was let go


def test_opening_that_fails_holds_nothing_back(log: SessionLog) -> None:
    with pytest.raises(UserError, match="cannot be stored"):
        log.session("chat", id="c", attributes={"x": object()})
    with log.session("chat", id="c") as session:
        assert session.append("user").seq == 1


def test_closed_session_takes_nothing_more(log: SessionLog) -> None:
    session = log.session("chat", id="c")
    session.close()
    session.close()
    with pytest.raises(UserError, match=r"'c' is closed.*id='c'"):
        session.append("user", "late")
    assert len(log.events("c")) == 2


def test_continued_session_counts_on_and_keeps_its_title(log: SessionLog) -> None:
    with log.session("chat", "first title", id="c") as session:
        session.append("user", "one")
    with log.session("chat", "second title", id="c") as session:
        session.append("user", "two")
        (info,) = log.sessions()
        assert info.outcome is None
    events = log.events("c")
    assert [event.seq for event in events] == list(range(6))
    assert [event.attributes.get("session_event") for event in events] == ["opened", None, "ended", "continued", None, "ended"]
    (info,) = log.sessions()
    assert (info.title, info.events, info.outcome, info.started, info.last_ts) == (
        "first title",
        6,
        "finished",
        events[0].ts,
        events[-1].ts,
    )


def test_session_goes_on_in_another_process(log: SessionLog, folder: Path, run_python: Callable[..., str]) -> None:
    with log.session("training", id="t") as session:
        session.append("info", step=0)
    run_python(
        "import sys; from codex.sessionlog import SessionLog\n"
        "with SessionLog.open(sys.argv[1]) as log, log.session('training', id='t') as s: s.append('info', step=1)",
        folder,
    )
    with log.session("training", id="t") as session:
        session.append("info", step=2)
    events = log.events("t")
    assert [event.seq for event in events] == list(range(9))
    assert [event.step for event in events if event.step is not None] == [0, 1, 2]


def test_clock_that_jumps_back_does_not_reorder(log: SessionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([5000.0 - 100 * number for number in range(50)])
    monkeypatch.setattr(clock, "now", lambda: next(times))
    with log.session("chat", id="c") as session:
        for number in range(10):
            session.append("info", str(number))
    with log.session("chat", id="c") as session:
        session.append("info", "10")
    said = [event.content for event in log.events("c") if event.content]
    assert said == [str(number) for number in range(11)]
    assert [event.content for event in log.tail("c", n=2)] == ["10", ""]


def test_threads_share_a_session_without_losing_or_repeating_a_seq(folder: Path) -> None:
    log = SessionLog(folder, segment_bytes=5000)  # so that segments are changed while other threads write and sync
    with log, log.session("agent", id="shared") as shared:

        def work(number: int) -> None:
            with log.session("agent", id=f"own-{number}") as own:
                for index in range(100):
                    shared.append("tool" if index % 25 == 0 else "info", f"{number}:{index}")
                    own.append("info", str(index))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        usual = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)  # so that threads are interrupted between any two steps
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            sys.setswitchinterval(usual)
    events = log.events("shared")
    assert [event.seq for event in events] == list(range(802))
    said = [event.content.split(":") for event in events[1:-1]]
    for number in range(8):
        assert [index for who, index in said if who == str(number)] == [str(index) for index in range(100)]
        assert len(log.events(f"own-{number}")) == 102
    report = log.check()
    assert report.ok and report.torn == () and report.segments > 20
    assert max(path.stat().st_size for path in (folder / "segments").iterdir()) <= 5000

"""Adding events of elsewhere: the same event once, and two sessions of one name kept apart."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from codex.core.errors import UserError
from codex.core.events import Event
from codex.sessionlog import Ingested, SessionLog, segment
from tests.sessionlog.logs import write_segments

FIRST = ["hi from A", "answer A"]
SECOND = ["QUESTION B1", "ANSWER B1", "question B2"]


def talk(texts: list[str], *, session: str = "default", ts: float = 100.0, **fields: object) -> list[Event]:
    """A talk of `texts`, numbered from 0."""
    alike: dict[str, object] = {"session": session, "role": "user", "kind": "chat", **fields}
    return [Event.model_validate({**alike, "seq": seq, "ts": ts + seq, "content": text}) for seq, text in enumerate(texts)]


def texts(log: SessionLog, session: str) -> list[str]:
    return [event.content for event in log.events(session)]


def grown(log: SessionLog, compacted: bool) -> SessionLog:
    """The log as another process finds it, compacted or not."""
    log.close()
    again = SessionLog(log.folder)
    if compacted:
        again.compact()
    return again


@pytest.mark.parametrize("compacted", [False, True])
def test_another_session_of_the_same_name_goes_whole_under_a_name_of_its_own(log: SessionLog, compacted: bool) -> None:
    assert log.ingest(talk(FIRST)) == Ingested(2, 0)
    log = grown(log, compacted)
    assert log.ingest(talk(SECOND, ts=900)) == Ingested(3, 0, {"default": "default-2"})
    log = grown(log, compacted)
    assert log.ingest(talk(SECOND, ts=900)) == Ingested(0, 3, {"default": "default-2"})
    assert log.ingest(talk(FIRST)) == Ingested(0, 2)
    assert log.ingest(talk(SECOND[1:])) == Ingested(2, 0, {"default": "default-3"})
    assert (texts(log, "default"), texts(log, "default-2"), texts(log, "default-3")) == (FIRST, SECOND, SECOND[1:])
    assert log.events("default-2")[0].attributes == {"imported": {"session_id": "default"}}
    log.close()


@pytest.mark.parametrize("change", [{"role": "tool"}, {"kind": "agent"}, {"ts": 100.000001}, {"tool": "grep"}])
def test_event_that_differs_in_anything_it_says_is_another(log: SessionLog, change: dict[str, object]) -> None:
    log.ingest(talk(FIRST))
    assert log.ingest(talk(FIRST, **change)).renamed == {"default": "default-2"}  # pyright: ignore[reportArgumentType]


def test_session_that_has_grown_goes_on_under_its_name(log: SessionLog) -> None:
    log.ingest(talk(FIRST))
    log.ingest(talk(SECOND))
    assert log.ingest(talk([*FIRST, "more"])) == Ingested(1, 2)
    assert log.ingest(talk([*SECOND, "more"])) == Ingested(1, 3, {"default": "default-2"})


def test_events_that_do_not_meet_a_session_of_another_name_are_none_of_its_own(log: SessionLog) -> None:
    log.ingest(talk(FIRST, session="default-2"))
    log.ingest(talk(["x", "y", "z"]))
    assert log.ingest(talk(["x", "y", "other", "w"])[2:]).renamed == {"default": "default-3"}


def test_two_different_events_of_one_number_are_refused_and_nothing_is_added(log: SessionLog) -> None:
    with pytest.raises(UserError, match="two different events are number 0 of session 'default'"):
        log.ingest([*talk(["a", "b"], session="before"), *talk(FIRST), *talk(SECOND)])
    assert log.sessions() == []
    assert log.ingest([*talk(FIRST), *talk(FIRST)]) == Ingested(2, 2)


def test_what_is_called_a_secret_today_is_the_same_event(folder: Path) -> None:
    told = talk(["my desk is desk 4711"])
    with SessionLog.open(folder) as log:
        log.ingest(told)
    (folder / "redaction.yaml").write_text("extra:\n  desk: 'desk [0-9]+'\n")
    with SessionLog.open(folder) as log:
        assert log.ingest(told) == Ingested(0, 1)


def test_annotations_follow_the_session_that_they_are_about(log: SessionLog, tmp_path: Path) -> None:
    with SessionLog.open(tmp_path / "other") as other:
        other.ingest(talk(SECOND))
        other.annotate("default", 1, rating=1)
        log.ingest(talk(FIRST))
        log.ingest(other.scan())
    assert log.annotations("default") == {}
    assert log.annotations("default-2")[1].rating == 1


def counted_through(sessions: int, rows: int) -> list[Event]:
    """Events of several sessions in turn, whose numbers count through all of them from 1, as AUTOINCREMENT does."""
    alike = {"role": "user", "kind": "chat"}
    return [
        Event.model_validate({**alike, "session": f"s-{at % sessions}", "seq": at + 1, "ts": float(at), "content": f"n{at}"})
        for at in range(rows)
    ]


@pytest.mark.parametrize("compacted", [False, True])
def test_numbers_with_gaps_become_numbers_without_and_nothing_counts_as_missing(log: SessionLog, compacted: bool) -> None:
    events = counted_through(3, 30)
    assert log.ingest(events[:21]) == Ingested(21, 0)
    log = grown(log, compacted)
    assert log.ingest(events) == Ingested(9, 21)
    log = grown(log, compacted)
    assert log.ingest(reversed(events)) == Ingested(0, 30)
    report = log.check()
    assert report.ok and report.missing == 0
    for number in range(3):
        found = log.events(f"s-{number}")
        assert [event.seq for event in found] == list(range(10))
        assert [event.content for event in found] == [f"n{at}" for at in range(number, 30, 3)]
        assert [event.attributes["imported"]["seq"] for event in found] == list(range(number + 1, 31, 3))
    log.close()


def test_some_events_of_a_session_go_through_other_logs_and_are_known_again(log: SessionLog, tmp_path: Path) -> None:
    whole = talk(["q0", "a1", "q2", "a3", "q4", "a5"])
    with SessionLog.open(tmp_path / "other") as other:
        assert other.ingest(whole[1::2]) == Ingested(3, 0)
        log.ingest(other.scan())
        assert list(log.scan()) == list(other.scan())
    assert log.health().missing == 0
    assert log.ingest(whole[1::2]) == Ingested(0, 3)
    assert log.ingest(whole) == Ingested(6, 0, {"default": "default-2"})
    assert (texts(log, "default"), texts(log, "default-2")) == (["a1", "a3", "a5"], [event.content for event in whole])


def test_what_the_log_lost_comes_back_in_its_place(log: SessionLog) -> None:
    whole = talk(["a", "b", "c", "d"])
    write_segments(log.folder, [whole[0], whole[3]], 1)
    assert log.health().missing == 2
    assert log.ingest(whole) == Ingested(2, 2)
    assert log.events("default") == whole and log.health().missing == 0


def test_annotations_follow_the_number_of_the_event_that_they_are_about(log: SessionLog, tmp_path: Path) -> None:
    with SessionLog.open(tmp_path / "other") as other:
        other.ingest(talk(["q0", "a1", "q2", "a3"]))
        other.annotate("default", 3, rating=1)
        log.ingest(event for event in other.scan() if event.kind == "annotation" or event.seq % 2)
    assert set(log.annotations("default")) == {1}
    assert log.events("default")[1].content == "a3"


def test_what_the_first_import_kept_stays_whatever_logs_an_event_goes_through(log: SessionLog, tmp_path: Path) -> None:
    """Under a third name and a third number, an event still says whose it was."""
    told = talk(["q0", "a1", "q2", "a3"])
    with SessionLog.open(tmp_path / "b") as second:
        second.ingest(talk(FIRST, ts=900))
        assert second.ingest(told[1::2]).renamed == {"default": "default-2"}
        log.ingest(talk(["w", "x", "y", "z"], session="default-2", ts=900))
        came = [event for event in second.events("default-2") if event.seq]
        assert log.ingest(came).renamed == {"default-2": "default-2-2"}
    (event,) = log.events("default-2-2")
    assert (event.seq, event.content, event.attributes) == (0, "a3", {"imported": {"session_id": "default", "seq": 3}})


def test_long_id_of_another_session_is_cut_to_make_room(log: SessionLog) -> None:
    long = "x" * 150
    log.ingest(talk(FIRST, session=long))
    assert log.ingest(talk(SECOND, session=long)).renamed == {long: "x" * 148 + "-2"}
    assert texts(log, "x" * 148 + "-2") == SECOND


def test_what_was_added_is_synced_when_the_import_returns(log: SessionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(segment, "datasync", lambda descriptor: sizes.append(os.fstat(descriptor).st_size))
    log.ingest(talk(FIRST))
    (written,) = (log.folder / "segments").iterdir()
    assert sizes[-1:] == [written.stat().st_size]


def test_text_that_is_no_unicode_is_the_same_event_the_next_time(log: SessionLog) -> None:
    odd = talk(["half a \ud83d pair", "whole"])
    assert log.ingest(odd) == Ingested(2, 0)
    assert log.ingest(odd) == Ingested(0, 2)
    assert texts(log, "default") == ["half a \ufffd pair", "whole"]

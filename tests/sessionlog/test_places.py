"""Where events that come in belong: a session that grows here and there is known again, and another one never joins it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from codex.core.events import Event
from codex.sessionlog import Ingested, Selection, SessionLog
from codex.sessionlog.places import Another, Held, Row
from tests.sessionlog.logs import write_segments


def row(seq: int, content: str, *, session: str = "s", **attributes: object) -> Event:
    return Event(session=session, seq=seq, ts=100.0 + seq, role="user", kind="chat", content=content, attributes=attributes)


SOURCE = [row(1, "a"), row(4, "b"), row(7, "c")]


def turn(log: SessionLog, text: str) -> int:
    """Go on with the session here; gives how many events that made."""
    before = len(log.events("s"))
    with log.session("chat", id="s") as session:
        session.append("user", text)
    return len(log.events("s")) - before


def texts(log: SessionLog, session: str = "s") -> list[str]:
    return [event.content for event in log.events(session) if event.role == "user"]


def test_imported_session_that_goes_on_here_is_synced_to_other_logs_and_only_what_is_new_is_added(log: SessionLog, tmp_path: Path) -> None:
    with SessionLog.open(tmp_path / "b") as second, SessionLog.open(tmp_path / "c") as third:
        assert log.ingest(SOURCE) == Ingested(3, 0)
        had = 0
        for number in range(4):
            new = turn(log, f"turn {number}") + (3 if number == 0 else 0)
            assert second.ingest(log.scan()) == Ingested(new, had)
            assert third.ingest(second.scan()) == Ingested(new, had)
            had += new
            assert second.ingest(log.scan()) == log.ingest(third.scan()) == Ingested(0, had)
        assert list(log.scan()) == list(second.scan()) == list(third.scan())


@pytest.mark.parametrize("seed", range(3))
def test_session_that_grows_here_and_where_it_came_from_stays_one(log: SessionLog, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    source = list(SOURCE)
    logs = [log, SessionLog.open(tmp_path / "b"), SessionLog.open(tmp_path / "c")]
    log.ingest(source)
    for number in range(25):
        match chance.randrange(4):
            case 0:
                turn(log, f"turn {number}")
            case 1:
                source.append(row(source[-1].seq + chance.randrange(1, 4), f"source {number}"))
                assert log.ingest(source) == Ingested(1, len(source) - 1)
            case at:
                came, there = list(logs[at - 2].scan()), len(logs[at - 1].events("s"))
                assert logs[at - 1].ingest(came) == Ingested(len(came) - there, there)
                assert list(logs[at - 1].scan()) == came
    assert texts(log).count("turn 0") <= 1 and log.check().ok
    for each in logs:
        each.close()


@pytest.mark.parametrize("together", [0, 2])  # after two turns the numbers here are beyond those of the source
def test_two_logs_that_went_on_with_one_import_differ_and_are_kept_apart(log: SessionLog, tmp_path: Path, together: int) -> None:
    with SessionLog.open(tmp_path / "b") as other:
        log.ingest(SOURCE)
        other.ingest(SOURCE)
        had = 3 + sum(turn(log, f"turn {number}") for number in range(together))
        other.ingest(log.scan())
        turn(other, "said there")
        had += turn(log, "said here")
        assert other.ingest(log.scan()) == Ingested(had, 0, {"s": "s-2"})
        assert other.ingest(log.scan(Selection(sessions=("s",), where="seq > 3"))).renamed == {"s": "s-2"}
        new = turn(log, "and again")
        assert other.ingest(log.scan()) == Ingested(new, had, {"s": "s-2"})
        assert texts(other)[-1] == "said there" and texts(other, "s-2") == texts(log)


def test_what_a_copy_lost_comes_back_in_its_place_and_a_copy_of_some_events_goes_on(log: SessionLog, tmp_path: Path) -> None:
    log.ingest(SOURCE)
    turn(log, "one")
    turn(log, "two")
    whole = log.events("s")
    with SessionLog.open(tmp_path / "b") as other:
        write_segments(other.folder, [event for event in whole[:-1] if event.seq != 4], 1)
        assert other.ingest(log.scan(Selection(where="seq > 5"))) == Ingested(1, 2)
        assert other.ingest(log.scan()) == Ingested(1, len(whole) - 1)
        assert other.events("s") == whole


@pytest.mark.parametrize("number", [2, 3, 5])
def test_event_that_belongs_between_those_that_were_numbered_anew_makes_another_session(log: SessionLog, number: int) -> None:
    log.ingest(SOURCE)
    assert log.ingest([*SOURCE, row(number, "between")]) == Ingested(4, 0, {"s": "s-2"})
    assert texts(log) == ["a", "b", "c"] and len(texts(log, "s-2")) == 4


def test_export_without_attributes_and_one_with_them_are_the_same_session(log: SessionLog, tmp_path: Path) -> None:
    log.ingest([*SOURCE, row(8, "d")])
    bare = [event.model_copy(update={"attributes": {}}) for event in log.scan()]
    assert log.ingest(bare) == Ingested(0, 4)
    with SessionLog.open(tmp_path / "b") as other:
        write_segments(other.folder, bare[:3], 1)
        assert other.ingest(log.scan()) == Ingested(1, 3)


@pytest.mark.parametrize("origin", [-5, 2**53 + 1, 2**70, "3", True, None])
def test_number_that_an_import_cannot_have_kept_is_no_number(log: SessionLog, origin: object) -> None:
    odd = [row(0, "a", imported={"seq": origin}), row(1, "b")]
    assert log.ingest(odd) == Ingested(2, 0)
    assert log.ingest(odd) == Ingested(0, 2)
    assert log.events("s") == odd


def some_rows(chance: random.Random, prints: int) -> list[Row]:
    """Rows of a session whose numbers and origins may have anything."""
    seqs = sorted(chance.sample(range(12), chance.randrange(1, 8)))
    origins = [chance.choice((None, None, chance.randrange(12))) for _ in seqs]
    return [Row(0, seq, origin, bytes([chance.randrange(prints)])) for seq, origin in zip(seqs, origins, strict=True)]


def held_of(rows: list[Row]) -> Held:
    held = Held()
    for each in sorted(rows):
        held.add(each)
    return held


def test_every_event_has_a_place_of_its_own_and_is_known_there_the_next_time() -> None:
    chance, joined = random.Random(3), 0
    for _ in range(3_000):
        there = chance.choice(([], some_rows(chance, 3)))  # of which some were lost
        for came in (some_rows(chance, chance.choice((1, 3))) for _ in range(3)):
            try:
                new = [each for each in held_of(there).places(came, whole=False) if not each.known]
            except Another:
                assert there, "nothing is another session than none"
                continue
            taken = {each.seq for each in there}
            assert len(taken | {each.seq for each in new}) == len(taken) + len(new)
            joined += bool(there and new)
            there += [Row(0, each.seq, each.row.number if each.anew else each.row.origin, each.row.print) for each in new]
            assert all(each.known for each in held_of(there).places(came, whole=True))
    assert joined > 100

"""What is found is what a plain look at every event finds."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codex.core.errors import UserError
from codex.core.events import Event
from codex.sessionlog import Selection, SessionLog
from codex.sessionlog.snippets import snippet
from tests.sessionlog.logs import WORDS, some_events, write_segments


@pytest.fixture(params=["live", "compacted", "both"])
def filled(log: SessionLog, request: pytest.FixtureRequest) -> tuple[SessionLog, list[Event]]:
    """A log of which all, nothing or the first half is compacted."""
    events = some_events(300)
    cut = {"live": 0, "compacted": 300, "both": 150}[request.param]
    if cut:
        write_segments(log.folder, events[:cut], seed=1)
        log.compact()
    if cut < 300:
        write_segments(log.folder, events[cut:], seed=2)
    return log, events


def of_sessions(events: list[Event]) -> dict[str, list[Event]]:
    return {name: [event for event in events if event.session == name] for name in {event.session for event in events}}


def test_sessions_are_those_that_fit(filled: tuple[SessionLog, list[Event]]) -> None:
    log, events = filled
    since, until = events[120].ts, events[130].ts
    cases = {
        Selection(since=since, until=until): lambda own: own[-1].ts >= since and own[0].ts < until,
        Selection(kinds=("chat",)): lambda own: False,
        Selection(kinds=("agent", "chat"), roles=("error",)): lambda own: any(event.role == "error" for event in own),
        Selection(tools=("grep",)): lambda own: any(event.tool == "grep" for event in own),
        Selection(models=("nobody",)): lambda own: False,
        Selection(sessions=("s-1", "s-3")): lambda own: own[0].session in ("s-1", "s-3"),
        Selection(run_id="r-0001"): lambda own: any(event.run_id for event in own),
        Selection(where="errors > 5 and title like '%s-1%'"): lambda own: (
            sum(event.role == "error" for event in own) > 5 and "s-1" in own[0].content
        ),
    }
    for selection, fits in cases.items():
        expected = {name for name, own in of_sessions(events).items() if fits(own)}
        assert {info.id for info in log.find(selection, limit=None)} == expected, selection


def test_list_is_sorted_and_comes_in_pages(filled: tuple[SessionLog, list[Event]]) -> None:
    log, events = filled
    whole = log.find(limit=None)
    assert [info.started for info in whole] == sorted((own[0].ts for own in of_sessions(events).values()), reverse=True)
    assert log.find(limit=5) + log.find(limit=5, offset=5) + log.find(limit=5, offset=10) == whole
    for info in whole:
        own = of_sessions(events)[info.id]
        assert info.events == len(own) and info.errors == sum(event.role == "error" for event in own)
        assert info.tokens_out == sum(event.tokens_out or 0 for event in own)
        assert (info.title, info.kind, info.last_ts) == (f"Title of {info.id}", "agent", own[-1].ts)


def test_scan_gives_events_by_session_and_seq(filled: tuple[SessionLog, list[Event]]) -> None:
    log, events = filled
    found = list(log.scan(Selection(where="latency_ms > 50")))
    expected = sorted((event for event in events if (event.latency_ms or 0) > 50), key=lambda event: (event.session, event.seq))
    assert found == expected


def test_search_finds_all_and_only_events_with_all_words(filled: tuple[SessionLog, list[Event]]) -> None:
    log, events = filled
    for words in ("loss", "loss token", "SNAKE case", "timeout, socket!"):
        wanted = {word.strip(",!").lower() for word in words.split()}
        expected = {(event.session, event.seq) for event in events if wanted <= set(event.content.lower().replace("_", " ").split())}
        hits = log.search(words, limit=1000)
        assert {(hit.event.session, hit.event.seq) for hit in hits} == expected and len(hits) == len(expected)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        for hit in hits:
            marked = {hit.snippet[a:b].lower() for a, b in hit.marks}
            assert marked <= wanted and marked


def test_search_narrows_as_a_plain_filter_does(filled: tuple[SessionLog, list[Event]]) -> None:
    log, events = filled
    selection = Selection(roles=("tool",), tools=("grep",), since=events[50].ts + 0.5, until=events[290].ts, where="latency_ms < 60")
    expected = {
        (event.session, event.seq)
        for event in events[51:290]
        if event.tool == "grep" and event.latency_ms is not None and event.latency_ms < 60 and "answer" in event.content.split()
    }
    assert {(hit.event.session, hit.event.seq) for hit in log.search("answer", selection, limit=500)} == expected
    assert len(log.search("answer", limit=3)) == 3


def test_search_while_typing_takes_the_beginning_of_the_last_word(filled: tuple[SessionLog, list[Event]]) -> None:
    log, events = filled
    expected = {(event.session, event.seq) for event in events if any(word.startswith("check") for word in event.content.split())}
    assert {(hit.event.session, hit.event.seq) for hit in log.search("check", prefix=True, limit=500)} == expected
    assert log.search("check", limit=500) == []
    assert log.search("check ", prefix=True, limit=500) == []


def test_phrase_in_quotes_must_stand_there(filled: tuple[SessionLog, list[Event]]) -> None:
    log, events = filled
    expected = {(event.session, event.seq) for event in events if "loss token" in event.content}
    assert {(hit.event.session, hit.event.seq) for hit in log.search('"loss token"', limit=500)} == expected


def test_search_without_a_word_is_refused(log: SessionLog) -> None:
    with pytest.raises(UserError, match="has no word"):
        log.search("  ?! ")


def test_condition_that_is_no_condition_is_refused(filled: tuple[SessionLog, list[Event]]) -> None:
    log, _ = filled
    for where in (
        "nonsense = 1",
        "true); select 1; --",
        "true) union select read_text('/etc/passwd') --",
        "1 = (select count(*) from '/etc/passwd')",
    ):
        with pytest.raises(UserError):
            log.find(Selection(where=where))


def test_new_events_are_found_at_once(filled: tuple[SessionLog, list[Event]]) -> None:
    log, _ = filled
    log.search("loss")
    with log.session("chat", "About zebras", id="z") as session:
        session.append("user", "is a zebra striped?")
        assert [hit.event.seq for hit in log.search("zebra")] == [1]
        assert log.find(limit=1)[0].id == "z"
    log.close()
    log.compact()
    assert [hit.event.seq for hit in log.search("zebra")] == [1]


def test_annotations_count_as_they_were_given_last(filled: tuple[SessionLog, list[Event]]) -> None:
    log, events = filled
    event = next(event for event in events if event.role == "assistant")
    log.annotate(event.session, event.seq, rating=-1, note="wrong")
    log.annotate(event.session, event.seq, rating=1)
    log.annotate(event.session, event.seq, edit="better")
    for _ in range(2):
        said = log.annotations(event.session)[event.seq]
        assert (said.rating, said.note, said.edit) == (1, "wrong", "better")
        assert [info.id for info in log.find(Selection(rating=1))] == [event.session]
        assert log.find(Selection(rating=1))[0].rating == 1
        word = event.content.split()[0]
        assert [hit.event for hit in log.search(word, Selection(rating=1))] == [event] and not log.search(word, Selection(rating=-1))
        assert list(log.scan(Selection(rating=1))) == [event] and not list(log.scan(Selection(rating=-1)))
        log.close()
        log.compact()


def test_session_is_rated_as_its_events_are_and_a_note_changes_nothing(filled: tuple[SessionLog, list[Event]]) -> None:
    log, events = filled
    first, second = [(event.session, event.seq) for event in events if event.session == "s-1"][:2]

    def rated() -> tuple[int | None, int, int, list[bool]]:
        info = next(info for info in log.find(limit=None) if info.id == "s-1")
        return info.rating, info.rated_good, info.rated_bad, ["s-1" in {i.id for i in log.find(Selection(rating=r))} for r in (1, -1)]

    log.annotate(*first, rating=1)
    assert rated() == (1, 1, 0, [True, False])
    log.annotate(*second, rating=-1)
    assert rated() == (-1, 1, 1, [True, True]), "one good, one bad: found by either"
    log.annotate(*first, note="looked at again")
    assert rated() == (-1, 1, 1, [True, True]), "a note is no rating"
    log.annotate(*second, rating=0)
    assert rated() == (0, 1, 0, [True, False]), "the bad one was taken back"


@pytest.mark.parametrize(("seq", "rating"), [(10_000, 1), (0, None), (0, 5)])
def test_annotation_that_says_nothing_or_of_nothing_is_refused(log: SessionLog, seq: int, rating: int | None) -> None:
    write_segments(log.folder, some_events(30))
    with pytest.raises(UserError):
        log.annotate("s-1", seq, rating=rating)
    assert len(log.sessions()) == 12


def test_ingest_adds_what_is_not_there(log: SessionLog) -> None:
    events = sorted(some_events(200), key=lambda event: event.session)
    done = log.ingest(events[:120])
    assert (done.added, done.skipped) == (120, 0)
    log.close()
    log = SessionLog(log.folder)
    log.compact()
    again = log.ingest(events)
    assert (again.added, again.skipped) == (80, 120)
    assert list(log.scan()) == sorted(events, key=lambda event: (event.session, event.seq))
    log.close()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(max_size=400), st.sampled_from(WORDS), st.text(max_size=400))
def test_snippet_marks_words_where_they_are(before: str, word: str, after: str) -> None:
    stretch, marks = snippet(f"{before} {word} {after}", word)
    assert "\n" not in stretch and len(stretch) < 170
    assert any(stretch[a:b].lower() in word.lower() or word.lower() in stretch[a:b].lower() for a, b in marks)


def test_days_are_utc(log: SessionLog) -> None:
    write_segments(log.folder, some_events(60, days=4))
    log.compact()
    for day, ts in log.sql("select day, ts from events").fetchall():
        assert day == datetime.fromtimestamp(ts, UTC).date()

"""What the commands and pages ask of the log, on real logs."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from codex.core.errors import UserError
from codex.core.events import Event
from codex.core.paths import Workspace
from codex.services import ask, log_data, log_keeping, logs
from codex.services.child_errors import ChildDied
from codex.services.logs import Selection, SessionLog
from tests.sessionlog.logs import some_events, write_segments


@pytest.fixture
def log(workspace: Workspace) -> SessionLog:
    """120 events of 12 sessions, `s-0` to `s-11`, on 3 days."""
    write_segments(workspace.log, some_events(120))
    return logs.open_log(workspace)


def _event(session: str, seq: int = 0, **fields: object) -> Event:
    return Event.model_validate({"session": session, "seq": seq, "ts": 1_795_392_000.0 + seq, "role": "user", "kind": "chat", **fields})


def _problem(error: UserError) -> tuple[str, str, str]:
    problem = error.problems[0]
    return problem.what, problem.expected, problem.fix


@pytest.mark.parametrize("limit", [3, 100])
def test_find_leaves_ratings_out_and_still_gives_as_many_as_asked_for(workspace: Workspace, limit: int) -> None:
    with logs.open_log(workspace) as log:
        log.ingest([_event(f"c-{number}", ts=1_700_000_000.0 + number) for number in range(4)])
        for number in range(4):  # now, so they are newer than what they are about
            log.annotate(f"c-{number}", 0, rating=1)
    wanted = [f"c-{number}" for number in (3, 2, 1, 0)]
    assert [each.id for each in logs.find(log, Selection(), limit=limit)] == wanted[:limit]
    assert {each.kind for each in logs.find(log, Selection(kinds=("annotation",)), limit=limit)} == {"annotation"}


def test_find_takes_a_condition_and_says_in_its_own_words_what_is_wrong_with_one(log: SessionLog) -> None:
    many = {each.id for each in log.sessions() if each.events > 10}
    assert {each.id for each in logs.find(log, Selection(where="events > 10"), limit=100)} == many != set()
    for wrong, why in (("evnts > 10", '"evnts" not found'), ("kind::int > 0", "Could not convert"), ("events >", "syntax error")):
        with pytest.raises(UserError) as refused:
            logs.find(log, Selection(where=wrong), limit=10)
        what, expected, fix = _problem(refused.value)
        assert what.startswith(f"the condition {wrong!r} cannot be used (") and why in what
        assert "select id" not in what
        assert (expected, fix) == ("expected a condition in SQL over the columns of `sessions`", "For example `errors > 0`.")


def test_search_says_of_a_wrong_condition_that_it_is_about_events(log: SessionLog) -> None:
    assert logs.search(log, "adapter", Selection(where="seq >= 0"), limit=5)
    with pytest.raises(UserError, match="over the columns of `events`"):
        logs.search(log, "adapter", Selection(where="title = ''"), limit=5)


ENDLESS = "(select count(*) from range(1000000000000)) > 0"


@pytest.mark.parametrize("asks", [
    lambda log, workspace, tmp_path, chosen: logs.find(log, chosen, limit=5),
    lambda log, workspace, tmp_path, chosen: logs.search(log, "adapter", chosen, limit=5),
    lambda log, workspace, tmp_path, chosen: log_keeping.export_events(log, tmp_path / "x.ndjson", "ndjson", chosen),
    lambda log, workspace, tmp_path, chosen: log_data.choose(workspace, log_data.Choice(chosen)),
])  # fmt: skip
def test_condition_that_never_ends_is_stopped_by_all_that_take_one(
    log: SessionLog, workspace: Workspace, tmp_path: Path, asks: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "CONDITION_LIMITS", logs.Limits(seconds=1.0))
    with pytest.raises(UserError) as refused:
        asks(log, workspace, tmp_path, Selection(where=ENDLESS))
    assert _problem(refused.value) == (
        "the condition took longer than 1 s and was stopped",
        "expected an answer within that time",
        "Ask for less: begin with a day, such as `day >= '2026-11-25' and …`.",
    )
    assert not (tmp_path / "x.ndjson").exists()


def test_condition_in_sql_selects_what_plain_python_does(log: SessionLog, tmp_path: Path) -> None:
    where = "seq % 2 = 0 -- every second one"
    wanted = sorted((event.session, event.seq) for event in log.scan() if event.seq % 2 == 0)
    chosen, keys = logs.answered(log, Selection(where=where), "events")
    assert (chosen, keys is not None) == (Selection(), True)
    assert [(event.session, event.seq) for event in log.scan(chosen, among=keys)] == wanted
    found = logs.search(log, "adapter", Selection(where=where), limit=500)
    said = sorted((event.session, event.seq) for event in log.scan() if event.seq % 2 == 0 and "adapter" in event.content.split())
    assert sorted((hit.event.session, hit.event.seq) for hit in found) == said != []
    assert logs.find(log, Selection(where="false"), limit=5) == []
    assert logs.answered(log, Selection(), "events") == (Selection(), None)


def test_condition_that_closes_its_bracket_names_only_sessions(log: SessionLog) -> None:
    assert logs.find(log, Selection(where="false) union all (select content from events where true"), limit=100) == []
    with pytest.raises(UserError, match="cannot be used"):
        logs.find(log, Selection(where="true); drop view events; select (1"), limit=100)


def test_condition_with_more_than_its_limit_is_refused(log: SessionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "CONDITION_LIMITS", logs.Limits(megabytes=0.001))
    with pytest.raises(UserError, match=r"fits more than [0-9]+ events"):
        logs.search(log, "adapter", Selection(where="true"), limit=5)


def test_checked_unknown_kind_is_refused_unless_the_log_has_it(workspace: Workspace) -> None:
    log = logs.open_log(workspace)
    with pytest.raises(UserError) as refused:
        logs.checked(log, Selection(kinds=("chat", "chta")))
    assert _problem(refused.value)[0] == "kind 'chta' is unknown"
    assert _problem(refused.value)[2] == "Use `chat`."
    log.ingest([_event("a", kind="chta")])
    log.close()
    assert logs.checked(log, Selection(kinds=("chat", "chta"))).kinds == ("chat", "chta")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("a", "a"), ("a-1", "a-1"), ("a-1-x", "a-1-xyz"), ("xyz", "a-1-xyz"),
        ("…xyz", "a-1-xyz"), ("b-2…", "b-234"), (" b-234 ", "b-234"), ("last", "b-234"),
    ],
)  # fmt: skip
def test_resolve_takes_a_whole_id_before_a_beginning_before_an_end(workspace: Workspace, name: str, meant: str) -> None:
    with logs.open_log(workspace) as log:
        log.ingest([_event(id, ts=1_700_000_000.0 + at) for at, id in enumerate(("a", "a-1", "a-1-xyz", "z-b-2", "b-234"))])
        log.annotate("a", 0, rating=1)
    assert logs.resolve(log, name) == meant


def test_resolve_several_or_none_is_refused_with_ids_to_choose_from(workspace: Workspace) -> None:
    with logs.open_log(workspace) as log:
        log.ingest([_event(f"chat-{number}", ts=1_700_000_000.0 + number) for number in range(9)])
        log.ingest([_event("eval-1"), _event("eval-2")])
    for name, what, expected in (
        ("eval", "'eval' is in the ids of 2 sessions", "eval-1, eval-2"),
        ("chat-", "'chat-' is in the ids of more than 5 sessions", "chat-8, chat-7, chat-6, chat-5, chat-4 …"),
    ):
        with pytest.raises(UserError) as refused:
            logs.resolve(log, name)
        assert _problem(refused.value) == (what, f"expected an id, or as much of one as no other has: {expected}", "Use more of its id.")
    for name, fix in (("chta-3", "Did you mean 'chat-3'?"), ("", "See `codex-ml logs list`."), ("…", "See `codex-ml logs list`.")):
        with pytest.raises(UserError) as refused:
            logs.resolve(log, name)
        assert (_problem(refused.value)[0], _problem(refused.value)[2]) == (f"session {name!r} is unknown", fix)
    with pytest.raises(UserError, match="'last' is unknown"):
        logs.resolve(logs.open_log(Workspace(workspace.root / "empty")), "last")


def test_timeline_ranges_are_those_of_a_list(workspace: Workspace) -> None:
    events = [_event("one", seq) for seq in range(6)]
    with logs.open_log(workspace) as log:
        log.ingest(events)
        log.annotate("one", 2, note="look")
    for first, stop in [(None, None), *itertools.product((-8, -2, 2), (None, -1)), (None, 0), (5, 2), (9, 12)]:
        found = logs.timeline(log, "one", first=first, stop=stop)
        assert [event.seq for event in found.events] == list(range(6))[first:stop], (first, stop)
    found = logs.timeline(log, "one")
    assert found.info.events == 6
    assert {seq: said.note for seq, said in found.annotations.items()} == {2: "look"}


def test_session_that_is_purged_after_its_name_was_looked_up_is_unknown(log: SessionLog, monkeypatch: pytest.MonkeyPatch) -> None:
    real = logs.resolve

    def resolve(log: SessionLog, name: str) -> str:
        session = real(log, name)
        assert SessionLog(log.folder).purge(4_000_000_000.0).sessions == 12
        return session

    monkeypatch.setattr(logs, "resolve", resolve)
    with pytest.raises(UserError, match="session 's-11' is unknown"):
        logs.timeline(log, "s-11")


def test_tail_takes_part_of_an_id_and_one_that_is_not_there_yet(log: SessionLog) -> None:
    assert {event.session for event in logs.tail(log, session="-11", lines=3)} == {"s-11"}
    assert list(logs.tail(log, session="nobody", lines=3)) == []
    with pytest.raises(UserError, match="more than 5 sessions"):
        list(logs.tail(log, session="s-", lines=3))


def test_sql_gives_values_and_which_columns_are_numbers(log: SessionLog, workspace: Workspace) -> None:
    query = "select kind, count(*) as n, max(time) as t, sum(1.5) as d from events group by kind"
    found = logs.sql(query, workspace=workspace)
    assert found.columns == ("kind", "n", "t", "d")
    assert found.numeric == (False, True, False, True)
    assert found.rows[0][:2] == ("agent", 120)
    cut = logs.sql("select * from events", workspace=workspace, limits=logs.Limits(rows=7))
    assert (len(cut.rows), cut.truncated, found.truncated) == (7, True, False)


def test_sql_whose_process_dies_is_an_error_in_words(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*args: object, **kwargs: object) -> ask.Answer:
        raise ChildDied("The query's process", "exit code 3", ("line one", "line two"))

    monkeypatch.setattr(logs, "ask", dies)
    with pytest.raises(UserError, match=r"no answer: The query's process ended: exit code 3\. line one line two; expected its process"):
        logs.sql("select 1", workspace=workspace)


def test_sql_text_is_the_persons_own_before_an_example(workspace: Workspace) -> None:
    example = logs.sql_text("events-per-day", workspace=workspace)
    assert example == logs.sql_text("events_per_day", workspace=workspace)
    assert logs.sql(example, workspace=workspace).columns
    own = workspace.root / "queries" / "events_per_day.sql"
    own.parent.mkdir(parents=True)
    Path(own).write_text("-- Mine\nselect 42 as answer\n")
    assert logs.sql_text("events-per-day", workspace=workspace) == "select 42 as answer"
    with pytest.raises(UserError) as refused:
        logs.sql_text("events_pr_day", workspace=workspace)
    assert _problem(refused.value)[2] == "Use `--name events_per_day`."

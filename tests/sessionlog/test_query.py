"""SQL sees every good event and nothing else on this machine."""

from __future__ import annotations

import gc
from pathlib import Path

import polars as pl
import pytest

from codex.core.errors import UserError
from codex.core.events import Event
from codex.sessionlog import SessionLog, doctor
from tests.sessionlog.logs import write_segments


@pytest.fixture
def filled(log: SessionLog) -> SessionLog:
    with log.session("training", "first run", id="t", run_id="r1") as session:
        for step in range(20):
            session.append("info", step=step, loss=4.0 / (step + 1), attributes={"lr": 0.5, "tokens": step * 10})
        session.append("info", step=20, loss=float("nan"))
    with log.session("chat", "a chat", id="c") as session:
        session.append("user", "hé 🦉", tokens_in=3)
        session.append("assistant", "ho", model="codex-tiny", tokens_out=7, latency_ms=12.5)
    return log


def test_events_view_holds_what_events_returns(filled: SessionLog) -> None:
    rows = filled.sql("select * exclude (time, day) from events where session = 'c' order by seq").pl().to_dicts()
    expected = [event.model_dump(exclude={"attributes"}) for event in filled.events("c")]
    assert [{key: value for key, value in row.items() if key != "attributes"} for row in rows] == expected
    assert list(rows[0]) == list(Event.model_fields)


def test_aggregates_agree_with_python(filled: SessionLog) -> None:
    steps = [event for event in filled.events("t") if event.step is not None]
    (answer,) = filled.sql(
        "select count(*), sum(loss) filter (not isnan(loss)), sum((attributes->>'$.tokens')::int) from events where step is not null"
    ).fetchall()
    assert answer[0] == len(steps) == 21
    assert answer[1] == pytest.approx(sum(4.0 / (step + 1) for step in range(20)))
    assert answer[2] == sum(range(0, 200, 10))


def test_time_is_the_timestamp_in_utc(filled: SessionLog) -> None:
    (row,) = filled.sql("select ts, epoch(time) from events limit 1").fetchall()
    assert row[1] == pytest.approx(row[0], abs=2e-6)


def test_sessions_view_holds_what_sessions_returns(filled: SessionLog) -> None:
    rows = filled.sql("select * exclude (time, day, last_seq, roles, tools, models) from sessions order by started").pl().to_dicts()
    assert [{**row, "rating": None, "rated_good": 0, "rated_bad": 0} for row in rows] == [vars(info) for info in filled.sessions()]
    assert [(row["id"], row["title"], row["run_id"], row["events"]) for row in rows] == [
        ("t", "first run", "r1", 23),
        ("c", "a chat", None, 4),
    ]


@pytest.mark.parametrize(
    ("query", "parameters"), [("select seq from events where step = ?", [7]), ("select seq from events where step = $s", {"s": 7})]
)
def test_parameters_are_values_not_text(filled: SessionLog, query: str, parameters: list[int] | dict[str, int]) -> None:
    assert filled.sql(query, parameters).fetchall() == [(8,)]


def test_answer_is_of_the_moment_and_outlives_later_ones(log: SessionLog) -> None:
    with log.session("chat", id="c") as session:
        relations = []
        for number in range(70):  # more than are kept as separate chunks
            session.append("info", str(number))
            relations.append(log.sql("select count(*) from events"))
        gc.collect()
        assert [relation.fetchall() for relation in relations] == [[(number + 2,)] for number in range(70)]


@pytest.mark.parametrize(
    "query",
    [
        "select * from read_csv('{file}')",
        "select * from '{file}'",
        "select * from read_text('{file}')",
        "select * from glob('/*')",
        "copy (select 1) to '{file}'",
        "attach '{file}' as other",
        "export database '{file}'",
        "install fts",
        "load parquet",
        "set enable_external_access = true",
        "insert into events select * from events",
        "drop view events",
        "with x as (copy (select 1 as a) to '{file}' (use_tmp_file false)) select 1",
        "explain analyze create or replace view events as select 1 as seq",
        "update extensions",
        "create table t as select 1",
        "pragma version",
        "select 1; select 2",
        "select * from secret",
        "select nonsense from events",
        "selct 1",
        "",
    ],
)
def test_query_that_is_no_question_to_the_log_is_refused(log: SessionLog, folder: Path, query: str) -> None:
    file, secret = folder / "file.csv", pl.DataFrame({"secret": [1]})
    file.write_text("a\n1\n")
    with pytest.raises(UserError, match=r"cannot be answered \(.*expected one SELECT") as caught:
        log.sql(query.format(file=file))
    assert repr(query.format(file=file)) in str(caught.value)
    assert file.read_text() == "a\n1\n" and len(secret) == 1
    assert [path.name for path in folder.iterdir()] == ["file.csv"]


def test_connection_is_shut_and_stays_so(log: SessionLog) -> None:
    names = ("enable_external_access", "lock_configuration", "autoinstall_known_extensions", "python_enable_replacements")
    (values,) = log.sql("select " + ", ".join(f"current_setting('{name}')" for name in names)).fetchall()
    assert dict(zip(names, values, strict=True)) == {**dict.fromkeys(names, False), "lock_configuration": True}


@pytest.mark.parametrize(
    "query", ["describe events", "summarize sessions", "explain select 1", "from events", "pivot events on role using count(*)"]
)
def test_other_forms_of_question_are_answered(filled: SessionLog, query: str) -> None:
    assert filled.sql(query).fetchall()


def test_log_from_before_the_bounds_is_read_and_its_sums_end_where_a_column_does(log: SessionLog) -> None:
    alike = {"session": "s", "ts": 100.0, "role": "assistant", "kind": "chat", "model": "m", "content": "word"}
    wide = [
        Event.model_construct(**{**Event.model_validate({**alike, "seq": 0}).model_dump(), "seq": seq, "tokens_in": 2**63 - 1, "ts": ts})
        for seq, ts in ((0, 100.0), (1, 253_402_300_799.5), (2**63 - 1, -62_135_596_800.0))
    ]
    write_segments(log.folder, wide, 1)
    for compacted in (False, True):
        (info,) = log.sessions()
        assert (info.events, info.tokens_in) == (3, 2**63 - 1)
        assert log.sql("select tokens_in, last_seq from sessions").fetchall() == [(2**63 - 1, 2**63 - 1)]
        assert [event.seq for event in log.scan()] == [0, 1, 2**63 - 1] == [event.seq for event in log.events("s")]
        assert len(log.search("word")) == 3
        assert log.health().missing == log.check().missing == 2**63 - 3
        if not compacted:
            assert log.compact().events == 3
    assert doctor.examine(log.folder).report is not None

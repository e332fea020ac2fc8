"""Queries to begin with run on a real log, those that are kept are kept safely, and every column of the views is described."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codex.core.errors import UserError, WorkspaceError
from codex.core.paths import Workspace
from codex.services import queries
from codex.services.queries import Query
from codex.sessionlog import SessionLog


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> SessionLog:
    """A log of two runs, a chat with tools, and something that failed."""
    log = SessionLog.open(tmp_path_factory.mktemp("log"))
    for run, losses in (("r1", [3.0, 2.0, 1.5]), ("r2", [3.5, 2.5])):
        with log.session("training", run, id=f"{run}-1", run_id=run) as session:
            for step, loss in enumerate(losses):
                session.append("info", step=step, loss=loss, attributes={"split": "train"})
                session.append("info", step=step, loss=9.0, attributes={"split": "heldout"})
            session.append("info", step=0, loss=2.9, attributes={"split": "train", "attempt": 2})
    with log.session("chat", "a chat", id="chat-1") as session:
        session.append("user", "hello")
        session.append("assistant", "hi", model="tiny", tokens_in=5, tokens_out=10, latency_ms=100.0, attributes={"side": "base"})
        session.append("assistant", "ho", model="tiny", tokens_in=7, tokens_out=30, latency_ms=200.0, attributes={"side": "base"})
        session.append("assistant", "hm", model="large", tokens_out=2, latency_ms=50.0)
        for tool, latency in (("slow", 900.0), ("slow", 1100.0), ("fast", 3.0)):
            session.append("tool", tool=tool, latency_ms=latency)
    with pytest.raises(ValueError, match="broken"), log.session("agent", "an agent", id="agent-1"):
        raise ValueError("broken")
    log.annotate("chat-1", 2, rating=1, note="good")
    return log


def _rows(log: SessionLog, name: str) -> list[dict[str, Any]]:
    (query,) = [query for query in queries.examples() if query.name == name]
    return log.sql(query.sql).pl().to_dicts()


def test_examples_are_all_there_titled_and_give_rows(log: SessionLog) -> None:
    names = ["chat_speed", "ended_badly", "events_per_day", "loss_of_runs", "rated", "slowest_tools", "tokens_per_model"]
    assert [query.name for query in queries.examples()] == names
    for query in queries.examples():
        assert query.title[0].isupper() and not query.sql.startswith("-- " + query.title)
        assert log.sql(query.sql).fetchall(), query.name


def test_events_per_day_counts_each_event_once(log: SessionLog) -> None:
    counted = {row["role"]: row["events"] for row in _rows(log, "events_per_day")}
    events = [event for info in log.sessions() for event in log.events(info.id)]
    assert counted == {role: sum(event.role == role for event in events) for role in {event.role for event in events}}


def test_slowest_tools_come_first(log: SessionLog) -> None:
    assert [(row["tool"], row["calls"], row["median_ms"], row["max_ms"]) for row in _rows(log, "slowest_tools")] == [
        ("slow", 2, 1000.0, 1100.0),
        ("fast", 1, 3.0, 3.0),
    ]


def test_tokens_are_summed_for_each_model(log: SessionLog) -> None:
    assert [(row["model"], row["answers"], row["tokens_in"], row["tokens_out"]) for row in _rows(log, "tokens_per_model")] == [
        ("tiny", 2, 12, 40),
        ("large", 1, None, 2),
    ]


def test_loss_of_runs_takes_training_steps_once_and_the_replayed_one(log: SessionLog) -> None:
    rows = [(row["run_id"], row["step"], row["loss"]) for row in _rows(log, "loss_of_runs")]
    assert rows == [("r1", 0, 2.9), ("r1", 1, 2.0), ("r1", 2, 1.5), ("r2", 0, 2.9), ("r2", 1, 2.5)]


def test_what_ended_badly_is_only_that(log: SessionLog) -> None:
    assert [(row["id"], row["outcome"]) for row in _rows(log, "ended_badly")] == [("agent-1", "failed")]


def test_chat_speed_is_per_model_and_side(log: SessionLog) -> None:
    assert [(row["model"], row["side"], row["answers"], row["tokens_per_s"]) for row in _rows(log, "chat_speed")] == [
        ("tiny", "base", 2, 125.0),
        ("large", None, 1, 40.0),
    ]


def test_rated_shows_what_was_rated(log: SessionLog) -> None:
    assert [(row["session"], row["seq"], row["rating"], row["note"], row["content"]) for row in _rows(log, "rated")] == [
        ("chat-1", 2, 1, "good", "hi")
    ]


def test_every_column_of_every_view_is_described_and_nothing_else(log: SessionLog) -> None:
    workspace = Workspace(log.folder.parent)
    views = queries.schema(workspace)
    assert [view.name for view in views] == list(queries.DESCRIPTIONS)
    for view in views:
        rows = log.sql(f"describe {view.name}").fetchall()
        assert [(column.name, column.type) for column in view.columns] == [(name, kind) for name, kind, *_ in rows]
        assert {column.name for column in view.columns} == set(queries.DESCRIPTIONS[view.name])
        assert all(column.description.endswith(".") for column in view.columns)
    others = log.sql("select view_name from duckdb_views() where not internal").fetchall()
    assert {name for (name,) in others} - {view.name for view in views} <= {"live_event_rows", "live_session_rows"}


def test_saved_query_comes_back_is_replaced_only_when_asked_and_goes(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    assert queries.saved(workspace) == []
    first, second = Query("mine", "My events", "select *\nfrom events"), Query("mine", "Other", "select 1")
    assert queries.save(first, workspace=workspace) == workspace.root / "queries" / "mine.sql"
    assert queries.saved(workspace) == [first]
    with pytest.raises(UserError, match=r"^a query called 'mine' is there already; expected a name that is free"):
        queries.save(second, workspace=workspace)
    assert queries.saved(workspace) == [first]
    queries.save(second, workspace=workspace, overwrite=True)
    queries.save(Query("a", "", "select 2"), workspace=workspace)
    assert queries.saved(workspace) == [Query("a", "a", "select 2"), second]
    queries.delete("mine", workspace=workspace)
    with pytest.raises(UserError, match=r"^no query is called 'mine'; expected one that was saved: a\."):
        queries.delete("mine", workspace=workspace)
    assert [path.name for path in (workspace.root / "queries").iterdir()] == ["a.sql"]


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a\\b", "/etc/x", ".hidden", "-x", "a\n", "a b", "é", "x" * 65, "a\0"])
def test_name_that_could_lead_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    workspace = Workspace(tmp_path / "workspace")
    with pytest.raises(UserError, match="cannot be a query's"):
        queries.save(Query(name, "t", "select 1"), workspace=workspace)
    with pytest.raises(UserError, match="cannot be a query's"):
        queries.delete(name, workspace=workspace)
    assert not workspace.root.exists()


@pytest.mark.parametrize(
    ("title", "sql", "why"),
    [
        ("two\nlines", "select 1", "no single line"),
        ("t", "", "^the query is ''"),
        ("t", " \n ", "^the query is ''"),
        ("t", "select 1\0", "expected text"),
        ("t", "select '\ud800'", "expected text"),
        ("\ud800", "select 1", "no single line"),
        ("t", "x" * 100_001, "at most 100,000"),
    ],
)
def test_query_that_cannot_be_kept_is_refused(tmp_path: Path, title: str, sql: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        queries.save(Query("q", title, sql), workspace=Workspace(tmp_path / "workspace"))
    assert not (tmp_path / "workspace").exists()


def test_file_of_the_person_s_own_making_is_read_too(tmp_path: Path) -> None:
    folder = tmp_path / "queries"
    folder.mkdir()
    (folder / "plain.sql").write_text("select 1\n")
    (folder / "only_title.sql").write_text("-- nothing but this")
    (folder / "windows.sql").write_bytes(b"-- T\xff\r\nselect 1\r\n")
    (folder / "notes.txt").write_text("no query")
    assert queries.saved(Workspace(tmp_path)) == [
        Query("only_title", "only_title", "-- nothing but this"),
        Query("plain", "plain", "select 1"),
        Query("windows", "T�", "select 1"),
    ]


def test_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "queries").write_text("a file")
    with pytest.raises(WorkspaceError, match="cannot be written"):
        queries.save(Query("q", "t", "select 1"), workspace=Workspace(tmp_path))
    (tmp_path / "other" / "queries" / "folder.sql").mkdir(parents=True)
    with pytest.raises(WorkspaceError, match=r"folder.sql' cannot be read"):
        queries.saved(Workspace(tmp_path / "other"))


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    title=st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" -"), max_size=40), sql=st.text(min_size=1, max_size=80)
)
def test_any_title_and_text_that_is_kept_comes_back(tmp_path: Path, title: str, sql: str) -> None:
    workspace = Workspace(tmp_path)
    try:
        queries.save(Query("q", title, sql), workspace=workspace, overwrite=True)
    except UserError:
        assert not sql.strip() or "\0" in sql
        return
    lines = sql.replace("\r\n", "\n").replace("\r", "\n").strip()
    assert queries.saved(workspace) == [Query("q", title.strip() or "q", lines)]


def test_examples_ask_only_what_a_query_may(log: SessionLog) -> None:
    for query in queries.examples():
        (statement,) = duckdb.extract_statements(query.sql)
        assert statement.type == duckdb.StatementType.SELECT

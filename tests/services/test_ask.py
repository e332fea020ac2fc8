"""A person's SQL: answered from a process that can only read, refused or stopped when it wants more. Real processes, real logs."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import psutil
import pytest

from codex.core.errors import UserError, WorkspaceError
from codex.core.paths import PACKAGE, Workspace
from codex.services import sql_process
from codex.services.ask import Cancelled, Limits, ask, write_answer
from codex.services.sandboxed import clean_environment, landlock_version
from codex.services.sql_frames import Frame, Frames
from codex.services.sql_process import QueryProcess
from codex.sessionlog import SessionLog
from tests.services import hostile

PATIENCE_SECONDS = 20.0
SLOW = "select sleep_ms(1000000)"
ONE_SECOND = Limits(seconds=1.0)
STARTING_SECONDS = 4.0
"""How long a process may take to start and to be gone, beside a whole run of tests on two cores."""
REACHES_OUT = tuple(query for query in hostile.REFUSED if "{" in query or "://" in query or "/etc" in query or "/proc" in query)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a log in parts and in segments, and with other files."""
    return hostile.make_workspace(tmp_path_factory.mktemp("asked") / "workspace")


@pytest.fixture
def unchanged(workspace: Workspace) -> Iterator[None]:
    """The test changes no name, size or byte of the workspace."""
    before = hostile.fingerprint(workspace)
    yield
    assert hostile.fingerprint(workspace) == before


def _children(asker: int | None = None) -> list[psutil.Process]:
    """The processes that queries of `asker`, else of this process, run in."""
    return [child for child in psutil.Process(asker).children() if "codex.services.sql_child" in child.cmdline()]


def _running(asker: int | None = None) -> psutil.Process:
    """The one process that a query of `asker`, else of this process, runs in, once the query is on its way."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        for child in _children(asker):
            if child.num_threads() == 1 and child.status() == psutil.STATUS_SLEEPING and child.cpu_times().user > 0.1:
                return child
        time.sleep(0.02)
    raise AssertionError("no query began")


def _batch(workspace: Workspace, queries: tuple[str, ...], *, landlock: bool) -> list[Frame]:
    """What queries give in one confined process, one after the other."""
    request = {
        "queries": [hostile.filled_in(query, workspace) for query in queries],
        "workspace": str(workspace.root),
        "landlock": landlock,
    }
    request |= {"parameters": [], "format": None, "seconds": 300.0, "memory_gib": 2.0, "rows": 10, "megabytes": 1.0}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tests.services.hostile_batch"],
        input=json.dumps(request).encode(),
        capture_output=True,
        env=clean_environment() | {"PYTHONPATH": str(PACKAGE.parent)},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert hostile.SECRET.encode() not in done.stdout
    ready, *frames = Frames().add(done.stdout)
    assert ready == {"ready": landlock and landlock_version() > 0}
    return [frame for frame in frames if {"done", "user_error", "memory"} & set(frame)]


def test_hostile_queries_are_refused_and_none_shows_or_changes_anything_else(workspace: Workspace, unchanged: None) -> None:
    assert len(hostile.REFUSED) >= 60
    ends = _batch(workspace, (*hostile.REFUSED, *hostile.HARMLESS), landlock=True)
    assert len(ends) == len(hostile.REFUSED) + len(hostile.HARMLESS)
    said = [end.get("user_error", {}).get("text", "answered") for end in ends[: len(hostile.REFUSED)] if isinstance(end, dict)]
    assert [query for query, text in zip(hostile.REFUSED, said, strict=True) if "cannot be answered" not in text] == []


def test_kernel_without_landlock_lets_no_query_through_either(workspace: Workspace, unchanged: None) -> None:
    assert len(REACHES_OUT) > 40
    ends = _batch(workspace, REACHES_OUT, landlock=False)
    assert [query for query, end in zip(REACHES_OUT, ends, strict=True) if "user_error" not in set(end)] == []


@pytest.mark.parametrize("query", hostile.ENDLESS[:3], ids=["recursion", "cross join", "sleep"])
def test_endless_query_is_stopped_while_others_are_answered(workspace: Workspace, unchanged: None, query: str) -> None:
    with ThreadPoolExecutor() as threads:
        began = time.monotonic()
        stopped = threads.submit(ask, query, workspace=workspace, limits=Limits(seconds=3.0))
        answer = ask("select count(*) from events where role = 'user'", workspace=workspace)
        assert answer.rows == [(50,)] and not stopped.done()
        with pytest.raises(UserError, match=r"^the query took longer than 3 s and was stopped; expected .* Ask for less: "):
            stopped.result()
        assert 3.0 < time.monotonic() - began < 3.0 + STARTING_SECONDS
    assert _children() == []


@pytest.mark.parametrize("query", hostile.TOO_LARGE[:2])
def test_query_that_needs_too_much_memory_is_stopped(workspace: Workspace, unchanged: None, query: str) -> None:
    with pytest.raises(UserError, match=r"^the query needed more than 0.5 GiB of memory and was stopped; "):
        ask(query, workspace=workspace, limits=Limits(memory_gib=0.5, seconds=PATIENCE_SECONDS))


@pytest.mark.parametrize("query", hostile.UNSENDABLE, ids=["long", "NUL", "surrogate"])
def test_query_that_cannot_be_text_of_a_person_starts_nothing(workspace: Workspace, query: str) -> None:
    began = time.monotonic()
    with pytest.raises(
        UserError, match=r"^the query (has 10,000,009 characters|holds the character '\\x00'|holds the character '\\ud800')"
    ):
        ask(query, workspace=workspace)
    assert time.monotonic() - began < 0.2


def test_answer_holds_columns_rows_and_what_it_took(workspace: Workspace) -> None:
    query = "select session, count(*) as n, sum(tokens_in) as tokens, 'inf'::double as x from events where tokens_in >= ? group by session"
    answer = ask(query, workspace=workspace, parameters=[10])
    with SessionLog.open(workspace) as log:
        (compacted,) = [info.id for info in log.sessions() if info.title == "compacted"]
    assert answer.rows == [(compacted, 40, sum(range(10, 50)), float("inf"))]
    assert [(column.name, column.numeric) for column in answer.columns] == [("session", False), ("n", True), ("tokens", True), ("x", True)]
    assert not answer.truncated and 0 < answer.cpu_seconds < 5 and 0 < answer.seconds < 5
    assert answer.confined is (landlock_version() > 0)


def test_answer_is_cut_at_its_limits_and_says_so(workspace: Workspace) -> None:
    answer = ask(
        "select content from events where role = $role order by seq",
        workspace=workspace,
        parameters={"role": "user"},
        limits=Limits(rows=3),
    )
    assert answer.rows == [("question 0",), ("question 1",), ("question 2",)] and answer.truncated


def test_process_is_limited_in_ways_that_a_query_cannot_change(workspace: Workspace) -> None:
    names = ("threads", "memory_limit", "temp_directory", "enable_external_access", "lock_configuration", "python_enable_replacements")
    (row,) = ask("select " + ", ".join(f"current_setting('{name}')::varchar" for name in names), workspace=workspace).rows
    assert dict(zip(names, row, strict=True)) == {
        "threads": "1",
        "memory_limit": "2.0 GiB",
        "temp_directory": "",
        "enable_external_access": "false",
        "lock_configuration": "true",
        "python_enable_replacements": "false",
    }


def test_sql_error_is_said_as_duckdb_says_it_with_its_line(workspace: Workspace) -> None:
    with pytest.raises(UserError) as caught:
        ask("select role\nfrom events\nwhere where", workspace=workspace)
    assert str(caught.value) == (
        "the query 'select role\\nfrom events\\nwhere where' cannot be answered"
        ' (Parser Error: syntax error at or near "where", in line 3);'
        " expected one SELECT over the views `events`, `sessions` and `annotations`. `select * from events limit 5` shows the columns."
    )


def test_line_of_an_error_is_left_out_where_it_would_be_another_query_s(workspace: Workspace) -> None:
    with pytest.raises(
        UserError, match=r"\(Conversion Error: Could not convert string 'info' to INT32 when casting from source column role\); expected"
    ):
        ask("select role::int from events", workspace=workspace)


def test_error_of_a_long_query_fits_on_a_screen(workspace: Workspace) -> None:
    for query in ("select " + "x" * 90_000, "select 1;" + " " * 50_000 + "select 2"):
        with pytest.raises(UserError, match="cannot be answered") as caught:
            ask(query, workspace=workspace)
        assert len(str(caught.value)) < 1500


def test_query_is_stopped_by_whoever_asked(workspace: Workspace) -> None:
    cancel = threading.Event()
    with ThreadPoolExecutor() as threads:
        asking = threads.submit(ask, SLOW, workspace=workspace, cancel=cancel)
        process = _running()
        cancel.set()
        with pytest.raises(Cancelled):
            asking.result(2.0)
    assert not process.is_running()


@pytest.mark.parametrize(("start", "left"), [(0.5, 3.5), (3.0, 2.0)])
def test_time_of_a_query_counts_from_its_start_and_half_of_it_from_when_the_log_is_open(
    monkeypatch: pytest.MonkeyPatch, start: float, left: float
) -> None:
    now = iter([100.0, 100.0 + start, 100.0 + start])
    monkeypatch.setattr(sql_process, "time", SimpleNamespace(monotonic=lambda: next(now)))
    monkeypatch.setattr(QueryProcess, "_start", lambda self, request: None)
    asked = QueryProcess({}, Limits(), None)
    assert asked._heard({"ready": True})
    assert asked._patience() == pytest.approx(left)


def test_process_that_does_not_even_hear_its_own_limits_is_killed(workspace: Workspace) -> None:
    with ThreadPoolExecutor() as threads:
        asking = threads.submit(ask, SLOW, workspace=workspace, limits=ONE_SECOND)
        _running().suspend()
        with pytest.raises(UserError, match="took longer than 1 s"):
            asking.result(PATIENCE_SECONDS)


def test_process_that_is_killed_ends_the_query_with_a_sentence(workspace: Workspace) -> None:
    with ThreadPoolExecutor() as threads:
        asking = threads.submit(ask, SLOW, workspace=workspace)
        os.kill(_running().pid, signal.SIGSEGV)
        with pytest.raises(UserError, match=r"^the query broke DuckDB \(SIGSEGV\); expected a query that it can run"):
            asking.result(PATIENCE_SECONDS)


def test_query_knows_none_of_the_secrets_of_the_environment_and_gives_way(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", hostile.SECRET)
    cancel = threading.Event()
    with ThreadPoolExecutor() as threads:
        asking = threads.submit(ask, SLOW, workspace=workspace, cancel=cancel)
        process = _running()
        environment, nice, session = process.environ(), process.nice(), os.getsid(process.pid)
        cancel.set()
        assert isinstance(asking.exception(), Cancelled)
    assert hostile.SECRET not in environment.values() and "HOME" not in environment
    assert nice >= psutil.Process().nice() + 5 and session == process.pid


def test_query_ends_with_whoever_asked_however_that_ends(workspace: Workspace) -> None:
    code = (
        "import sys; from codex.services.ask import ask; from codex.core.paths import Workspace;"
        " ask(sys.argv[1], workspace=Workspace.locate(sys.argv[2]))"
    )
    asker = subprocess.Popen([sys.executable, "-c", code, SLOW, str(workspace.root)], env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)})
    try:
        process = _running(asker.pid)
    finally:
        asker.kill()
        asker.wait()
    psutil.wait_procs([process], timeout=2.0)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_workspace_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorkspaceError, match="Not a directory"):
        ask("select 1", workspace=Workspace(tmp_path / "file"))


def test_log_that_is_not_there_yet_is_empty_and_stays_so(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "none")
    assert ask("select count(*) from events", workspace=workspace).rows == [(0,)]
    assert not workspace.root.exists()


@pytest.mark.parametrize(("format", "read"), [("csv", pl.read_csv), ("parquet", pl.read_parquet)])
def test_whole_answer_is_written_to_a_file(workspace: Workspace, unchanged: None, tmp_path: Path, format: Any, read: Any) -> None:
    path = tmp_path / f"answer.{format}"
    written = write_answer(
        "select seq, content, time from events order by time, seq", path, format, workspace=workspace, limits=Limits(rows=1)
    )
    table = read(path)
    assert written.rows == table.height == 102 + 2 and written.size == path.stat().st_size and not written.truncated
    assert table["content"].to_list()[1:4] == ["question 0", "question 1", "question 2"]
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == [path.name]


def test_answer_is_written_to_a_stream_up_to_the_limit(workspace: Workspace) -> None:
    stream = io.BytesIO()
    written = write_answer("select range as n from range(1000000)", stream, "json", workspace=workspace, limits=Limits(megabytes=0.01))
    document = json.loads(stream.getvalue())
    assert written.truncated and document["truncated"] and written.size == len(stream.getvalue()) <= 10_000
    assert document["rows"] == [[number] for number in range(written.rows)]


def test_answer_never_takes_the_place_of_a_file_nor_leaves_half_of_one(workspace: Workspace, tmp_path: Path) -> None:
    taken = tmp_path / "taken.csv"
    taken.write_text("mine")
    with pytest.raises(UserError, match=r"taken.csv' is there already; expected a name that is free"):
        write_answer("select 1", taken, workspace=workspace)
    late = "select case when range > 900000 then error('late') else range end as n from range(1000000)"
    with pytest.raises(UserError, match=r"cannot be answered \(Invalid Input Error: late\)"):
        write_answer(late, tmp_path / "half.csv", workspace=workspace)
    with pytest.raises(WorkspaceError, match="cannot be written"):
        write_answer("select 1", tmp_path / "absent" / "x.csv", workspace=workspace)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".csv"] == ["taken.csv"] and taken.read_text() == "mine"


def test_what_is_asked_for_wrongly_is_said_before_anything_starts(workspace: Workspace) -> None:
    with pytest.raises(UserError, match=r"^the limit `seconds` of a query is 0; expected more than 0"):
        Limits(seconds=0)
    with pytest.raises(UserError, match=r"^parameter 2 of the query is \[1\]; expected text, a number"):
        ask("select ?, ?", workspace=workspace, parameters=["a", [1]])
    with pytest.raises(UserError, match=r"^the format 'xlsx' is unknown; expected one of csv, parquet, json"):
        write_answer("select 1", io.BytesIO(), "xlsx", workspace=workspace)  # pyright: ignore[reportArgumentType]

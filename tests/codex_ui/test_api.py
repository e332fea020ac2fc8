"""The JSON routes, over FastAPI alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from codex.core.errors import ConfigError, Problem
from codex.services.children import ChildDied
from codex_ui import context as context_module
from codex_ui.api import api_routes
from codex_ui.context import AppContext, Kept
from tests.made import Made


@dataclass
class Planning:
    """A planner whose answers are in a queue: a run's id, or what goes wrong."""

    answers: list[str | Exception]
    asked: list[Any] = field(default_factory=list)

    def start(self, overrides: Sequence[str]) -> str:
        """The next answer."""
        self.asked.append(list(overrides))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def resume(self, name: str) -> str:
        """As `start`."""
        return self.start([name])

    def warm(self) -> None:
        """Nothing to warm."""
        self.asked.append("warm")

    def close(self) -> None:
        """Nothing to end."""


class Opened:
    """A program beside the app that is there already."""

    def open(self) -> str:
        """Where it is."""
        return "http://127.0.0.1:5000/"

    def close(self) -> None:
        """Nothing to end."""


@pytest.fixture
def client(context: AppContext) -> Iterator[TestClient]:
    app = FastAPI()
    app.include_router(api_routes(context))
    with TestClient(app) as client:
        yield client


def _plan(context: AppContext, *answers: str | Exception) -> Planning:
    planning = Planning(list(answers))
    context.planner = planning  # pyright: ignore[reportAttributeAccessIssue]
    return planning


def test_health_names_the_app_and_its_workspace(client: TestClient, context: AppContext) -> None:
    told = client.get("/api/health").json()
    assert (told["app"], told["workspace"]) == ("codex-ui", str(context.workspace.root))


def test_live_gives_only_what_the_browser_does_not_have(client: TestClient, ids: dict[str, str], context: AppContext) -> None:
    first = client.get("/api/live/runs").json()
    assert {"runs-table", "runs-compare", "strip", "nav-count", "topbar-run"} <= set(first["parts"])
    again = client.get("/api/live/runs", params={"seen": first["seen"]}).json()
    assert not set(again["parts"]) & {"runs-table", "runs-compare"}
    context.now.forget()
    Made(context.workspace).run("One more")
    later = client.get("/api/live/runs", params={"seen": again["seen"]}).json()
    assert "One more" in later["parts"]["runs-table"]
    assert "runs-compare" not in later["parts"]


def test_live_shows_a_change_soon_after_it_though_answers_are_kept(
    client: TestClient, context: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(context_module.time, "monotonic", lambda: now[0])
    assert "At last" not in client.get("/api/live/runs").text
    Made(context.workspace).run("At last")
    assert "At last" not in client.get("/api/live/runs").text
    now[0] += context_module.KEEP_SECONDS + 0.1
    assert "At last" in client.get("/api/live/runs").text


def test_live_of_an_unknown_run_has_the_shell_and_says_what_is_wrong(client: TestClient, ids: dict[str, str]) -> None:
    told = client.get("/api/live/run?id=r-0099").json()
    assert "strip" in told["parts"]
    assert told["problems"][0]["what"] == "run 'r-0099' is unknown"


def test_metrics_come_once_and_in_columns(client: TestClient, ids: dict[str, str]) -> None:
    told = client.get(f"/api/runs/{ids['failed']}/metrics").json()
    assert (told["next"], told["done"], told["total"]) == (38, True, 600)  # 37 steps, one of them with held-out examples
    assert {len(told[name]) for name in ("step", "split", "ts", "loss", "learning_rate", "memory_gib")} == {38}
    assert told["gpu_memory_gib"] == [None] * 38
    more = client.get(f"/api/runs/{ids['failed']}/metrics?since={told['next']}").json()
    assert (more["next"], more["step"]) == (38, [])
    assert client.get(f"/api/runs/{ids['failed']}/metrics?since=36").json()["step"] == [36, 37]


def test_runs_are_listed_without_their_reports(client: TestClient, ids: dict[str, str]) -> None:
    told = client.get("/api/runs").json()["runs"]
    assert [run["id"] for run in told] == sorted(ids.values(), reverse=True)
    assert all("report" not in run for run in told)
    assert client.get(f"/api/runs/{ids['finished']}").json()["report"]["verdict"]["sentence"].startswith("Better")


def test_start_asks_for_what_was_typed_and_says_where_to_go(client: TestClient, context: AppContext) -> None:
    planning = _plan(context, "r-0007")
    told = client.post("/api/runs", json={"overrides": ["training.steps=5"]}).json()
    assert told == {"run": "r-0007", "go": "/run?id=r-0007"}
    assert planning.asked == [["training.steps=5"]]


def test_problems_come_as_value_expectation_fix(client: TestClient, context: AppContext) -> None:
    _plan(context, ConfigError([Problem("`a` is 0", "expected 1", "Set `a=1`.", "override `a=0`"), Problem("b", "expected c", "d")]))
    answer = client.post("/api/runs", json={"overrides": []})
    assert answer.status_code == 400
    first, second = answer.json()["problems"]
    assert first["text"] == "`a` is 0 (override `a=0`); expected 1. Set `a=1`."
    assert (second["what"], second["where"]) == ("b", None)


def test_process_that_died_is_told_without_a_traceback(client: TestClient, context: AppContext) -> None:
    _plan(context, ChildDied("The process", "exit code 3"))
    answer = client.post("/api/runs", json={"overrides": []})
    assert answer.status_code == 500
    assert "The process ended: exit code 3." in answer.json()["problems"][0]["text"]


def test_what_is_done_to_a_run_shows_at_once(client: TestClient, ids: dict[str, str], context: AppContext) -> None:
    run = ids["stopped"]
    assert client.get(f"/api/runs/{run}").json()["title"] != "Mine"
    assert client.post(f"/api/runs/{run}/rename", json={"title": "Mine"}).json()["say"] == f"{run} is now called Mine."
    assert client.get(f"/api/runs/{run}").json()["title"] == "Mine"
    planning = _plan(context, run)
    assert client.post(f"/api/runs/{run}/resume").json()["say"] == f"{run} goes on."
    assert planning.asked == [[run]]
    assert client.post(f"/api/runs/{run}/delete").json() == {"say": f"{run} is deleted.", "go": "/runs"}
    assert client.get(f"/api/runs/{run}").status_code == 400
    assert run not in client.get("/api/runs").text


def test_run_at_work_is_not_deleted(client: TestClient, ids: dict[str, str], context: AppContext) -> None:
    answer = client.post(f"/api/runs/{ids['running']}/delete")
    assert answer.status_code == 400
    assert "Stop it first" in answer.text
    assert (context.workspace.runs / ids["running"]).is_dir()


def test_stop_of_what_does_not_run_is_refused(client: TestClient, ids: dict[str, str]) -> None:
    assert "does not run" in client.post(f"/api/runs/{ids['finished']}/stop").json()["problems"][0]["what"]


def test_unknown_side_program_and_warming(client: TestClient, context: AppContext) -> None:
    planning = _plan(context)
    assert client.post("/api/side/nonsense").status_code == 400
    assert client.post("/api/warm").json() == {}
    assert planning.asked == ["warm"]


def test_kept_answers_are_made_once_in_a_moment_and_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(context_module.time, "monotonic", lambda: now[0])
    kept, made = Kept(0.5), iter(range(10_000))
    assert [kept.get("a", lambda: next(made)) for _ in range(3)] == [0, 0, 0]
    now[0] += 1
    assert kept.get("a", lambda: next(made)) == 1
    kept.forget()
    assert kept.get("a", lambda: next(made)) == 2
    for number in range(5 * context_module.MOST_KEPT):
        now[0] += 1
        kept.get(number, lambda: next(made))
    assert len(kept._values) <= context_module.MOST_KEPT + 1
    assert len(kept._locks) <= context_module.MOST_KEPT + 1


def test_what_cannot_be_made_is_tried_again_and_not_remembered() -> None:
    kept = Kept(60)
    for number in range(2 * context_module.MOST_KEPT):
        with pytest.raises(ZeroDivisionError):
            kept.get(number, lambda: 1 // 0)
    assert len(kept._locks) <= context_module.MOST_KEPT + 1
    assert kept.get(0, lambda: 5) == 5


def test_tracker_opens_at_the_experiment_of_the_newest_run_where_there_is_one(
    client: TestClient, context: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(context.side, "tracker", Opened())
    monkeypatch.setitem(context.side, "notebooks", Opened())
    assert client.post("/api/side/tracker").json() == {"go": "http://127.0.0.1:5000/"}
    with closing(sqlite3.connect(context.workspace.mlflow_db)) as database:
        database.execute("create table runs (experiment_id integer, start_time integer)")
        database.execute("insert into runs values (7, 100), (3, 200)")
        database.commit()
    assert client.post("/api/side/tracker").json() == {"go": "http://127.0.0.1:5000/#/experiments/3/runs"}
    assert client.post("/api/side/notebooks").json() == {"go": "http://127.0.0.1:5000/"}

"""Plans that are made in a process beside this one, and runs that are started from here."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from codex.core.errors import DataError, RunError, UserError
from codex.core.paths import Workspace
from codex.runs.status import Reason
from codex.runs.store import RunStore
from codex.services import train
from codex.services.facts import data_facts, model_facts
from codex.services.planner import Planner
from tests.made import Made

PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One workspace for the module, because its planner needs seconds to import what it needs."""
    return Workspace(tmp_path_factory.mktemp("planner") / "workspace")


@pytest.fixture(scope="module")
def planner(workspace: Workspace) -> Iterator[Planner]:
    """Its planner."""
    with Planner(workspace) as made:
        yield made


@pytest.fixture
def sums(tiny_folder: Path, small_data: Path) -> list[str]:
    """Overrides of a run that takes long."""
    own = {
        "model.source": tiny_folder,
        "model.device": "cpu",
        "data.source": small_data,
        "data.heldout_share": "0.3",
        "data.max_tokens": "64",
        "training.steps": "100000",
        "title": "Sums",
        "tracking.mlflow": "false",
    }
    return [f"{name}={value}" for name, value in own.items()]


def test_planner_that_is_warm_finds_what_a_plan_in_this_process_finds(planner: Planner, workspace: Workspace, sums: list[str]) -> None:
    began = time.monotonic()
    planner.warm(sums)
    planner.warm(["nope=3"])
    assert time.monotonic() - began < 1  # nobody waits for it
    facts = planner.check(sums)
    planned = train.plan(overrides=sums, workspace=workspace)
    assert (facts.model, facts.data) == (tuple(model_facts(planned)), tuple(data_facts(planned)))
    assert (facts.train_examples, facts.heldout_examples) == (len(planned.data.train), len(planned.data.heldout))
    assert facts.needed_bytes == planned.needed_bytes
    assert facts.resolved_yaml == planned.composed.resolved_yaml()
    assert not workspace.runs.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        ["training.steps=0", "nope=3"],
        ["data.source=/no/such/file"],
        ["model.source=/no/such/model"],
        ["model.source=hub:codex-tests/none"],
        ["method.target_modules=[nope]"],
    ],
)
def test_planner_says_what_is_wrong_word_for_word_and_makes_nothing(planner: Planner, workspace: Workspace, wrong: list[str]) -> None:
    with pytest.raises(UserError) as here:
        train.plan(overrides=wrong, workspace=workspace)
    for ask in (planner.check, planner.start):
        with pytest.raises(UserError) as beside:
            ask(wrong)
        assert str(beside.value) == str(here.value)
        assert beside.value.problems == here.value.problems
    assert not workspace.runs.exists() or not RunStore(workspace).list()


def test_planner_starts_a_run_as_planned_that_does_not_stand_back_and_resumes_it(
    planner: Planner, workspace: Workspace, sums: list[str]
) -> None:
    store = RunStore(workspace)
    planned = train.plan(overrides=sums, workspace=workspace)
    run = store.get(planner.start(sums))
    try:
        assert run.title == "Sums"
        assert run.resolved.read_text() == planned.composed.resolved_yaml()
        assert run.asked.read_text() == planned.composed.asked_yaml()
        supervisor = store.view(run).status.supervisor
        assert supervisor is not None
        assert os.getpriority(os.PRIO_PROCESS, supervisor.pid) == os.getpriority(os.PRIO_PROCESS, 0)
        own = Path("/proc/self/oom_score_adj").read_text()
        assert Path(f"/proc/{supervisor.pid}/oom_score_adj").read_text() == own
        with pytest.raises(RunError, match="runs"):
            planner.resume(run.id)
        store.stop(run, PATIENCE_SECONDS, force=True)
        assert planner.resume(str(run.number)) == run.id
        assert store.view(run).status.attempt == 2
    finally:
        if store.view(run).active:
            store.stop(run, PATIENCE_SECONDS, force=True)


def test_planner_resumes_no_run_that_is_unknown_finished_or_without_its_data(
    planner: Planner, workspace: Workspace, sums: list[str], small_data: Path
) -> None:
    made = Made(workspace)
    finished = made.finished()
    gone = made.run("Gone", state="failed", reason=Reason("error", "It broke."))
    resolved = train.plan(overrides=sums, workspace=workspace).composed.resolved_yaml()
    gone.resolved.write_text(resolved.replace(str(small_data), "/no/such/file"))
    resume: Callable[[str], str] = planner.resume
    for name, error_class in ((finished.id, RunError), (gone.id, DataError), ("nobody", RunError)):
        with pytest.raises(error_class) as here:
            train.resume(name, workspace=workspace)
        with pytest.raises(error_class) as beside:
            resume(name)
        assert str(beside.value) == str(here.value)


def test_planner_counts_the_examples_of_a_file_or_says_what_is_wrong_with_it(
    planner: Planner, small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert planner.check_data(small_data) == sum(1 for line in small_data.read_text().splitlines() if line.strip())
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"prompt": "a"}\nnot json\n')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"bad\.jsonl") as error:
        planner.check_data(Path("bad.jsonl"))
    assert len(error.value.problems) == 2

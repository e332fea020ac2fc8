"""What a person asks of runs that lie in a workspace."""

from __future__ import annotations

from pathlib import Path

import pytest

from codex.core.errors import RunError
from codex.core.paths import Workspace
from codex.runs.record import Run
from codex.runs.status import Reason
from codex.runs.store import RunStore
from codex.runs.views import RunView
from codex.services import runs
from codex.services.metrics import session_of
from codex.services.runs import Followed
from codex.sessionlog import SessionLog
from tests.cli.conftest import Made

DONE = Reason("finished", "Finished.")


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Runs in an empty workspace, looked at without a wait in between."""
    monkeypatch.setattr(runs, "POLL_SECONDS", 0.0)
    return Made(Workspace(tmp_path / "workspace"))


def steps_of(look: Followed) -> list[int]:
    return [point.step for point in look.points]


def test_follow_gives_each_point_once_as_they_come_and_ends_with_the_run(made: Made) -> None:
    run = made.running(step=0, total=6)
    looks = runs.follow(run.id, workspace=made.workspace)
    assert steps_of(next(looks)) == []
    made.steps(run, range(1, 4))
    assert steps_of(next(looks)) == [1, 2, 3]
    assert steps_of(next(looks)) == []
    made.steps(run, range(4, 6))
    assert steps_of(next(looks)) == [4, 5]
    made.steps(run, range(6, 7))
    made.tell(run, state="finished", reason=DONE)
    last = next(looks)
    assert (steps_of(last), last.summary.status.state, last.summary.ended) == ([6], "finished", True)
    assert list(looks) == []


def test_follow_of_an_ended_run_gives_everything_in_one_look(made: Made) -> None:
    (look,) = runs.follow(made.finished().id, workspace=made.workspace)
    assert steps_of(look) == [1, 2, 3]
    assert [point.loss for point in look.points] == [5.9, 5.8, 5.7]
    assert look.summary.verdict is not None and look.summary.verdict.startswith("Better: ")


def test_follow_has_the_steps_that_were_logged_while_it_looked(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run logs its last step and ends just before its status is read: the last look has that step all the same."""
    run, real = made.running(step=0, total=1), RunStore.view

    def view(store: RunStore, seen: Run) -> RunView:
        made.steps(run, range(1, 2))
        made.tell(run, state="finished", reason=DONE)
        return real(store, seen)

    monkeypatch.setattr(RunStore, "view", view)
    assert [steps_of(look) for look in runs.follow(run.id, workspace=made.workspace)] == [[1]]


def test_follow_sees_a_replayed_step_that_came_out_differently(made: Made) -> None:
    run = made.running()
    made.steps(run, range(1, 3))
    looks = runs.follow(run.id, workspace=made.workspace)
    assert steps_of(next(looks)) == [1, 2]
    with SessionLog.open(made.workspace) as log, log.session("training", run.title, id=session_of(run)) as session:
        session.append("info", attributes={"split": "train"}, step=2, loss=1.5)
    assert [(point.step, point.loss) for point in next(looks).points] == [(2, 1.5)]
    assert [(point.step, point.loss) for point in runs.metrics(run.id, workspace=made.workspace)] == [(1, 5.9), (2, 1.5)]


def test_follow_gives_only_the_points_of_its_own_run(made: Made) -> None:
    mine, other = made.finished("Mine"), made.run("Other")
    made.steps(other, range(10, 13))
    assert [steps_of(look) for look in runs.follow(mine.id, workspace=made.workspace)] == [[1, 2, 3]]


def test_metrics_since_a_step_leaves_out_that_step_and_those_before(made: Made) -> None:
    run = made.finished()
    assert [point.step for point in runs.metrics(run.id, workspace=made.workspace, since=2)] == [3]
    assert [point.step for point in runs.metrics(run.id, workspace=made.workspace)] == [1, 2, 3]


def test_preview_delete_of_a_running_run_is_refused_with_how_to_stop_it(made: Made) -> None:
    run = made.running()
    for act in (runs.preview_delete, runs.delete):
        with pytest.raises(RunError, match=rf"'{run.id}' runs.*`codex-ml runs stop {run.id}`"):
            act(run.id, workspace=made.workspace)
    assert run.folder.is_dir()


def test_preview_delete_says_what_delete_frees_and_deletes_nothing(made: Made) -> None:
    run = made.finished()
    held = sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file())
    found = runs.preview_delete(run.id, workspace=made.workspace)
    assert (found.run.id, found.checkpoints, found.adapter) == (run.id, 0, True)
    assert held <= found.bytes <= held + 64 * 1024
    assert run.folder.is_dir()
    assert runs.delete(run.id, workspace=made.workspace) >= held
    assert not run.folder.exists()
    with pytest.raises(RunError, match="unknown"):
        runs.show(run.id, workspace=made.workspace)


def test_overview_is_newest_first_with_recipe_and_verdict(made: Made) -> None:
    made.finished("First")
    made.run("Second", state="failed", reason=Reason("error", "It broke."))
    second, first = runs.overview(made.workspace)
    assert (first.run.title, first.recipe, (first.verdict or "")[:7]) == ("First", "qlora-docstrings", "Better:")
    assert (second.run.title, second.verdict, second.report, second.ended) == ("Second", None, None, True)


def test_log_tail_is_the_last_lines_and_none_without_a_log(made: Made) -> None:
    run = made.run()
    assert runs.log_tail(run.id, workspace=made.workspace) == []
    run.log.write_bytes(b"one\ntwo \xff\nthree\n")
    assert runs.log_tail(run.id, workspace=made.workspace, lines=2) == ["two \ufffd", "three"]


def test_stop_of_an_ended_run_is_refused(made: Made) -> None:
    run = made.finished()
    with pytest.raises(RunError, match="does not run"):
        runs.stop(run.id, workspace=made.workspace)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[1]", "it holds no object"),
        ("[" * 200_000, "nested too deeply"),
        ('{"data": {"notes": 5}}', "`data.notes` in it is no list of texts"),
        ('{"data": {"notes": [1]}}', "`data.notes` in it is no list of texts"),
        ("{", "Expecting property name"),
        ('{"data": []}', "`data` in it is no JSON object"),
        ('{"verdict": "x"}', "verdict: "),
        ('{"verdict": {"word": "Better", "sentence": "Better: much"}}', "verdict.noun: "),
    ],
)
def test_damaged_report_is_said_of_its_run_and_hides_no_other(made: Made, text: str, why: str) -> None:
    made.finished("Whole")
    damaged = made.finished("Damaged")
    damaged.report.write_text(text)
    first, second = runs.overview(made.workspace)
    assert (first.run.title, first.report) == ("Damaged", None)
    assert (first.verdict or "").startswith(f"Unknown: report.json cannot be read ({why}")
    assert "\n" not in (first.verdict or "")
    assert (second.verdict or "").startswith("Better: ")
    assert runs.show(damaged.id, workspace=made.workspace).to_json()["report"] is None


def test_report_and_configuration_that_are_folders_are_said_of_their_run(made: Made) -> None:
    run = made.finished()
    for path in (run.report, run.resolved):
        path.unlink()
        path.mkdir()
    (summary,) = runs.overview(made.workspace)
    assert (summary.verdict, summary.recipe) == ("Unknown: report.json cannot be read (Is a directory)", "")

"""What of each page changes, over a workspace with a run in every state."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from codex.core.errors import RunError
from codex.runs.endings import forced, stopped
from codex.runs.status import Ending
from codex_ui.context import AppContext
from codex_ui.page import Live, all_pages
from codex_ui.shell import shell_parts
from tests.made import Made, whole_weights


def _live(context: AppContext, page: str, query: Mapping[str, str] | None = None) -> Live:
    return next(each for each in all_pages() if each.name == page).live(context, query or {})


def test_home_of_an_empty_workspace_offers_the_default(context: AppContext) -> None:
    parts = _live(context, "home").parts
    assert 'data-post="/api/runs"' in parts["home-runs"]
    assert "codex-ml demo" in parts["home-runs"]


def test_home_shows_what_runs_and_what_to_do_next(context: AppContext, ids: dict[str, str]) -> None:
    parts = _live(context, "home").parts
    assert f'href="/run?id={ids["running"]}"' in parts["home-runs"]
    assert 'aria-valuenow="120"' in parts["home-runs"]
    assert f"{ids['failed']} failed" in parts["home-machine"]
    assert "One run is at work" in parts["home-state"]


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ({}, ["finished", "other", "failed", "stopped", "damaged", "running"]),
        ({"state": "failed"}, ["failed"]),
        ({"state": "running"}, ["running"]),
        ({"q": "rank 64"}, ["other"]),
        ({"q": "QLORA rank"}, ["finished", "other"]),
        ({"q": "nothing like it"}, []),
        ({"state": "nonsense"}, []),
    ],
)
def test_runs_that_fit_are_shown(context: AppContext, ids: dict[str, str], query: dict[str, str], shown: list[str]) -> None:
    table = _live(context, "runs", query).parts["runs-table"]
    assert {name for name in ids if f'id="tick-{ids[name]}"' in table} == set(shown)
    assert ("No run fits" in table) == (not shown)


def test_runs_are_ordered_as_asked(context: AppContext, ids: dict[str, str]) -> None:
    table = _live(context, "runs", {"order": "oldest"}).parts["runs-table"]
    places = [table.index(f'id="tick-{name}"') for name in sorted(ids.values())]
    assert places == sorted(places)
    best = _live(context, "runs", {"order": "loss"}).parts["runs-table"]
    assert max(best.index(f"tick-{ids[name]}") for name in ("finished", "other")) < best.index(f"tick-{ids['failed']}")


def test_many_runs_are_cut_and_counted(context: AppContext) -> None:
    made = Made(context.workspace)
    for number in range(53):
        made.run(f"Run {number}")
    parts = _live(context, "runs").parts
    assert parts["runs-table"].count('id="tick-') == 50
    assert "3 more; narrow the search" in parts["runs-table"]


def test_comparison_shows_only_what_differs(context: AppContext, ids: dict[str, str]) -> None:
    pair = f"{ids['finished']},{ids['other']}"
    parts = _live(context, "runs", {"compare": f"{pair},r-9999,"}).parts
    assert f'data-overlay="{pair}"' in parts["runs-compare"]
    assert "<code>method.rank</code>" in parts["runs-compare"]
    assert "<code>training.learning_rate</code>" in parts["runs-compare"]
    assert "<code>training.steps</code>" not in parts["runs-compare"]
    assert "equal" in _live(context, "runs", {"compare": f"{ids['finished']},{ids['failed']}"}).parts["runs-compare"]


@pytest.mark.parametrize(
    ("name", "words", "done"),
    [
        ("finished", ["Chat with it", "Better", "Run again with changes", "PeftModel.from_pretrained"], True),
        ("failed", ["Out of memory", "Resume from step 30", "training.gradient_checkpointing=true", "checkpoint-30 is complete"], True),
        ("stopped", ["Stopped at step 44", "Resume from step 44", "&lt;script&gt;"], True),
        ("running", ["Stop and save", "Training loss", "last sign of life"], False),
        ("damaged", ["This run cannot be read", "status.json cannot be read: ", 'id="resume"', "Start from the beginning"], True),
    ],
)
def test_run_in_each_state_says_how_it_is_and_what_can_be_done(
    context: AppContext, ids: dict[str, str], name: str, words: list[str], done: bool
) -> None:
    live = _live(context, "run", {"id": ids[name]})
    html = "".join(live.parts.values())
    assert [word for word in words if word not in html] == []
    assert "<script>" not in html
    assert live.done == done
    assert ("/delete" in html) and (('id="delete"' in html) == done)


@pytest.mark.parametrize("ending", [forced(), stopped("checkpoint-8")], ids=["by force", "asked"])
def test_stopped_run_says_how_it_was_stopped(context: AppContext, ending: Ending) -> None:
    run = Made(context.workspace).run(state="stopped", reason=ending.reason, step=9, total=20)
    for has_one in (False, True):
        if has_one:
            (run.checkpoints / "checkpoint-8").mkdir(parents=True)
        now = _live(context, "run", {"id": run.id}).parts["run-now"]
        assert ending.reason.sentence.removesuffix(" Resume goes on from checkpoint-8.") in now
        assert now.count("Resume goes on from") == has_one, "said once, and of a checkpoint that is there"


@pytest.mark.parametrize("state", ["stopped", "unreadable"])
def test_result_that_is_there_is_shown_whatever_the_run_says_of_itself(context: AppContext, state: str) -> None:
    made = Made(context.workspace)
    run = made.finished()
    if state == "stopped":
        made.tell(run, state="stopped", reason=stopped("checkpoint-8").reason, step=9, total=9)
    else:
        (run.folder / "status.json").write_text("{")
    parts = _live(context, "run", {"id": run.id}).parts
    assert "PeftModel.from_pretrained" in parts["run-now"] and "cx-verdict" in parts["run-now"]
    assert 'id="resume"' in parts["run-head"] and 'class="cx-btn quiet" id="chat"' in parts["run-head"]
    run.report.unlink()
    assert "No verdict" not in _live(context, "run", {"id": run.id}).parts["run-now"]


@pytest.mark.parametrize("damage", ["config cut short", "no config", "weights cut short", "empty"])
def test_damaged_result_is_called_so_and_not_offered_for_a_chat(context: AppContext, damage: str) -> None:
    run = Made(context.workspace).finished()
    if damage == "config cut short":
        (run.adapter / "adapter_config.json").write_text('{"st')
    if damage == "weights cut short":
        (run.adapter / "adapter_model.safetensors").write_bytes(whole_weights(2048)[:2000])
    if damage in ("no config", "empty"):
        (run.adapter / "adapter_config.json").unlink()
    if damage == "empty":
        (run.adapter / "adapter_model.safetensors").unlink()
    parts = _live(context, "run", {"id": run.id}).parts
    assert "Damaged result" in parts["run-now"] and "Load it without Codex" not in parts["run-now"]
    assert "<pre" not in parts["run-now"], "words that wrap, not a line of code that is cut"
    assert 'id="chat"' not in parts["run-head"]
    assert "Talk to " not in _live(context, "home").parts["home-machine"]


def test_home_offers_one_chat_and_a_damaged_run_did_not_start_in_1970(context: AppContext) -> None:
    made = Made(context.workspace)
    for number in range(3):
        made.finished(f"Run {number}")
    assert _live(context, "home").parts["home-machine"].count("Talk to ") == 1
    damaged = made.run("Damaged", state="finished")
    (damaged.folder / "run.json").write_text("{")
    context.now.forget()
    for page, part in (("home", "home-runs"), ("runs", "runs-table")):
        html = _live(context, page).parts[part]
        assert damaged.id in html and " d ago" not in html


def test_advice_of_a_failed_run_leads_to_the_form_with_the_changes(context: AppContext, ids: dict[str, str]) -> None:
    now = _live(context, "run", {"id": ids["failed"]}).parts["run-now"]
    assert f'href="/train?from={ids["failed"]}&amp;set=training.batch_size%3D' in now


def test_run_without_a_name_is_the_last_and_an_unknown_one_is_an_error(context: AppContext, ids: dict[str, str]) -> None:
    assert ids["running"] in _live(context, "run").parts["run-head"]
    with pytest.raises(RunError, match=r"'\.\./\.\./x' is unknown"):
        _live(context, "run", {"id": "../../x"})


def test_shell_tells_what_runs_and_what_the_machine_is(context: AppContext, ids: dict[str, str]) -> None:
    parts = shell_parts(context)
    assert f"{ids['running']} 120/200" in parts["strip"]
    assert str(context.workspace.root) in parts["strip"]
    assert parts["nav-count"].startswith("1")


def test_every_part_that_lives_is_one_that_a_page_has(context: AppContext, ids: dict[str, str]) -> None:
    from codex_ui.render import HERE

    templates = "".join(path.read_text() for path in (HERE / "templates").glob("*.html")) + (HERE / "pages" / "run.py").read_text()
    lower = ["run-verdict", "run-config", "run-log", "run-checkpoints"]  # made from the names of the tabs
    for page in all_pages():
        for part in _live(context, page.name).parts:
            assert f'data-part="{part}"' in templates or part in lower
    assert json.dumps([page.name for page in all_pages()])

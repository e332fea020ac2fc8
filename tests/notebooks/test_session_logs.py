"""The reactive notebook of the log, over a made-up log and over a person's own: what it shows is what a plain count of the events gives."""

from __future__ import annotations

import hashlib
import importlib.util
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import codex
from codex.core.paths import Workspace, shipped_notebooks
from codex.services.log_data import Choice

NOTEBOOK = shipped_notebooks() / "session_logs.py"
CHECKS = 6
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def notebook() -> ModuleType:
    """The marimo notebook as a module."""
    spec = importlib.util.spec_from_file_location("session_logs", NOTEBOOK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def own(notebook: ModuleType, tmp_path: Path) -> Workspace:
    """A workspace whose log holds the made-up events and a session of a person's, with a replayed step and one that diverged."""
    events = notebook.made_up_events()
    said = [
        (0, "info", HOSTILE, {"attributes": {"session_event": "opened"}}),
        (1, "user", HOSTILE, {}),
        (2, "tool", HOSTILE, {"tool": HOSTILE, "latency_ms": 10, "attributes": {"arguments": {"x": HOSTILE}}}),
        (3, "assistant", "Unusual words: zebra.", {"model": "small-model", "tokens_out": 3}),
    ]
    events += notebook.one_session("mine", "chat", (2026, 11, 23, 9), said)
    steps = [(1, 5.0), (2, 4.0), (2, 3.0), (3, math.inf), (4, 2.0)]
    lines = [(at, "info", "", {"step": step, "loss": loss, "attributes": {"split": "train"}}) for at, (step, loss) in enumerate(steps)]
    events += notebook.one_session("mine-run", "training", (2026, 11, 23, 10), lines, run_id="mine")
    with codex.SessionLog.open(tmp_path / "own") as log:
        log.ingest(events)
    return Workspace(tmp_path / "own")


def show(notebook: ModuleType, **given: Any) -> Mapping[str, Any]:
    """What the notebook holds when it is run with `given` in the place of what a person chose."""
    return notebook.app.run(defs=given)[1]


def digest(folder: Path) -> str:
    """Equal for folders that hold the same files."""
    files = [(str(path), path.read_bytes()) for path in sorted(folder.rglob("*")) if path.is_file()]
    return hashlib.sha256(repr(files).encode()).hexdigest()


def test_notebook_keeps_marimos_rules() -> None:
    answer = subprocess.run([sys.executable, "-m", "marimo", "check", "--strict", NOTEBOOK], capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout) == (0, ""), answer.stdout + answer.stderr


class Outcomes:
    """What came of each test that another pytest ran."""

    def __init__(self) -> None:
        self.by_name: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:
            self.by_name[report.nodeid.rpartition("::")[2]] = report.outcome


def own_checks(path: Path) -> dict[str, str]:
    """What `pytest session_logs.py` says, asked in this process, which has imported everything already."""
    outcomes = Outcomes()
    options = [
        "-q",
        "-W",
        "ignore::pytest.PytestCollectionWarning",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:faulthandler",
        "-c",
        os.devnull,
        "--import-mode=importlib",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTEST_CURRENT_TEST")  # marimo offers its tests only to a pytest that is still collecting
        pytest.main([*options, "--rootdir", str(path.parent), str(path)], plugins=[outcomes])
    return outcomes.by_name


def test_notebooks_own_checks_pass() -> None:
    found = own_checks(NOTEBOOK)
    assert len(found) == CHECKS
    assert set(found.values()) == {"passed"}


def test_opened_in_an_empty_workspace_it_shows_a_made_up_log_and_makes_nothing(notebook: ModuleType, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "none")
    held = show(notebook, workspace=workspace)
    assert held["made_up"]
    assert held["by_hand"], "the notebook's own checks did not look at it"
    assert held["source"].options.keys() == {notebook.MADE_UP}
    assert held["sessions"]["id"].to_list() == ["made-up-chat", "made-up-agent", "made-up-run-b", "made-up-run-a", "made-up-words"]
    assert held["session"] == "made-up-chat"
    assert [row[:2] for row in held["kept"].rows()] == [(6, "good"), (8, "bad")]
    assert [hit.event.session for hit in held["hits"]][:1] == ["made-up-agent"]
    assert held["preview"].counts.examples == 1
    assert [trace.name for trace in held["curves"].data] == [f"made-up-{run}{split}" for run in "ab" for split in ("", ", held-out")]
    assert not workspace.root.exists()
    folder = held["home"].root
    assert folder.is_dir()
    assert workspace.root not in folder.parents


def test_log_of_their_own_is_counted_and_only_read(notebook: ModuleType, own: Workspace) -> None:
    before = digest(own.root)
    held = show(notebook, workspace=own)
    events = list(codex.SessionLog.open(own).scan())
    assert not held["made_up"]
    assert not held["by_hand"]
    assert held["session"] == "mine-run"
    counted = Counter((datetime.fromtimestamp(event.ts, UTC).date(), event.role) for event in events)
    assert held["per_day"].rows() == [(*key, count) for key, count in sorted(counted.items())]
    drawn = {(day, trace.name): count for trace in held["days_figure"].data for day, count in zip(trace.x, trace.y, strict=True)}
    assert drawn == counted
    written = Counter[str]()
    for event in events:
        written[event.model or ""] += event.tokens_out or 0
    assert dict(held["tokens"].select("model", "written").rows()) == {model: count for model, count in written.items() if model}
    losses = {(run, step): loss for run, split, step, loss in held["losses"].rows() if split == "train"}
    assert losses == {(event.run_id, event.step): event.loss for event in events if event.attributes.get("split") == "train"}
    (mine,) = [trace for trace in held["curves"].data if trace.name == "mine"]
    assert (mine.x, mine.y) == ((1, 2, 4), (5.0, 3.0, 2.0))
    assert digest(own.root) == before


def test_what_is_chosen_above_is_what_is_shown_below(notebook: ModuleType, own: Workspace) -> None:
    import marimo as mo

    days = mo.ui.date_range(value=(date(2026, 11, 22), date(2026, 11, 22)))
    kinds = mo.ui.multiselect(["agent", "chat"], value=["agent"])
    held = show(
        notebook, workspace=own, there=["agent", "chat", "training"], kinds=kinds, days=days,
        measure=mo.ui.dropdown(notebook.MEASURES, value="median"), words=mo.ui.text("timeout"),
    )  # fmt: skip
    assert held["sessions"]["id"].to_list() == ["made-up-agent"]
    assert set(held["events"]["session"]) == {"made-up-agent"}
    assert {hit.event.session for hit in held["hits"]} == {"made-up-agent"}
    (bars,) = held["tools_figure"].data
    assert dict(zip(bars.y, bars.x, strict=True)) == {"run_tests": 1100.0, "read_file": 50.0, "grep": 20.0}
    assert len(held["losses"]) == len(held["curves"].data) == 0


def test_slider_smooths_the_curves_and_leaves_what_was_measured_behind_them(notebook: ModuleType, own: Workspace) -> None:
    import marimo as mo
    import polars as pl

    held = show(
        notebook,
        workspace=own,
        smoothing=mo.ui.slider(0.0, 0.95, 0.05, value=0.5),
        drawn=mo.ui.multiselect(["made-up-a"], value=["made-up-a"]),
    )
    measured, smooth, heldout = held["curves"].data
    expected = pl.Series(measured.y).ewm_mean(alpha=0.5, adjust=True)
    assert smooth.y == pytest.approx(expected.to_list())
    assert smooth.x == measured.x == tuple(range(1, 61))
    assert (heldout.x, heldout.name) == ((20, 40, 60), "made-up-a, held-out")


def test_rating_goes_to_the_session_it_was_given_in_and_is_read_back(notebook: ModuleType, own: Workspace) -> None:
    verdict = {"session": "mine", "seq": 3, "rating": -1, "note": HOSTILE, "edit": "Plain words."}
    held = show(notebook, workspace=own, verdict=verdict, session="mine")
    assert held["kept"].rows() == [(3, "bad", HOSTILE, "Plain words.")]
    read = codex.SessionLog.open(own).annotations("mine")[3]
    assert (read.rating, read.note, read.edit) == (-1, HOSTILE, "Plain words.")
    elsewhere = show(notebook, workspace=own, verdict={**verdict, "rating": 1}, session="made-up-chat")
    assert len(elsewhere["kept"]) == 0
    assert codex.SessionLog.open(own).annotations("mine")[3].rating == 1
    refused = notebook.judged(codex.SessionLog.open(own), {**verdict, "seq": 99})
    assert "no event 99" in str(refused[1][0])


def test_what_the_log_holds_is_text_and_nothing_else(notebook: ModuleType, own: Workspace) -> None:
    log = codex.SessionLog.open(own)
    log.annotate("mine", 3, note=HOSTILE, edit=HOSTILE)
    spoken = log.events("mine")
    shown = notebook.transcript(spoken, log.annotations("mine")).text
    assert shown.count("&lt;script&gt;") == 7
    hits, _ = notebook.found(log, "alert", codex.Selection())
    listed = notebook.ranked(hits).text
    assert listed.count(f"{notebook.MARK}alert</mark>") == len(hits) == 4
    hovers = [text for trace in notebook.timeline(spoken).data for text in trace.customdata or ()]
    assert sum("&lt;script&gt;" in text for text in hovers) == 3
    assert not [text for text in (shown, listed, *hovers) if "<script" in text]


def test_search_for_nothing_finds_nothing_and_a_search_without_a_word_says_so(notebook: ModuleType, own: Workspace) -> None:
    log = codex.SessionLog.open(own)
    assert notebook.found(log, "  ", codex.Selection()) == ([], ())
    hits, problems = notebook.found(log, "!!", codex.Selection())
    assert (hits, len(problems)) == ([], 1)
    assert [hit.event.session for hit in notebook.found(log, "zeb", codex.Selection())[0]] == ["mine"]
    assert notebook.found(log, '"zeb"', codex.Selection())[0] == []


def test_data_set_is_written_once_and_never_over_another(notebook: ModuleType, own: Workspace) -> None:
    asked = (Choice(selection=codex.Selection(kinds=("chat",)), include_tools=True), "mine")
    held = show(notebook, workspace=own, asked_for=asked)
    assert (held["written"].path, held["refusals"]) == (own.datasets / "mine.jsonl", ())
    assert held["written"].examples == len((own.datasets / "mine.jsonl").read_text().splitlines()) > 0
    written, problems = notebook.written_data(own, *asked)
    assert (written, len(problems)) == (None, 1)


def test_file_to_take_along_holds_the_frame(notebook: ModuleType) -> None:
    import io

    import polars as pl

    frame = pl.DataFrame({"day": [date(2026, 11, 20)], "loss": [math.inf], "tool": [None]}, schema_overrides={"tool": pl.String})
    assert pl.read_parquet(io.BytesIO(notebook.in_parquet(frame))).equals(frame)


def test_made_up_log_goes_when_nobody_holds_it(notebook: ModuleType) -> None:
    import gc

    log = notebook.made_up_log()
    folder = log.folder.parent
    assert folder.is_dir()
    del log
    gc.collect()
    assert not folder.exists()


def test_log_of_ratings_alone_has_nothing_to_show(notebook: ModuleType, tmp_path: Path) -> None:
    with codex.SessionLog.open(tmp_path) as log:
        assert notebook.extent(log) is None
        log.session("annotation", "a note").close()
        assert notebook.extent(log) is None
        log.session("chat", "a talk").close()
        assert notebook.extent(log)[0] == ["chat"]

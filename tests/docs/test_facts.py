"""What the pages say of names, states, files and precedence is what the code has."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import signal
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from codex.config.compose import compose
from codex.config.explain import recipes
from codex.config.fields import GROUPS
from codex.config.library import Library
from codex.core import registry
from codex.core.events import Event, Kind, Role
from codex.core.paths import Workspace
from codex.evaluation import wording
from codex.evaluation.paired import fewest_groups
from codex.evaluation.verdict import Word
from codex.runs import endings
from codex.runs.attempts import RESERVE_BYTES, ask_stop, begin, leave_word
from codex.runs.context import HEARTBEAT_SECONDS
from codex.runs.record import Run
from codex.runs.status import Ending, ReasonKind, State, Status
from codex.runs.store import RunStore
from codex.services import recorder, tracking
from codex.services.encoding import DATA_DIGEST
from codex.services.learnt_form import DATA_FORM
from codex.services.workers import training
from codex.sessionlog import SessionInfo, SessionLog
from codex.sessionlog.session import DURABLE_KINDS, DURABLE_ROLES
from codex.sessionlog.writer import GROUP_SECONDS, SEGMENT_BYTES
from tests.docs.markdown import ROOT, code, named, read, rows, section

RUNS, CONFIGURATION, LOG, VERDICT = (f"docs/{name}.md" for name in ("runs", "configuration", "session-log", "verdict"))
ARCHITECTURE = "docs/architecture.md"


def _constants(module: Any) -> set[str]:
    """Every text that stands in a module's code."""
    nodes = ast.walk(ast.parse(inspect.getsource(module)))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


# Runs


def test_run_folder_names_are_those_that_a_run_leaves(tmp_path: Path) -> None:
    run = RunStore(Workspace(tmp_path)).create("training", "A run", {"asked.yaml": "", "resolved.yaml": ""})
    attempt = begin(run.folder, supervised=False)
    with attempt.lock:
        ask_stop(run.folder, 1, force=False)
        made = {path.name for path in run.folder.iterdir()}
        leave_word(run.folder, 1, Ending("finished", endings.FINISHED))
        made |= {path.name for path in run.folder.iterdir()}
    made |= {getattr(run, name).name for name, value in vars(Run).items() if isinstance(value, property) and name != "number"}
    assert "mlflow_run" in _constants(recorder)
    assert run.adapter.name == training.ADAPTER
    assert {name.rstrip("/") for name in named(RUNS, "name")} == made | {"mlflow_run", training.COST, DATA_DIGEST, DATA_FORM}
    assert f"{RESERVE_BYTES // 1024} KiB" in read(RUNS)


def test_status_fields_are_those_of_the_code() -> None:
    assert sorted(named(RUNS, "field")) == sorted(field.name for field in dataclasses.fields(Status))
    assert f"every {HEARTBEAT_SECONDS:g} s" in read(RUNS)


def test_report_keys_are_those_that_the_worker_writes() -> None:
    written = next(
        node.value
        for node in ast.walk(ast.parse(inspect.getsource(training)))
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "report"
    )
    assert isinstance(written, ast.Dict)
    values = {key.value: value for key, value in zip(written.keys, written.values, strict=True) if isinstance(key, ast.Constant)}
    assert named(RUNS, "key") == list(values)
    (told,) = (code(meaning) for key, meaning in rows(RUNS, "key") if key == "`training`")
    assert isinstance(values["training"], ast.Dict)
    assert told == [key.value for key in values["training"].keys if isinstance(key, ast.Constant)]
    assert all(name in read("docs/LOG.md") for name in told if name.endswith("_attempt"))


def test_states_are_those_of_the_code() -> None:
    states = list(get_args(State))
    assert named(RUNS, "state") == states
    in_diagram = set(re.findall(r"\b(\w+)(?= -->|:|$)", section(RUNS, "States").split("```")[1], re.MULTILINE)) & set(states)
    assert in_diagram == set(states) - {"unreadable"}


def test_exit_reasons_and_their_states_are_those_of_the_code(tmp_path: Path) -> None:
    exits = [
        endings.Exit(-signal.SIGSEGV),
        endings.Exit(-signal.SIGKILL, out_of_memory=True),
        endings.Exit(1),
        endings.Exit(-9, stop_asked="force"),
    ]
    seen = [Ending("finished", endings.FINISHED), endings.stopped(None), endings.forced(), endings.restarted(0.0), endings.lost(0.0, ())]
    seen += [endings.ending_of_error(error, tmp_path) for error in (MemoryError(), ValueError("no"))]
    seen += [endings.ending_of_exit(each) for each in exits]
    told = {code(kind)[0]: code(state)[0] for kind, state, _ in rows(RUNS, "kind")}
    assert list(told) == list(get_args(ReasonKind))
    assert told == {ending.reason.kind: ending.state for ending in seen}


def test_mlflow_can_lose_what_the_page_says() -> None:
    assert f"at least every {tracking.FLUSH_SECONDS:g} s" in read(RUNS)


# Configuration


def test_groups_and_options_are_those_of_the_recipes() -> None:
    library = Library.of(None)
    assert {code(group)[0]: code(options) for group, options in rows(CONFIGURATION, "group")} == {
        group: sorted(library.paths(group)) for group in GROUPS
    }
    assert named(CONFIGURATION, "group") == list(GROUPS)


def test_recipes_are_those_that_are_shipped() -> None:
    assert sorted(named(CONFIGURATION, "recipe")) == sorted(info.name for info in recipes())


STEPS = {"default": 100, "option": 101, "recipe": 102, "variable": 103, "override": 104, "argument": 105}
"""What each source says of `training.steps` in the test of precedence; the default is the schema's."""


@pytest.fixture
def with_sources(tmp_path: Path) -> Callable[[set[str]], int]:
    """The steps that come out when only some sources speak."""
    workspace = Workspace(tmp_path)

    def steps(sources: set[str]) -> int:
        option, recipe = (f"steps: {STEPS[name]}" if name in sources else "" for name in ("option", "recipe"))
        files = {
            "training/said.yaml": f"batch_size: 2\n{option}\n",
            "said.yaml": f"defaults:\n  - method: lora\n  - training: said\n  - _self_\ntraining:\n  log_every: 1\n  {recipe}\n",
        }
        for name, text in files.items():
            path = workspace.recipes / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        composed = compose(
            "said",
            [f"training.steps={STEPS['override']}"] if "override" in sources else [],
            workspace=workspace,
            environ={"CODEX_TRAINING__STEPS": str(STEPS["variable"])} if "variable" in sources else {},
            values={"training.steps": STEPS["argument"]} if "argument" in sources else {},
        )
        return composed.config.training.steps

    return steps


def test_precedence_is_as_the_page_says(with_sources: Callable[[set[str]], int]) -> None:
    told = [row[1] for row in rows(CONFIGURATION, "rank")]
    assert [int(row[0]) for row in rows(CONFIGURATION, "rank")] == list(range(1, len(STEPS) + 1))
    assert sorted(told) == sorted(STEPS)
    assert with_sources(set()) == STEPS[told[0]]
    for place, strong in enumerate(told[1:], 1):
        for weak in told[:place]:
            assert with_sources({weak, strong}) == STEPS[strong], f"{weak} against {strong}"


def test_chosen_option_is_weaker_than_recipe_and_variable(with_sources: Callable[[set[str]], int], tmp_path: Path) -> None:
    with_sources({"option", "recipe"})
    workspace = Workspace(tmp_path)
    chosen = ["training=quick-cpu"]
    assert compose("said", chosen, workspace=workspace, environ={}).config.training.steps == STEPS["recipe"]
    with_sources({"option"})
    assert compose("said", chosen, workspace=workspace, environ={}).config.training.steps == 200
    heard = {"CODEX_TRAINING__STEPS": "7", "CODEX_TRAINING__BATCH_SIZE": "", "CODEX_STEPS": "9", "CODEX_METHOD__NAME": "qlora"}
    config = compose("said", chosen, workspace=workspace, environ=heard).config
    assert (config.training.steps, config.training.batch_size, config.method.name) == (7, 8, "qlora")


# Session log and verdict


def test_log_columns_roles_and_kinds_are_those_of_the_code(tmp_path: Path) -> None:
    table = {code(names)[0]: (code(names), meaning) for names, meaning in rows(LOG, "column")}
    assert [name for names, _ in table.values() for name in names] == list(Event.model_fields)
    assert code(table["role"][1]) == list(get_args(Role))
    assert code(table["kind"][1]) == list(get_args(Kind))
    views = {name: SessionLog.open(tmp_path).sql(f"select * from {name}").columns for name in ("events", "sessions")}
    assert sorted(views["events"]) == sorted([*Event.model_fields, "time", "day"])
    told = re.search(r"`sessions` \(([^)]*)\)", read(LOG).replace("\n", " "))
    assert told
    infos = [field.name for field in dataclasses.fields(SessionInfo) if not field.name.startswith(("rating", "rated_"))]
    assert code(told[1]) == views["sessions"] == [*infos, "roles", "tools", "models", "last_seq", "time", "day"]


def test_log_durability_is_that_of_the_code() -> None:
    (durable,) = (row for row in rows(LOG, "class") if row[0] == "durable")
    assert set(code(durable[1])) == DURABLE_ROLES | DURABLE_KINDS
    assert f"{GROUP_SECONDS * 1000:g} ms" in read(LOG)
    assert f"{SEGMENT_BYTES // 2**20} MiB" in read(LOG)


def test_verdict_metrics_and_words_are_those_of_the_code() -> None:
    metrics = {code(name)[0]: better for name, _, better in rows(VERDICT, "name")}
    assert metrics == {name: registry.load("metric", name)().better for name in registry.names("metric")}
    parts = [name for row in rows(VERDICT, "part") for name in code(row[0])]
    assert set(parts[:3]) == set(get_args(Word))
    for phrase in (part for part in parts if "style" in part):
        assert any(phrase.endswith(said.strip()) for said in _constants(wording) if "style" in said), phrase
    assert f"{fewest_groups(0.95)} are needed at 95%" in read(VERDICT)


# Architecture


def test_floors_are_those_of_the_contract_and_every_package_is_told() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
    told = named(ARCHITECTURE, "floor", column=1)
    tops = [name for name in told if name.count("/") == 1]
    for page, names in ((ARCHITECTURE, iter(tops)), ("CONTRIBUTING.md", _floors_of_contributing())):
        for layer in contract:
            floor = {name.strip().replace(".", "/") for name in layer.split("|")}
            assert {next(names) for _ in floor} == floor, page
        assert not list(names)
    folders = [path for path in (ROOT / "codex").rglob("*") if path.is_dir() and path.name != "__pycache__"]
    packages = [path for path in folders if any(inside.is_file() for inside in path.iterdir())]
    assert sorted(told) == sorted(str(path.relative_to(ROOT)) for path in packages)


def _floors_of_contributing() -> Iterator[str]:
    drawing = section("CONTRIBUTING.md", "Where a line belongs").split("```")[1]
    for line in drawing.strip().splitlines():
        names = re.split(r"\s{2,}", line)
        together = line if "above" in line else names[0]
        yield from (f"codex/{name}" for name in re.findall(r"(?:codex/|\| (?!codex))(\w+)", together))


def test_diagram_of_components_has_no_arrow_that_goes_up() -> None:
    diagram = next(text for text in read(ARCHITECTURE).split("```") if text.startswith("mermaid") and '"codex/core"' in text)
    order = [name.removeprefix("codex/") for name in named(ARCHITECTURE, "floor", column=1) if name.count("/") == 1]
    arrows = re.findall(r'(\w+)(?:\["[^"]*"\])? --> (\w+)', diagram)
    assert {name for arrow in arrows for name in arrow} == set(order)
    assert all(order.index(above) < order.index(below) for above, below in arrows)


@pytest.mark.parametrize("page", [ARCHITECTURE, "CONTRIBUTING.md"])
def test_registry_kinds_are_those_of_the_code(page: str) -> None:
    if page == ARCHITECTURE:
        told = {code(kind)[0]: code(place)[0].replace("/", ".") for kind, place in rows(page, "kind")}
    else:
        cells = [row for row in rows(page, "to add") if "@register" in row[2]]
        found = [(re.search(r'"(\w+)"', row[2]), re.search(r"`(codex/\S+)/<name>\.py", row[1])) for row in cells]
        told = {kind[1]: place[1].replace("/", ".") for kind, place in found if kind and place}
    assert told == registry.KINDS


def test_workspace_folders_are_those_of_the_code() -> None:
    workspace = Workspace(Path("/w"))
    names = [getattr(workspace, name).name for name, value in vars(Workspace).items() if isinstance(value, property)]
    assert sorted(name.rstrip("/") for name in named("README.md", "in the workspace")) == sorted(names)

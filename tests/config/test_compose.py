"""From sources to one configuration: who wins, where each value came from, what Hydra would say, and threads."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from typing import Any

import pytest

from codex.config.compose import ABSENT, Change, compose
from codex.config.table import flat
from codex.core.paths import Workspace, shipped_recipes
from tests.config.conftest import ComposeHere, Write

SOURCES = ("default", "group", "recipe", "variable", "override", "argument")
STEPS = {"default": 100, "group": 201, "recipe": 202, "variable": 203, "override": 204, "argument": 205}


@pytest.mark.parametrize(("lower", "higher"), list(itertools.combinations(SOURCES, 2)))
def test_compose_two_sources_of_one_setting_later_source_wins(
    lower: str, higher: str, write: Write, composed: ComposeHere, workspace: Workspace
) -> None:
    given = {source: STEPS[source] for source in (lower, higher)}
    group = write("training/own", f"log_every: 1\n{'steps: 201' if 'group' in given else ''}\n")
    body = "training:\n  steps: 202\n" if "recipe" in given else ""
    recipe = write("own", f"defaults:\n  - method: lora\n  - training: own\n  - _self_\nseed: 3\n{body}")
    result = composed(
        *(["training.steps=204"] if "override" in given else []),
        recipe="own",
        environ={"CODEX_TRAINING__STEPS": "203"} if "variable" in given else {},
        values={"training.steps": 205} if "argument" in given else {},
    )
    assert result.config.training.steps == STEPS[higher]
    origin = {
        "group": f"{group}:2",
        "recipe": f"{recipe}:7",
        "variable": "variable CODEX_TRAINING__STEPS",
        "override": "override training.steps=204",
        "argument": "argument training.steps=205",
    }
    assert result.origins["training.steps"] == origin[higher]
    assert result.origins["training.batch_size"] == "default"


def test_compose_same_setting_twice_last_override_wins(composed: ComposeHere) -> None:
    assert composed("training.steps=3", "training.steps=4").config.training.steps == 4


def test_compose_first_override_wrong_and_then_right_is_right(composed: ComposeHere) -> None:
    assert composed("training.steps=x", "training.steps=4").config.training.steps == 4


def test_compose_group_choice_replaces_the_recipes_option_and_its_settings(composed: ComposeHere) -> None:
    before, after = composed("method.dropout=0.1"), composed("method.dropout=0.1", "method=lora")
    assert type(before.config.method).__name__ == "QloraSettings"
    assert type(after.config.method).__name__ == "LoraSettings"
    assert after.config.method.name == "lora"
    assert after.origins["method.rank"].startswith("recipes/method/lora.yaml:")
    assert after.origins["method.dropout"] == "override method.dropout=0.1"


def test_compose_method_name_means_the_choice_of_the_method(composed: ComposeHere) -> None:
    chosen = composed("method=lora").config
    assert composed("method.name=lora").config == chosen
    assert composed(environ={"CODEX_METHOD__NAME": "lora"}).config == chosen
    assert composed(values={"method.name": "lora"}).config == chosen
    assert composed(values={"method": {"name": "lora", "rank": 4}}).config == composed("method=lora", "method.rank=4").config
    assert composed("method=full", environ={"CODEX_METHOD__NAME": "lora"}).config.method.name == "full"


def test_compose_recipe_among_overrides_wins_over_the_argument(composed: ComposeHere) -> None:
    result = composed("recipe=lora-docstrings", recipe="qlora-docstrings")
    assert result.config.recipe == "lora-docstrings"
    assert result.config.method.name == "lora"
    assert result.origins["recipe"] == "override recipe=lora-docstrings"


@pytest.mark.parametrize(
    "name",
    ["CODEX_SEED", "CODEX_WORKSPACE", "CODEX_TRAINIG__STEPS", "codex_training__steps", "CODEX_TRAINING_STEPS", "XCODEX_TRAINING__STEPS"],
)
def test_compose_other_variables_are_not_heard(name: str, composed: ComposeHere) -> None:
    assert composed(environ={name: "7"}).config == composed().config


def test_compose_empty_variable_is_not_heard(composed: ComposeHere) -> None:
    assert composed(environ={"CODEX_TRAINING__STEPS": "", "CODEX_MODEL__SOURCE": ""}).config == composed().config


def test_compose_without_environ_hears_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_TRAINING__STEPS", "17")
    assert compose().config.training.steps == 17


def test_compose_nested_variable_reaches_the_inner_section(composed: ComposeHere) -> None:
    result = composed("model=codex-tiny-scratch", "method=full", environ={"CODEX_MODEL__SCRATCH__LAYERS": "2"})
    assert result.config.model.scratch is not None
    assert result.config.model.scratch.layers == 2


@pytest.mark.parametrize(
    "text",
    [
        "/data/my files/a=b [1] {x} (2).jsonl",
        "🐍 ü 本.jsonl",
        "a,b",
        "'quoted\"",
        "${oc.env:HOME}",
        "no",
        "12",
        "1e3",
        " padded ",
        "a: b # c",
        "\\n",
        "-",
        "*x",
        "!y",
        "%",
        "null.txt",
    ],
)
def test_compose_text_is_taken_as_typed(text: str, composed: ComposeHere) -> None:
    assert composed(f"data.source={text}").config.data.source == text
    assert composed(environ={"CODEX_DATA__SOURCE": text}).config.data.source == text
    assert composed(values={"data.source": text}).config.data.source == text


@pytest.mark.parametrize("text", ["null", "~", "Null", ""])
def test_compose_null_empties_a_setting_that_may_be_empty(text: str, composed: ComposeHere) -> None:
    assert composed("data.heldout=x.jsonl", f"data.heldout={text}").config.data.heldout is None
    assert composed(f"training.threads={text}").config.training.threads is None


def test_compose_null_is_text_where_a_setting_may_not_be_empty(composed: ComposeHere) -> None:
    assert composed("title=null").config.title == "null"


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("training.learning_rate=2e-4", 2e-4), ("training.learning_rate=1E-3", 1e-3), ("training.learning_rate=.5", 0.5),
        ("training.learning_rate=1", 1.0), ("training.steps=010", 10), ("training.steps=1_000", 1000), ("training.steps= 7 ", 7),
        ("training.steps=5.0", 5), ("training.steps=1e3", 1000), ("training.padding_free=yes", True), ("training.padding_free=Off", False),
        ("training.autocast=no", "no"), ("title=1:30", "1:30"), ("title=2026-11-23", "2026-11-23"),
        ("method.target_modules=[q_proj, v_proj]", ["q_proj", "v_proj"]), ("method.target_modules=all-linear", "all-linear"),
    ],
)  # fmt: skip
def test_compose_values_mean_what_people_write(override: str, value: Any, composed: ComposeHere) -> None:
    name = override.partition("=")[0]
    result = composed(override).config.model_dump()
    assert dict(flat(result))[name] == value


@pytest.mark.parametrize("written", ["2e-4", "0.0002", "2.0e-04", "'2e-4'"])
def test_compose_learning_rate_in_yaml_is_a_number(written: str, write: Write, composed: ComposeHere) -> None:
    write("own", f"defaults: [qlora-docstrings, _self_]\ntraining: {{learning_rate: {written}}}\n")
    assert composed(recipe="own").config.training.learning_rate == 2e-4


def test_compose_plain_words_in_yaml_stay_text_where_text_is_taken(write: Write, composed: ComposeHere) -> None:
    write("own", "defaults: [qlora-docstrings, _self_]\ntitle: 2026-11-23\ntraining: {autocast: no}\ndata: {source: on, heldout: ~}\n")
    config = composed(recipe="own").config
    assert (config.title, config.training.autocast, config.data.source, config.data.heldout) == ("2026-11-23", "no", "on", None)


def test_compose_own_recipe_extends_a_shipped_one(write: Write, composed: ComposeHere) -> None:
    write("training/long", "defaults: [quick-cpu, _self_]\nsteps: 900\n")
    path = write("mine", "defaults:\n  - qlora-docstrings\n  - override training: long\n  - _self_\nmethod:\n  rank: 64\n")
    result = composed("method.alpha=128", recipe="mine")
    assert (result.config.training.steps, result.config.training.batch_size) == (900, composed().config.training.batch_size)
    lines = (shipped_recipes() / "training" / "quick-cpu.yaml").read_text().splitlines()
    [line] = [number for number, text in enumerate(lines, 1) if text.startswith("batch_size:")]
    assert result.origins["training.batch_size"] == f"recipes/training/quick-cpu.yaml:{line}"
    assert result.origins["method.rank"] == f"{path}:6"
    assert result.changes() == [Change("method.alpha", composed().config.method.model_dump()["alpha"], 128, "override method.alpha=128")]


def test_compose_shipped_recipe_takes_the_workspaces_option(write: Write, composed: ComposeHere) -> None:
    write("training/long", "steps: 900\n")
    result = composed("training=long")
    assert result.config.training.steps == 900
    assert result.origins["training.batch_size"] == "default"


def test_compose_option_of_a_group_the_recipe_does_not_name_lies_below_its_values(write: Write, composed: ComposeHere) -> None:
    write("training/mine", "steps: 5\nbatch_size: 7\n")
    write("bare", "method: {name: lora}\ntraining: {steps: 3}\n")
    config = composed("training=mine", recipe="bare").config
    assert (config.training.steps, config.training.batch_size) == (3, 7)


def test_compose_self_first_lets_the_options_win(write: Write, composed: ComposeHere) -> None:
    write("training/mine", "steps: 5\n")
    write("own", "defaults: [_self_, {method: lora}, {training: mine}]\ntraining: {steps: 3}\n")
    assert composed(recipe="own").config.training.steps == 5


def test_compose_changed_file_is_read_anew(write: Write, composed: ComposeHere) -> None:
    write("training/a", "steps: 1\n")
    write("own", "defaults: [{method: lora}, {training: a}, _self_]\n")
    assert composed(recipe="own").config.training.steps == 1
    write("training/a", "steps: 2\n")
    assert composed(recipe="own").config.training.steps == 2
    write("training/b", "steps: 3\n")
    write("own", "defaults: [{method: lora}, {training: b}, _self_]\n")
    assert composed(recipe="own").config.training.steps == 3


def test_compose_changes_name_field_recipe_value_and_origin(composed: ComposeHere) -> None:
    recipe = composed().config
    seed = f"seed={recipe.seed}"  # what the recipe has already is no change
    result = composed("method=lora", "training.steps=7", seed, environ={"CODEX_MODEL__DEVICE": "cuda"}, values={"title": "T"})
    assert result.changes() == [
        Change("title", recipe.title, "T", "argument title=T"),
        Change("model.device", recipe.model.device, "cuda", "variable CODEX_MODEL__DEVICE"),
        Change("method.name", "qlora", "lora", "recipes/method/lora.yaml:2"),
        Change("training.steps", recipe.training.steps, 7, "override training.steps=7"),
        Change("method.quantization_type", "nf4", ABSENT, "default"),
        Change("method.double_quantization", True, ABSENT, "default"),
        Change("method.compute_dtype", "float32", ABSENT, "default"),
    ]


def test_compose_changes_of_a_new_shape_are_told_leaf_by_leaf(composed: ComposeHere) -> None:
    result = composed("model=codex-tiny-scratch", "method=full", "model.scratch.layers=2")
    changed = {change.field: (change.recipe_value, change.value) for change in result.changes()}
    assert changed["model.scratch.layers"] == (ABSENT, 2)
    assert changed["model.source"] == ("codex-tiny", "scratch")


def test_compose_a_second_time_takes_little_cpu(composed: ComposeHere) -> None:
    composed("method=lora")
    started = time.process_time()
    for steps in range(1, 11):
        composed("method=lora", f"training.steps={steps}")
    assert (time.process_time() - started) / 10 < 0.1


FRESH = """
import sys, time
started = time.process_time()
from codex.config import asked, compose, composed, explain, fields, files, library, plain, problems, schema, section, table, validate
from codex.core.registry import load, names
[load("method", name) for name in names("method")]
heavy = sorted({"hydra", "omegaconf", "torch", "transformers", "peft", "numpy", "duckdb", "mlflow"} & set(sys.modules))
assert not heavy, heavy
compose.compose(environ={})
assert "torch" not in sys.modules
print(time.process_time() - started)
"""


def test_config_in_a_fresh_interpreter_imports_hydra_late_and_composes_quickly() -> None:
    run = subprocess.run(
        [sys.executable, "-c", FRESH], capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False
    )
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) < 1.5  # 0.3 to 0.4 s on a quiet machine, imports included

"""What a form begins with, as text; and what text says that holds anyway."""

from __future__ import annotations

from typing import Any

import pytest

from codex.config.asked import hear
from codex.config.compose import check
from codex.config.fields import settings_of
from codex.config.library import Library
from codex.config.starting import Draft, begin, overrides_of, typed
from codex.config.table import REQUIRED, Entry, settle
from codex.core.errors import ConfigError
from codex.core.paths import Workspace
from codex.core.registry import load
from tests.config.conftest import Write

SETTINGS = settings_of(load("method", "qlora"))


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("data.max_examples", None, ""), ("tracking.mlflow", True, "true"), ("tracking.mlflow", False, "false"), ("seed", 7, "7"),
        ("training.learning_rate", 2e-5, "2e-5"), ("training.learning_rate", 0.0002, "0.0002"), ("training.max_grad_norm", 100.0, "100.0"),
        ("title", "no", "no"), ("title", "", ""), ("title", " a: 'b' # é\n", " a: 'b' # é\n"), ("data.source", "null", "null"),
        ("method.target_modules", ["q_proj", "no", "1", "a, b", "'"], '[q_proj, "no", "1", \'a, b\', "\'"]'),
        ("model.scratch", {"layers": 2, "context": 64}, "{layers: 2, context: 64}"),
    ],
)  # fmt: skip
def test_typed_text_is_read_back_to_the_value(name: str, value: Any, text: str) -> None:
    assert typed(value) == text
    assert settle(Entry(text, text, "", typed=True), SETTINGS[name]) == value


def test_typed_what_must_be_said_is_empty() -> None:
    assert typed(REQUIRED) == ""


def test_begin_holds_values_as_the_files_write_them(workspace: Workspace, write: Write) -> None:
    write(
        "own",
        "defaults: [qlora-docstrings, _self_]\ntitle: 'quoted'\nseed: '7'\ndata: {heldout: ~, max_tokens: 0100}\nevaluation: {judge: yes}\n"
        "training: {learning_rate: 2E-3, autocast: no, threads: }\nmethod: {target_modules: [q_proj, v_proj], dropout: .10}\n"
        "tracking:\n  experiment: ???\n",
    )
    held = begin(Library.of(workspace), "own", {}, {}).held
    texts = {name: held[name].text for name in held}
    assert {name: texts[name] for name in ("title", "seed", "data.heldout", "data.max_tokens", "evaluation.judge")} == {
        "title": "quoted", "seed": "7", "data.heldout": "", "data.max_tokens": "0100", "evaluation.judge": "true",
    }  # fmt: skip
    assert (texts["training.learning_rate"], texts["training.autocast"], texts["training.threads"]) == ("2E-3", "no", "")
    assert (texts["method.target_modules"], texts["method.dropout"]) == ("[q_proj, v_proj]", ".10")
    assert (texts["tracking.experiment"], held["tracking.experiment"].value) == ("", REQUIRED)
    assert (texts["training.steps"], texts["model.source"]) == ("200", "codex-tiny")


@pytest.mark.parametrize("text", ["1", "True", "yes", "ON", "t", "y", "1.0"])
def test_begin_holds_a_switch_as_it_is_taken_however_it_is_written(workspace: Workspace, write: Write, text: str) -> None:
    write("own", f"defaults: [qlora-docstrings, _self_]\nevaluation: {{judge: {text}}}\n")
    environ = {"CODEX_METHOD__RANK_STABILISED": text}
    library = Library.of(workspace)
    held = begin(library, "own", {}, environ).held
    assert [(held[name].value, held[name].text) for name in ("evaluation.judge", "method.rank_stabilised")] == [(True, "true")] * 2
    assert held["method.rank_stabilised"].origin == "variable CODEX_METHOD__RANK_STABILISED"
    asked = overrides_of(library, Draft("own", texts={"evaluation.judge": "on"}), environ)
    assert asked == ["recipe=own", "method.rank_stabilised=true"]
    config = check(library, hear("own", (), environ, {})).composed
    assert config is not None and config.config.evaluation.judge is True  # as the command line has it


def test_begin_with_a_shape_shows_what_is_in_it_instead_of_it(workspace: Workspace, write: Write) -> None:
    write("shape", "defaults: [qlora-docstrings, {override method: full}, _self_]\nmodel: {source: scratch, scratch: {layers: 3}}\n")
    write("plain", "defaults: [shape, _self_]\nmodel: {scratch: {}}\n")
    library = Library.of(workspace)
    for recipe, layers in (("shape", "3"), ("plain", "3")):
        held = begin(library, recipe, {}, {}).held
        assert (held["model.scratch.layers"].text, held["model.scratch.heads"].text) == (layers, "4")
        assert "model.scratch" not in held
    write("empty", "defaults: [qlora-docstrings, {override method: full}, _self_]\nmodel: {source: scratch, scratch: {}}\n")
    assert begin(library, "empty", {}, {}).held["model.scratch.layers"].text == "5"
    assert overrides_of(library, Draft("empty", texts={"model.scratch.layers": "6"}), {})[1:] == ["model.scratch.layers=6"]
    held = begin(library, "qlora-docstrings", {}, {"CODEX_MODEL__SCRATCH": "{layers: 3}"}).held
    assert (held["model.scratch"].text, "model.scratch.layers" in held) == ("{layers: 3}", False)


def test_begin_shows_wrong_values_as_they_are_written_so_that_they_can_be_mended(workspace: Workspace, write: Write) -> None:
    write("wrong", "defaults: [qlora-docstrings, _self_]\ntraining: {steps: many, padding_free: 3}\nmethod: 5\n")
    library = Library.of(workspace)
    held = begin(library, "wrong", {}, {}).held
    assert (held["training.steps"].text, held["training.padding_free"].text) == ("many", "3")
    mended = Draft("wrong", {}, {"training.steps": "5", "training.padding_free": "true"})
    assert overrides_of(library, mended, {}) == ["recipe=wrong", "training.steps=5", "training.padding_free=true"]


def test_begin_names_the_option_of_each_group_through_recipes_that_extend_others(workspace: Workspace, write: Write) -> None:
    write("training/long", "defaults: [quick-cpu, _self_]\nsteps: 3\n")
    write("middle", "defaults: [qlora-docstrings, {override training: long}, {override tracking: log-only}, _self_]\n")
    write("own", "defaults: [middle, {override method: lora}, {override training: gpu-24gb}, _self_]\n")
    write("bare", "defaults: [{method: full}, _self_]\n")
    library = Library.of(workspace)
    assert dict(begin(library, "own", {"data": "stdlib-source", "model": " "}, {}).options) == {
        "model": "codex-tiny", "data": "stdlib-source", "method": "lora", "training": "gpu-24gb", "evaluation": "paired",
        "tracking": "log-only",
    }  # fmt: skip
    assert begin(library, "bare", {}, {}).options == {"method": "full"}
    unknown = begin(library, "own", {"training": "nowhere"}, {})
    assert unknown.options["training"] == "gpu-24gb"
    assert ["training 'nowhere' is unknown" in problem.what for problem in unknown.problems] == [True]
    with pytest.raises(ConfigError, match="recipe 'zzz' is unknown"):
        begin(library, "zzz", {}, {})


def test_overrides_of_a_recipe_that_is_not_there_still_say_what_was_asked(workspace: Workspace) -> None:
    draft = Draft("zzz", {"method": "lora"}, {"training.steps": "5"})
    assert overrides_of(Library.of(workspace), draft, {}) == ["recipe=zzz", "method=lora"]


def test_check_says_which_settings_each_problem_is_about(workspace: Workspace, write: Write) -> None:
    write("own", "recipe: x\ndefaults: [qlora-docstrings, _self_]\n")
    asked = hear("own", ["training.stepz=1", "method=none", "model=zzz", "data.max_tokens=0", "=5", "recipe=own"], {}, {})
    checked = check(Library.of(workspace), asked)
    assert checked.composed is None
    assert [sorted(finding.fields) for finding in checked.findings] == [
        [], ["method"], ["model"], ["recipe"], ["data.max_tokens"], ["training.stepz"],
    ]  # fmt: skip

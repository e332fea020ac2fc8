"""Setting up a run in a form: every setting is there, and what a form holds is what the command line would be told."""

from __future__ import annotations

import os
import random
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from codex.config.compose import compose
from codex.config.explain import explain
from codex.config.fields import GROUPS, FieldHelp
from codex.config.schema import DataConfig
from codex.core.errors import ConfigError, DataError, Problem, RunError, UserError, WorkspaceError
from codex.core.paths import Workspace
from codex.data.load import load
from codex.runs.store import RunStore
from codex.services import setup
from codex.services.setup import Draft, Proposal
from tests.cli.test_bad_input import CASES, Files

SETTINGS = {one.name: one for one in explain()}
TYPED = [name for name in SETTINGS if name not in ("recipe", "method.name", "model.scratch")]
RECIPES = [recipe.name for recipe in setup.recipes()]
NEEDED = {"qlora-chat": {"data.source": "chats.jsonl"}, "qlora-8b-24gb": {"data.source": "chats.jsonl"}}
HOSTILE = [
    "../x",
    "a/b",
    "..\\x",
    "🐍",
    "<script>",
    "x" * 300,
    "",
    " ",
    ".",
    "..",
    "-rf",
    "~root",
    "a\nb",
    "a\x1b[2J",
    "null",
    "$(id)",
    "a'b",
]


def _said(problems: Sequence[Problem]) -> list[tuple[str, str, str]]:
    """Problems without where their values came from."""
    return sorted((one.what, one.expected, one.fix) for one in problems)


def _typed_by_hand(
    overrides: Sequence[str], workspace: Workspace, environ: Mapping[str, str] | None = None
) -> str | list[tuple[str, str, str]]:
    """What the command line makes of overrides: the whole configuration, or its problems."""
    try:
        return compose(overrides=overrides, workspace=workspace, environ=environ or {}).resolved_yaml()
    except ConfigError as error:
        return _said(error.problems)


def _came_to(proposal: Proposal) -> str | list[tuple[str, str, str]]:
    if proposal.composed is not None:
        return proposal.composed.resolved_yaml()
    return _said([each.problem for each in proposal.problems])


def _words(command: str) -> list[str]:
    """A command in parts, as a shell takes it apart."""
    return shlex.split(command.replace("\\\n", ""))


def _another(setting: FieldHelp, text: str) -> str:
    """A right value for a setting that is not `text`."""
    special = {
        "training.optimizer": "paged_adamw_8bit", "method.target_modules": "[q_proj, v_proj]", "model.source": "my-model",
        "model.scratch.heads": "2", "model.scratch.kv_heads": "1", "model.scratch.hidden_size": "512", "data.max_tokens": "256",
    }  # fmt: skip
    if setting.name in special:
        return special[setting.name]
    if setting.type == "true or false":
        return "false" if text == "true" else "true"
    if setting.choices:
        return next(choice for choice in setting.choices if choice != text)
    if setting.type == "whole number":
        return str(int(text or setting.bounds.low or 0) + int(setting.bounds.step or 1))
    return "another" if setting.text else str((float(text) + (setting.bounds.low or 0.3)) / 2 + 0.01)


def _where(setting: FieldHelp) -> Draft:
    """A draft in which a setting exists."""
    if setting.name.startswith("model.scratch"):
        return Draft("pretrain-tiny")
    return Draft("qlora-docstrings", {"method": setting.methods[-1]} if setting.methods else {})


# Every setting


def test_form_has_every_setting_of_every_method_once_by_section() -> None:
    found = setup.fields()
    assert [field.name for field in found] == list(SETTINGS)
    assert len(found) > 50
    assert [field.help for field in found] == list(SETTINGS.values())
    in_order = list(dict.fromkeys(field.section for field in found))
    assert in_order == [section.name for section in setup.sections()] == ["run", *GROUPS]
    assert sorted(found, key=lambda field: in_order.index(field.section)) == list(found)
    assert all(section.title and section.help.endswith(".") for section in setup.sections())
    assert {field.name: field.choice for field in found if field.choice} == {"recipe": "recipe", "method.name": "method"}


def test_basic_settings_are_those_that_a_first_run_is_about() -> None:
    assert [field.name for field in setup.fields() if field.basic and field.choice is None] == [
        "title", "seed", "model.source", "model.confirm_download", "data.source", "data.max_tokens", "method.rank", "method.alpha",
        "training.steps", "training.batch_size", "training.learning_rate", "evaluation.judge",
    ]  # fmt: skip


def test_every_setting_is_shown_by_some_recipe_and_none_that_is_not_there() -> None:
    shown: set[str] = set()
    for recipe in RECIPES:
        for method in ("full", "lora", "qlora"):
            texts = setup.starting_values(recipe, {"method": method}, Workspace(Path("/none")))
            shown |= texts.keys()
            assert ("model.scratch.layers" in texts) == (recipe == "pretrain-tiny") != ("model.scratch" in texts)
            assert ("method.rank" in texts) == (method != "full")
            assert ("method.compute_dtype" in texts) == (method == "qlora")
            assert list(texts) == [name for name in SETTINGS if name in texts]
    assert shown == {*TYPED, "model.scratch"}


@pytest.mark.parametrize("name", TYPED)
def test_setting_that_is_changed_changes_its_line_and_is_one_override(name: str, workspace: Workspace) -> None:
    draft = _where(SETTINGS[name])
    texts = setup.starting_values(draft.recipe, draft.choices, workspace)
    before = setup.propose(draft, workspace)
    text = _another(SETTINGS[name], texts[name])
    after = setup.propose(Draft(draft.recipe, draft.choices, {**texts, name: text}), workspace)
    assert (before.problems, after.problems) == ((), ())
    assert after.overrides == (*before.overrides, f"{name}={text}")
    assert [line for line in before.yaml_lines if line.field != name] == [line for line in after.yaml_lines if line.field != name]
    assert [line.text for line in before.yaml_lines] != [line.text for line in after.yaml_lines]
    assert {line.field for line in after.yaml_lines if line.changed} - {line.field for line in before.yaml_lines if line.changed} == {name}
    assert name in [change.field for change in after.changes]
    resolved = "".join(f"{line.text}\n" for line in after.yaml_lines)
    assert resolved == _came_to(after) == _typed_by_hand(after.overrides, workspace)
    assert _words(after.command) == ["codex-ml", "train", *after.overrides, "--workspace", str(workspace.root)]


def test_setting_that_does_not_exist_or_is_a_choice_counts_for_nothing(workspace: Workspace) -> None:
    texts = {"method.rank": "0", "recipe": "zzz", "method.name": "zzz", "model.scratch.layers": "0", "nonsense": "1", "training.stepz": "5"}
    proposal = setup.propose(Draft("qlora-docstrings", {"method": "full", "nothing": "x", "training": ""}, texts), workspace)
    assert (proposal.problems, proposal.overrides) == ((), ("recipe=qlora-docstrings", "method=full"))


def test_new_models_shape_can_be_typed_whole(workspace: Workspace) -> None:
    texts = {"model.source": "scratch", "model.scratch": "{layers: 2, context: 1024}"}
    proposal = setup.propose(Draft("qlora-docstrings", {"method": "full"}, texts), workspace)
    assert proposal.composed is not None
    assert proposal.composed.config.model.scratch is not None
    assert proposal.composed.config.model.scratch.layers == 2
    wrong = setup.propose(Draft("qlora-docstrings", {"method": "full"}, {**texts, "model.scratch": "{layers: 0}"}), workspace)
    assert [each.fields for each in wrong.problems] == [("model.scratch",)]


# What was typed, and what is asked for


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("training.learning_rate", "2e-3"), ("training.learning_rate", "0.002"), ("training.learning_rate", " .002 "),
        ("training.steps", "200.0"), ("training.steps", "+2_00"), ("method.dropout", "0"), ("tracking.mlflow", "Yes"),
        ("training.threads", "01"), ("data.max_examples", "null"), ("data.heldout", "~"), ("method.target_modules", "all-linear"),
    ],
)  # fmt: skip
def test_text_that_means_what_holds_anyway_is_no_override(name: str, text: str, workspace: Workspace) -> None:
    assert setup.overrides_of(Draft(texts={name: text}), workspace) == ["recipe=qlora-docstrings"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("method.dropout", "-0.0"), ("training.threads", "true"), ("tracking.mlflow", "0"), ("title", "qlora on docstrings"),
        ("data.format", "null"),
    ],
)  # fmt: skip
def test_text_that_means_something_else_is_an_override(name: str, text: str, workspace: Workspace) -> None:
    assert setup.overrides_of(Draft(texts={name: text}), workspace) == ["recipe=qlora-docstrings", f"{name}={text}"]


def test_choice_that_the_recipe_makes_anyway_is_no_override(workspace: Workspace) -> None:
    beginning = setup.beginning("qlora-docstrings", {}, workspace)
    assert setup.overrides_of(Draft("qlora-docstrings", beginning.options), workspace) == ["recipe=qlora-docstrings"]
    other = setup.beginning("qlora-docstrings", {"training": "gpu-24gb"}, workspace)
    assert dict(other.options) == {**beginning.options, "training": "gpu-24gb"}
    assert other.held["training.learning_rate"].text == "2e-4"


WORDS = [
    "", "0", "1", "2", "5", "7.5", "-1", "1e-3", "true", "no", "null", "???", "[q_proj]", "bf16", "adamw", "muon", "scratch", "codex-tiny",
    "float32", "bfloat16", "cuda", "stdlib-source", "a b", "{layers: 1}", "'", "x=y", " 3", "é🐍", "a\nb", "512", "64",
]  # fmt: skip


def _random_choices(chance: random.Random) -> tuple[str, dict[str, str]]:
    groups = chance.sample(GROUPS, chance.choice([0, 0, 1, 2]))
    return chance.choice(RECIPES), {group: chance.choice(OPTIONS[group]).name for group in groups}


OPTIONS = setup.options(Workspace(Path("/none")))
CHOICES = [_random_choices(random.Random(seed)) for seed in range(16)]  # few, because Hydra takes its time for each that is new


def _random_draft(chance: random.Random) -> Draft:
    recipe, choices = chance.choice(CHOICES)
    names = chance.sample(list(SETTINGS), chance.randrange(6))
    return Draft(recipe, choices, {**NEEDED.get(recipe, {}), **{name: chance.choice(WORDS) for name in names}})


def _by_hand(draft: Draft, workspace: Workspace) -> list[str]:
    """A command line that leaves nothing out: every option, and every setting that the form shows."""
    held = setup.beginning(draft.recipe, draft.choices, workspace).held
    texts = {name: draft.texts.get(name, one.text) for name, one in held.items()}
    told = [f"{name}={text}" for name, text in texts.items() if text or held[name].value != "???"]
    return [f"recipe={draft.recipe}", *(f"{group}={option}" for group, option in draft.choices.items()), *told]


@pytest.mark.parametrize("seed", range(20))
def test_random_drafts_come_to_what_a_command_with_everything_comes_to_and_no_override_is_spare(seed: int, workspace: Workspace) -> None:
    chance = random.Random(seed)
    for _ in range(10):
        draft = _random_draft(chance)
        proposal = setup.propose(draft, workspace)
        assert _came_to(proposal) == _typed_by_hand(_by_hand(draft, workspace), workspace), draft
        if "$'" not in proposal.command:
            assert _words(proposal.command)[2:-2] == list(proposal.overrides)
        if proposal.composed is not None:
            named = {one: one.partition("=")[0] for one in proposal.overrides}
            # `1` for `true` is kept as it was typed.
            settings = [one for one, name in named.items() if name in TYPED and SETTINGS[name].type != "true or false"]
            fewer = [[one for one in proposal.overrides if one != left_out] for left_out in settings]
            assert proposal.composed.resolved_yaml() not in [_typed_by_hand(each, workspace) for each in fewer], draft


def test_random_drafts_are_right_and_wrong_in_turn(workspace: Workspace) -> None:
    chance = random.Random(0)
    right = [setup.propose(_random_draft(chance), workspace).composed is not None for _ in range(60)]
    assert 10 < sum(right) < 50


@pytest.mark.parametrize("seed", range(5))
def test_drafts_ask_for_the_same_with_the_processes_variables_and_without(
    seed: int, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    variables = {"CODEX_TRAINING__STEPS": "30", "CODEX_METHOD__NAME": "lora", "CODEX_DATA__SOURCE": "here.jsonl"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for _ in range(5):
        draft = _random_draft(chance)
        proposal = setup.propose(draft, workspace)
        assert (
            _came_to(proposal) == _typed_by_hand(proposal.overrides, workspace, variables) == _typed_by_hand(proposal.overrides, workspace)
        )


def test_variables_are_what_the_form_begins_with_and_what_is_typed_wins(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_TRAINING__STEPS", "30")
    monkeypatch.setenv("CODEX_METHOD__NAME", "lora")
    beginning = setup.beginning("qlora-docstrings", {}, workspace)
    assert (beginning.options["method"], beginning.held["training.steps"].text) == ("lora", "30")
    untouched = setup.propose(Draft("qlora-docstrings"), workspace)
    assert untouched.overrides == ("recipe=qlora-docstrings", "method=lora", "training.steps=30")
    back = setup.propose(Draft("qlora-docstrings", {"method": "qlora"}, {"training.steps": "200"}), workspace)
    assert back.overrides == ("recipe=qlora-docstrings", "method=qlora", "training.steps=200")
    assert back.changes == ()
    monkeypatch.setenv("CODEX_TRAINING__STEPZ", "1")
    [unknown] = setup.propose(Draft(), workspace).problems
    assert (unknown.fields, unknown.problem.where) == (("training",), "variable CODEX_TRAINING__STEPZ")


# What is wrong

NOT_IN_A_FORM = ("unknown key", "unknown key without section", "key of another method", "override with a sign", "override without a key",
                 "override without a value sign")  # fmt: skip


def _draft_of_line(overrides: Sequence[str]) -> Draft:
    """The draft of somebody who puts what a command line says into a form."""
    pairs = [(name, text) for name, _, text in (one.partition("=") for one in overrides)]
    recipe = next((text for name, text in pairs if name == "recipe"), "qlora-docstrings")
    return Draft(recipe, {name: text for name, text in pairs if name in GROUPS}, {name: text for name, text in pairs if name not in GROUPS})


def test_bad_input_in_a_form_is_told_in_the_words_of_the_command_line(tmp_path: Path, workspace: Workspace) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    files, told = Files(folder), 0
    for name, case in CASES.items():
        words = case.arguments(files)
        if words[0] != "train" or name in NOT_IN_A_FORM or "--workspace" in words:
            continue
        overrides = [word for word in words[1:] if "=" in word]
        proposal = setup.propose(_draft_of_line(overrides), workspace)
        assert _came_to(proposal) == _typed_by_hand(overrides, workspace), name
        for each in proposal.problems:
            told += 1
            assert each.fields, name
            assert each.problem.where is None or each.fields[0] not in SETTINGS
            assert "override" not in str(each)
    assert told >= 16


def test_number_that_is_left_out_is_told_as_empty_and_one_that_is_null_as_null(workspace: Workspace) -> None:
    for text, word in (("", "empty"), ("null", "null")):
        draft = Draft("qlora-docstrings", {}, {"training.steps": text})
        [told] = setup.propose(draft, workspace).problems
        assert str(told.problem).startswith(f"`training.steps` is {word}; expected a whole number")


def test_problems_stand_beside_what_they_are_about_all_at_once(workspace: Workspace) -> None:
    texts = {"training.optimizer": "muon", "method.rank": "0", "training.batch_size": "many", "data.heldout_share": "0", "title": " "}
    problems = setup.propose(Draft("qlora-docstrings", {"tracking": "nowhere", "method": "lora"}, texts), workspace).problems
    assert {each.fields for each in problems} == {
        ("tracking",), ("method.rank",), ("training.batch_size",), ("title",), ("method", "training.optimizer"),
    }  # fmt: skip
    assert str(problems[1]) == "`method.rank` is 0; expected 1 to 512. Set `method.rank=16`."
    judged = setup.propose(Draft("qlora-chat", texts={"data.source": "c.jsonl", "data.heldout_share": "0"}), workspace).problems
    assert [each.fields for each in judged] == [("data.heldout", "data.heldout_share", "evaluation.judge")]


def test_recipe_or_option_that_is_unknown_or_broken_is_told_beside_its_choice(workspace: Workspace) -> None:
    (workspace.recipes / "training").mkdir(parents=True)
    (workspace.recipes / "broken.yaml").write_text("seed: [\n")
    (workspace.recipes / "training" / "broken.yaml").write_text("steps: [\n")
    for draft, fields, where in [
        (Draft("broken"), ("recipe",), f"{workspace.recipes / 'broken.yaml'}:2"),
        (Draft("zzz", {"method": "lora"}), ("recipe",), None),
        (Draft(choices={"training": "broken"}), ("training",), f"{workspace.recipes / 'training' / 'broken.yaml'}:2"),
    ]:
        proposal = setup.propose(draft, workspace)
        assert [(each.fields, each.problem.where) for each in proposal.problems] == [(fields, where)]
        assert (proposal.composed, proposal.yaml_lines, proposal.changes) == (None, (), ())
        with pytest.raises(ConfigError):
            setup.starting_values(draft.recipe, draft.choices, workspace)
    with pytest.raises(ConfigError, match="training 'nowhere' is unknown"):
        setup.beginning("qlora-docstrings", {"training": "nowhere"}, workspace)
    broken = [option for option in setup.options(workspace)["training"] if option.problem]
    assert [(option.name, option.own) for option in broken] == [("broken", True)]


def test_required_setting_that_is_empty_is_told_as_not_given(workspace: Workspace) -> None:
    [missing] = setup.propose(Draft("qlora-chat", texts={"data.source": ""}), workspace).problems
    assert (missing.fields, missing.problem.what) == (("data.source",), "`data.source` is not given")


# The command


def test_command_is_read_by_a_shell_as_the_overrides(workspace: Workspace, tmp_path: Path) -> None:
    texts = {"title": 'it\'s "$HOME" `id`', "data.source": "a\nb\x1b[2J'é\\n.jsonl", "data.heldout": "$(id)"}
    proposal = setup.propose(Draft(texts=texts), Workspace(tmp_path / "a b"))
    assert "\n  --workspace '" in proposal.command
    assert "\x1b" not in proposal.command
    script = f"codex-ml() {{ printf '%s\\0' \"$@\"; }}\n{proposal.command}\n"
    heard = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout.decode().split("\0")
    assert heard == ["train", *proposal.overrides, "--workspace", str(tmp_path / "a b"), ""]


def test_command_leaves_out_a_workspace_that_every_terminal_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert setup.propose(Draft(), Workspace.locate()).command == "codex-ml train recipe=qlora-docstrings"
    monkeypatch.setenv("CODEX_WORKSPACE", "/elsewhere")
    home = Workspace.locate("~/.codex-ml")
    assert setup.propose(Draft(), home).command.endswith(f"--workspace {home.root}")
    assert setup.propose(Draft(), Workspace.locate()).command.endswith("--workspace /elsewhere")


# Again, with changes


def _made(workspace: Workspace, *overrides: str, recipe: str = "qlora-docstrings", **values: object) -> str:
    """A run that was made with these; gives its id."""
    composed = compose(recipe, overrides, workspace=workspace, environ={"CODEX_EVALUATION__EXAMPLES": "33"}, values=values)
    files = {"asked.yaml": composed.asked_yaml(), "resolved.yaml": composed.resolved_yaml()}
    return RunStore(workspace).create("training", "A run", files).id


def _again(run: str, workspace: Workspace) -> str:
    proposal = setup.propose(setup.from_run(run, workspace), workspace)
    assert proposal.composed is not None
    assert proposal.composed.resolved_yaml() == RunStore(workspace).get(run).resolved.read_text()
    assert _typed_by_hand(proposal.overrides, workspace) == proposal.composed.resolved_yaml()
    return proposal.command


@pytest.mark.parametrize("recipe", RECIPES)
def test_run_again_is_the_run_itself(recipe: str, workspace: Workspace) -> None:
    needed = [f"{name}={text}" for name, text in NEEDED.get(recipe, {}).items()]
    plain = _made(workspace, *needed, "title=é 'x' \"y\"", "training.learning_rate=0.00003", "data.max_examples=5", recipe=recipe)
    assert "\n  training.learning_rate=3e-5 " in _again(plain, workspace)
    shape = ["model=codex-tiny-scratch", "model.scratch.layers=2", "data.max_tokens=128", "method=full"]
    chosen = _made(workspace, *needed, *shape, "training=gpu-24gb", recipe=recipe)
    assert "training=gpu-24gb" in _again(chosen, workspace) or recipe == "qlora-8b-24gb"
    listed = _made(workspace, *needed, "model=codex-tiny", "training=quick-cpu", recipe=recipe, **{
        "method.name": "lora", "method.target_modules": ["q_proj", "no", "1"], "data.heldout": "h.jsonl", "data.source": "/a/c.jsonl",
    })  # fmt: skip
    _again(listed, workspace)


def test_run_again_needs_no_record_of_what_was_asked(workspace: Workspace) -> None:
    for overrides in (["method=full", "training=pretrain-cpu"], ["model=codex-tiny-scratch", "method=full"]):
        run = _made(workspace, *overrides)
        RunStore(workspace).get(run).asked.write_text("nonsense: [")
        _again(run, workspace)


def test_run_again_after_its_recipe_or_option_changed_is_still_the_run_itself(workspace: Workspace) -> None:
    (workspace.recipes / "training").mkdir(parents=True)
    own, option = workspace.recipes / "own.yaml", workspace.recipes / "training" / "mine.yaml"
    own.write_text("defaults: [qlora-docstrings, {override training: mine}, _self_]\nmethod: {rank: 4}\n")
    option.write_text("defaults: [quick-cpu, _self_]\nsteps: 7\n")
    run = _made(workspace, "seed=3", recipe="own")
    other = _made(workspace, "training=mine")
    own.write_text("defaults: [lora-docstrings, _self_]\nmethod: {rank: 5}\n")
    option.unlink()
    assert "method.rank=4" in _again(run, workspace)
    assert "training.steps=7" in _again(other, workspace)
    own.write_text("defaults: [lora-docstrings\n")
    with pytest.raises(RunError, match="began with the recipe 'own'"):
        setup.from_run(run, workspace)
    own.unlink()
    with pytest.raises(
        RunError, match=r"recipe 'own' is unknown; expected a recipe that gives the same configuration\. Put the recipe 'own' back"
    ):
        setup.from_run(run, workspace)


def test_run_again_of_another_kind_or_unreadable_is_refused(workspace: Workspace) -> None:
    store = RunStore(workspace)
    other = store.create("evaluation", "E", {"asked.yaml": "", "resolved.yaml": ""})
    with pytest.raises(RunError, match="is of the kind 'evaluation'"):
        setup.from_run(other.id, workspace)
    with pytest.raises(RunError, match="unknown"):
        setup.from_run("r-0099", workspace)
    store.get(_made(workspace)).resolved.write_text("method: {name: qlora}\ntraining: {steps: 0}\n")
    with pytest.raises(ConfigError, match=r"`training\.steps` is 0"):
        setup.from_run("last", workspace)


# Saved as a recipe


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("choices", [{}, {"training": "gpu-24gb", "tracking": "log-only", "method": "qlora-bf16", "model": "codex-tiny"}])
def test_saved_recipe_is_what_the_form_held(recipe: str, choices: dict[str, str], workspace: Workspace) -> None:
    texts = {"seed": "7", "title": "a: 'b' # é", "data.max_examples": "9", "data.heldout": "no", **NEEDED.get(recipe, {})}
    if choices:
        texts |= {
            "method.target_modules": "[q_proj, 'no']",
            "training.max_grad_norm": "1e-5",
            "training.threads": "",
            "data.source": "null",
        }
    draft = Draft(recipe, choices, texts)
    path = setup.save_recipe(draft, "mine", workspace, about="  What it is\nfor: # é.  ")
    assert path == workspace.recipes / "mine.yaml"
    held = setup.propose(draft, workspace).composed
    assert held is not None
    saved = compose("mine", workspace=workspace, environ={})
    assert saved.resolved_yaml().replace("recipe: mine\n", f"recipe: {recipe}\n") == held.resolved_yaml()
    again = setup.save_recipe(Draft("mine", {}, {"seed": "8"}), "more", workspace)
    assert "defaults:\n  - mine\n  - _self_\n\nseed: 8\n" in again.read_text()
    assert sorted(each.name for each in workspace.recipes.iterdir()) == ["mine.yaml", "more.yaml"]


def test_saved_recipe_says_what_it_is_for_and_how_it_is_run(workspace: Workspace) -> None:
    for name, about in [("a", "  What it is\nfor: # é.\x1b  "), ("b", "@package x"), ("c", "codex-ml train recipe=x"), ("d", "")]:
        setup.save_recipe(Draft("lora-docstrings"), name, workspace, about)
    own = [info for info in setup.recipes(workspace) if info.own]
    assert [info.about for info in own] == [
        "What it is for: # é.", "“@package x”", "“codex-ml train recipe=x”", "From a form, on the recipe lora-docstrings.",
    ]  # fmt: skip
    for info in own:
        assert info.problem is None
        assert info.commands == (f"codex-ml train recipe={info.name}", f"codex-ml train recipe={info.name} --dry-run")


def test_saved_recipe_chooses_what_its_recipe_does_not(workspace: Workspace) -> None:
    workspace.recipes.mkdir(parents=True)
    (workspace.recipes / "bare.yaml").write_text("defaults: [{method: lora}, _self_]\ntraining: {steps: 3}\n")
    draft = Draft("bare", {"training": "gpu-24gb", "method": "qlora"})
    setup.save_recipe(draft, "mine", workspace)
    held = setup.propose(draft, workspace).composed
    assert held is not None
    assert held.config.training.steps == 3
    assert compose("mine", workspace=workspace, environ={}).config.model_copy(update={"recipe": "bare"}) == held.config


@pytest.mark.parametrize("name", [*(name for name in HOSTILE), "12", "1e5", "no", "x.yaml", "_self_", "a b", "x" * 65])
def test_recipe_name_that_is_none_is_refused_with_one_that_is(name: str, workspace: Workspace) -> None:
    with pytest.raises(UserError) as caught:
        setup.save_recipe(Draft(), name, workspace)
    [problem] = caught.value.problems
    assert problem.what.startswith("the recipe's name is ")
    assert len(str(problem)) < 400
    assert not workspace.root.exists()
    proposed = problem.fix.split("'")[1]
    assert setup.save_recipe(Draft(), proposed, workspace).parent == workspace.recipes


def test_recipe_name_that_is_taken_is_refused_and_the_file_stays(workspace: Workspace) -> None:
    path = setup.save_recipe(Draft(), "mine", workspace)
    before = path.read_bytes()
    for name, free in (("mine", "mine-2"), ("qlora-chat", "qlora-chat-2")):
        with pytest.raises(UserError, match=rf"'{name}' is there already: .*{name}.yaml; expected a name that is free. Call it '{free}'."):
            setup.save_recipe(Draft(texts={"seed": "1"}), name, workspace)
    assert path.read_bytes() == before


def test_recipe_of_a_draft_that_is_wrong_or_cannot_be_kept_is_not_saved(workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match=r"`method\.rank` is 0") as caught:
        setup.save_recipe(Draft(texts={"method.rank": "0", "seed": "x"}), "mine", workspace)
    assert len(caught.value.problems) == 2
    with pytest.raises(ConfigError, match=r"'\$\{HOME\}' is an interpolation"):
        setup.save_recipe(Draft(texts={"title": "${HOME}"}), "mine", workspace)
    assert not workspace.root.exists()


def test_recipe_where_no_file_can_be_is_refused(workspace: Workspace) -> None:
    workspace.root.mkdir()
    workspace.recipes.write_text("")
    with pytest.raises(WorkspaceError, match="cannot be written"):
        setup.save_recipe(Draft(), "mine", workspace)


def test_recipe_saved_by_two_at_once_is_that_of_one(workspace: Workspace) -> None:
    refused: list[str] = []
    barrier = threading.Barrier(4)

    def save(seed: int) -> None:
        barrier.wait()
        try:
            setup.save_recipe(Draft(texts={"seed": str(seed)}), "mine", workspace)
        except UserError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=save, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ["is there already" in said for said in refused] == [True] * 3
    assert compose("mine", workspace=workspace, environ={}).config.seed in range(4)


# Own data

ROWS = b'{"prompt": "a", "completion": "b"}\n'


@pytest.mark.parametrize("name", [*HOSTILE, ".hidden.jsonl", "a.b.jsonl", "stdlib-docstrings", "é è.jsonl", f"x.{'y' * 300}", "con?.jsonl"])
def test_own_data_gets_a_safe_name_and_is_found_by_it(name: str, workspace: Workspace) -> None:
    called = setup.add_data(ROWS, name, workspace)
    [path] = workspace.datasets.iterdir()
    assert path.is_file()
    assert (path.name, path.read_bytes()) == (called, ROWS)
    assert len(os.fsencode(called)) < 256
    assert shlex.quote(called) == called or not called.isascii()
    assert setup.data_names(workspace)[2:] == (called,)
    data = DataConfig.model_validate({"source": called, "heldout_share": 0.0})
    assert load(data, 0, workspace, judged=False).source == str(path)
    composed = setup.propose(Draft("qlora-chat", texts={"data.source": called}), workspace).composed
    assert composed is not None
    assert composed.config.data.source == called


def test_own_data_of_the_same_name_and_content_is_there_once_and_no_other_is_replaced(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "chats.jsonl"
    file.write_bytes(ROWS)
    assert setup.add_data(file, "chats.jsonl", workspace) == "chats.jsonl"
    assert setup.add_data(ROWS, "up/chats.jsonl", workspace) == "chats.jsonl"
    assert setup.add_data(ROWS * 2, "chats.jsonl", workspace) == "chats-2.jsonl"
    assert setup.add_data(ROWS * 3, "chats.jsonl", workspace) == "chats-3.jsonl"
    assert setup.add_data(ROWS * 2, "chats.jsonl", workspace) == "chats-2.jsonl"
    assert (workspace.datasets / "chats.jsonl").read_bytes() == ROWS
    file.write_bytes(b"")
    assert (workspace.datasets / "chats.jsonl").read_bytes() == ROWS, "a copy, not the file itself"
    assert setup.data_names(workspace) == ("stdlib-docstrings", "stdlib-source", "chats-2.jsonl", "chats-3.jsonl", "chats.jsonl")


def test_own_data_that_is_no_file_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    for path in (tmp_path / "none.jsonl", tmp_path, Path("/dev/zero")):
        with pytest.raises(DataError, match="is no regular file"):
            setup.add_data(path, "x.jsonl", workspace)
    assert setup.data_names(workspace) == ("stdlib-docstrings", "stdlib-source")


def test_own_data_and_models_are_named_by_their_path_where_the_name_means_something_else_here(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chats.jsonl").write_bytes(ROWS)
    assert setup.add_data(ROWS * 2, "chats.jsonl", workspace) == str(workspace.datasets / "chats.jsonl")
    for name in ("codex-tiny", "mine", ".hidden", "~root"):
        (workspace.models / name).mkdir(parents=True)
    (workspace.models / "file").touch()
    assert setup.model_names(workspace) == ("codex-tiny", str(workspace.models / "codex-tiny"), "mine", str(workspace.models / "~root"))


# Light and quick


def test_form_is_light_and_quick() -> None:
    script = """
import sys
from pathlib import Path
from codex.core.paths import Workspace
from codex.services import setup
here = Workspace(Path("/none"))
setup.fields(), setup.sections(), setup.options(here), setup.data_names(here), setup.model_names(here)
assert "hydra" not in sys.modules
assert setup.propose(setup.Draft(), here).composed
heavy = ("torch", "transformers", "numpy", "duckdb", "mlflow", "gradio", "tokenizers", "safetensors")
print(*[name for name in heavy if name in sys.modules])
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == ""


def test_proposal_takes_little_time(workspace: Workspace) -> None:
    taken: list[float] = []
    for step in range(8):
        before = time.process_time()
        setup.propose(Draft("lora-docstrings", {"training": "gpu-24gb"}, {"training.steps": str(step), "method.rank": "8"}), workspace)
        taken.append(time.process_time() - before)
    assert min(taken) < 0.06

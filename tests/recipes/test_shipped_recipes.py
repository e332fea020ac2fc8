"""Every shipped recipe is parsed, composed and checked, and so is every command that stands in one."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from codex.config.compose import Composed, compose, load_resolved
from codex.config.explain import RecipeInfo, recipes
from codex.config.fields import GROUPS, settings_of
from codex.config.library import Library
from codex.core.paths import shipped_recipes

RECIPES = {info.name: info for info in recipes()}
COMMANDS = [(info.name, command) for info in RECIPES.values() for command in info.commands]
OPTIONS = [(group, name) for group in GROUPS for name in sorted(Library.of(None).paths(group))]
NEEDED = {"qlora-chat": ["data.source=chats.jsonl"], "qlora-8b-24gb": ["data.source=chats.jsonl"]}


def _composed(name: str, *overrides: str) -> Composed:
    return compose(name, [*NEEDED.get(name, []), *overrides], environ={})


def test_every_recipe_and_option_file_is_found() -> None:
    assert sorted(RECIPES) == ["lora-docstrings", "pretrain-tiny", "qlora-8b-24gb", "qlora-chat", "qlora-docstrings"]
    assert OPTIONS == [
        ("model", "codex-tiny"), ("model", "codex-tiny-scratch"), ("model", "llama-8b"),
        ("data", "chat-file"), ("data", "stdlib-docstrings"), ("data", "stdlib-source"),
        ("method", "full"), ("method", "lora"), ("method", "qlora"), ("method", "qlora-bf16"),
        ("training", "gpu-24gb"), ("training", "pretrain-cpu"), ("training", "quick-cpu"),
        ("evaluation", "none"), ("evaluation", "paired"),
        ("tracking", "log-only"), ("tracking", "mlflow"),
    ]  # fmt: skip
    files = [path for path in shipped_recipes().rglob("*") if path.is_file()]
    assert len(files) == len(RECIPES) + len(OPTIONS), "every file in recipes/ is a recipe or an option"
    assert len(COMMANDS) == 18


@pytest.mark.parametrize("info", RECIPES.values(), ids=list(RECIPES))
def test_recipe_composes_reads_back_and_says_what_it_is_for(info: RecipeInfo, tmp_path: Path) -> None:
    result = _composed(info.name)
    assert result.config.recipe == info.name
    assert info.problem is None
    assert [f"Set `{need.split('=')[0]}=FILE.jsonl`." for need in NEEDED.get(info.name, [])] == list(info.needs)
    assert info.about.endswith(".")
    assert len(info.about) > 40
    assert result.config.title
    path = tmp_path / "resolved.yaml"
    path.write_text(result.resolved_yaml())
    assert load_resolved(path) == result.config


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_leaves_nothing_to_a_default_that_is_not_visible(name: str) -> None:
    """Each setting of a recipe stands in one of its files, so that a person sees all of it."""
    result = _composed(name)
    hidden = {field for field, origin in result.origins.items() if origin == "default"}
    assert hidden == set()


@pytest.mark.parametrize("info", RECIPES.values(), ids=list(RECIPES))
def test_recipe_header_holds_its_plain_command_a_variation_and_a_dry_run(info: RecipeInfo) -> None:
    mine = f"codex-ml train recipe={info.name}"
    assert info.commands[0].startswith(mine)
    assert any("=" in command.removeprefix(mine) for command in info.commands)
    assert any(command.endswith("--dry-run") for command in info.commands)


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_command_in_a_header_is_one_that_works(name: str, command: str) -> None:
    program, verb, *arguments = shlex.split(command)
    assert (program, verb) == ("codex-ml", "train")
    options = [argument for argument in arguments if argument.startswith("--")]
    assert set(options) <= {"--dry-run", "--follow"}
    overrides = [argument for argument in arguments if argument not in options]
    assert f"recipe={name}" in overrides
    result = compose(overrides=overrides, environ={})
    assert result.config.recipe == name
    assert len(result.changes()) == len(overrides) - 1, "each override of a command changes something"


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_option_says_what_it_is_for_and_names_only_its_groups_settings(group: str, option: str) -> None:
    path = shipped_recipes() / group / f"{option}.yaml"
    first = path.read_text().splitlines()[0]
    assert first.startswith("# ")
    assert len(first) > 20


def test_options_of_one_group_name_the_same_settings() -> None:
    """So that choosing another one leaves nothing of the first, and nothing to a default."""
    fixed = {"model": ["method=full"], "data": ["data.source=a.jsonl"]}
    for group, option in OPTIONS:
        extra = [] if (group, option) == ("data", "stdlib-source") else fixed.get(group, [])
        extra = ["model=codex-tiny-scratch", "method=full"] if option == "pretrain-cpu" else extra
        result = compose("qlora-docstrings", [f"{group}={option}", *extra], environ={})
        wanted = {name for name in settings_of(type(result.config.method)) if name.startswith(f"{group}.")}
        left = {name for name in result.origins if name.startswith(f"{group}.") and result.origins[name] == "default"}
        assert wanted & left == set(), (group, option)


def test_default_recipe_is_qlora_of_the_tiny_model_as_promised() -> None:
    config = compose(environ={}).config
    assert config.recipe == "qlora-docstrings"
    method = config.method.model_dump()
    assert (method["name"], method["quantization_type"], method["double_quantization"], method["target_modules"]) == (
        "qlora",
        "nf4",
        True,
        "all-linear",
    )
    assert (config.model.source, config.model.device, config.model.dtype, config.data.source) == (
        "codex-tiny",
        "auto",
        "float32",
        "stdlib-docstrings",
    )
    assert (config.seed, config.training.threads, config.evaluation.judge) == (42, 1, True)


def test_recipe_for_24_gb_is_what_its_name_says() -> None:
    config = _composed("qlora-8b-24gb").config
    method = config.method.model_dump()
    assert (method["name"], method["quantization_type"], method["compute_dtype"]) == ("qlora", "nf4", "bfloat16")
    assert (config.training.autocast, config.training.gradient_checkpointing, config.training.optimizer) == (
        "bf16",
        True,
        "paged_adamw_8bit",
    )
    assert not config.model.confirm_download


def test_recipe_that_makes_codex_tiny_trains_all_weights_of_a_new_model() -> None:
    config = _composed("pretrain-tiny").config
    assert config.method.trains_all_weights
    assert config.model.scratch is not None
    assert (config.data.source, config.training.optimizer) == ("stdlib-source", "muon")

"""`codex-ml config`: show, explain, recipes."""

from __future__ import annotations

from pathlib import Path

import yaml

from codex.core.paths import Workspace, shipped_recipes
from tests.cli.conftest import Cli

RECIPES = sorted(path.stem for path in shipped_recipes().glob("*.yaml"))


def test_show_is_the_whole_configuration_with_changes_marked(cli: Cli) -> None:
    answer = cli("config", "show", "recipe=lora-docstrings", "training.steps=7")
    assert answer.code == 0
    assert yaml.safe_load(answer.out)["training"]["steps"] == 7
    assert "steps: 7  # recipe: " in answer.out


def test_show_as_json_names_changes_and_origins(cli: Cli) -> None:
    found = cli("config", "show", "training.steps=7", "--json").json
    assert found["configuration"]["training"]["steps"] == 7
    assert [change["field"] for change in found["changes"]] == ["training.steps"]
    assert found["origins"]["training.steps"] == "override training.steps=7"


def test_recipes_lists_every_shipped_one_with_what_it_is(cli: Cli) -> None:
    found = cli("config", "recipes", "--json").json
    assert [recipe["name"] for recipe in found] == RECIPES
    assert len(RECIPES) >= 5
    assert all(recipe["about"] and recipe["header"] and recipe["problem"] is None and not recipe["own"] for recipe in found)
    assert [recipe["needs"] for recipe in found if recipe["name"] == "qlora-chat"] == [["Set `data.source=FILE.jsonl`."]]
    assert [recipe["needs"] for recipe in found if recipe["name"] == "qlora-docstrings"] == [[]]
    text = cli("config", "recipes").out
    assert all(f"{name}\n" in text for name in RECIPES)


def test_recipes_show_a_broken_one_of_the_persons_own(cli: Cli, surroundings: Workspace) -> None:
    surroundings.recipes.mkdir(parents=True)
    (surroundings.recipes / "mine.yaml").write_text("# Mine.\ndefaults:\n- qlora-docstrings\n- _self_\ntraining:\n  steps: 0\n")
    answer = cli("config", "recipes")
    assert answer.code == 0
    assert "Cannot be used: `training.steps` is 0" in " ".join(answer.out.split())
    mine = next(recipe for recipe in cli("config", "recipes", "--json").json if recipe["name"] == "mine")
    assert mine["own"]
    assert mine["about"] == "Mine."
    assert Path(mine["file"]) == surroundings.recipes / "mine.yaml"


def test_explain_names_every_setting_of_every_method(cli: Cli) -> None:
    found = {setting["name"]: setting for setting in cli("config", "explain", "--json").json}
    assert len(found) > 45
    assert all(setting["title"] and setting["help"] and setting["takes"] for setting in found.values())
    assert found["method.rank"]["methods"] == ["lora", "qlora"]
    assert found["method.quantization_type"]["methods"] == ["qlora"]
    assert found["method.name"]["choices"] == ["full", "lora", "qlora"]
    assert found["training.steps"]["methods"] == []
    assert (found["method.rank"]["basic"], found["training.schedule"]["basic"]) == (True, False)


def test_explain_one_setting_says_help_bounds_default_and_how_to_set_it(cli: Cli) -> None:
    text = cli("config", "explain", "method.rank").out
    assert text.startswith("method.rank  Rank\n")
    assert "Takes a whole number, 1 to 512. Default: 16." in text
    assert "Only with method=lora or method=qlora." in text
    assert "Set it: method.rank=16" in text


def test_explain_takes_a_group_and_a_last_name(cli: Cli) -> None:
    assert [setting["name"] for setting in cli("config", "explain", "steps", "--json").json] == ["training.steps"]
    group = [setting["name"] for setting in cli("config", "explain", "tracking", "--json").json]
    assert group == ["tracking.mlflow", "tracking.experiment", "tracking.system_metrics"]


def test_explain_fits_the_window(cli: Cli) -> None:
    lines = cli("config", "explain", "training").out.splitlines()
    assert len(lines) > 50
    assert max(map(len, lines)) <= 100

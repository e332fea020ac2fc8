"""What a form is opened with: what an address asks for that cannot be had is told as the command line tells it, and the rest kept."""

from __future__ import annotations

import pytest

from codex.core.paths import Workspace
from codex.services import setup
from codex.services.opening import opened


def test_address_that_says_what_there_is_becomes_the_form(workspace: Workspace) -> None:
    found = opened(workspace, recipe="lora-docstrings", changes=["training.steps=7", "training=gpu-24gb", "method.name=qlora"])
    assert (found.problems, found.instead) == ((), False)
    assert found.draft == setup.Draft("lora-docstrings", {"training": "gpu-24gb", "method": "qlora"}, {"training.steps": "7"})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("nonsense.key=4", "`nonsense.key` is no setting (override `nonsense.key=4`); expected the dotted name of a setting."),
        ("training.stepz=4", "`training.stepz` is no setting (override `training.stepz=4`); expected one of the settings of `training`."),
        ("model.scratch.layers=3", "`model.source` is 'codex-tiny' and `model.scratch` is {'layers': 3}"),
        ("model=nowhere", "model 'nowhere' is unknown (override `model=nowhere`)"),
        ("training.steps", "'training.steps' is no override"),
    ],
)
def test_change_that_no_form_takes_is_told_and_the_others_are_kept(workspace: Workspace, change: str, words: str) -> None:
    found = opened(workspace, changes=[change, "seed=3"])
    assert [str(problem).startswith(words) for problem in found.problems] == [True]
    assert found.draft.texts == {"seed": "3"}
    assert not found.instead


def test_setting_that_only_a_command_line_can_say_is_told_as_such(workspace: Workspace) -> None:
    changes = ["method=full", "model.source=scratch", "model.scratch.layers=3", "seed=3"]
    [problem] = opened(workspace, changes=changes).problems
    assert problem.what == "`model.scratch.layers` has no field in this form"


def test_recipe_or_run_that_is_not_there_gives_the_default_recipe_and_the_changes(workspace: Workspace) -> None:
    for asked in ({"recipe": "nope"}, {"run": "r-0099"}):
        found = opened(workspace, **asked, changes=["training.steps=7", "model=nowhere"])
        assert found.instead
        assert len(found.problems) == 2
        assert found.draft == setup.Draft("qlora-docstrings", {}, {"training.steps": "7"})


def test_default_recipe_that_is_there_twice_does_not_keep_the_form_shut(workspace: Workspace) -> None:
    workspace.recipes.mkdir(parents=True, exist_ok=True)
    (workspace.recipes / "qlora-docstrings.yaml").write_text("seed: 4\n")
    found = opened(workspace, changes=["seed=3"])
    assert "is both" in found.problems[0].what
    assert (found.instead, found.draft.texts) == (True, {"seed": "3"})

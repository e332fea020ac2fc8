"""Names, duplicates, and everything that can be wrong with a recipe's defaults."""

from __future__ import annotations

import pytest

from codex.config.library import Library, follow
from codex.core.paths import Workspace, shipped_recipes
from tests.config.conftest import ComposeHere, ProblemsHere, Write

WRONG_DEFAULTS = {
    "missing option": ("defaults:\n  - method: lora\n  - training: fast\n  - _self_\n", 3, "training 'fast' is unknown"),
    "missing recipe": ("defaults:\n  - qlora-docstring\n  - _self_\n", 2, "recipe 'qlora-docstring' is unknown"),
    "unknown group": ("defaults:\n  - method: lora\n  - trainig: quick-cpu\n  - _self_\n", 3, "`defaults` name the group 'trainig'"),
    "group by package": ("defaults:\n  - training@data: quick-cpu\n  - _self_\n", 2, "'training@data'"),
    "optional": ("defaults:\n  - optional training: quick-cpu\n  - _self_\n", 2, "'optional training'"),
    "itself": ("defaults:\n  - own\n  - _self_\n", 2, "run in a circle: own → own"),
    "no _self_": ("defaults:\n  - qlora-docstrings\nseed: 3\n", 2, "name `_self_` 0 times"),
    "_self_ twice": ("defaults:\n  - _self_\n  - qlora-docstrings\n  - _self_\n", 4, "name `_self_` 2 times"),
    "second option": ("defaults:\n  - qlora-docstrings\n  - training: gpu-24gb\n  - _self_\n", 3, "comes after `training: quick-cpu`"),
    "override first": ("defaults:\n  - override method: lora\n  - qlora-docstrings\n  - _self_\n", 3, "stands behind an `override`"),
    "override of nothing": (
        "defaults:\n  - method: lora\n  - override data: chat-file\n  - _self_\n",
        3,
        "`override data` replaces nothing",
    ),
    "empty name": ("defaults:\n  - ''\n  - _self_\n", 2, "recipe '' is unknown"),
    "path": ("defaults:\n  - ../own\n  - _self_\n", 2, "recipe '../own' is unknown"),
}


@pytest.mark.parametrize("case", WRONG_DEFAULTS.values(), ids=list(WRONG_DEFAULTS))
def test_wrong_defaults_say_what_and_where(case: tuple[str, int, str], write: Write, problems: ProblemsHere) -> None:
    text, line, said = case
    path = write("own", text)
    [problem] = [problem for problem in problems(recipe="own") if said in problem.what]
    assert problem.where == f"{path}:{line}"


def test_defaults_in_a_circle_through_several_files_are_told_once(write: Write, problems: ProblemsHere) -> None:
    write("one", "defaults: [two, _self_]\n")
    write("two", "defaults: [three, _self_]\n")
    path = write("three", "defaults:\n  - one\n  - _self_\n")
    [problem] = problems(recipe="one")
    assert problem.what == "`defaults` run in a circle: one → two → three → one"
    assert problem.where == f"{path}:2"


def test_options_in_a_circle_are_told(write: Write, problems: ProblemsHere) -> None:
    write("training/a", "defaults: [b, _self_]\n")
    write("training/b", "defaults: [a, _self_]\n")
    [problem] = problems("training=a")
    assert problem.what == "`defaults` run in a circle: training/a → training/b → training/a"


def test_option_that_names_another_group_is_refused(write: Write, problems: ProblemsHere) -> None:
    path = write("training/a", "defaults:\n  - data: chat-file\n  - _self_\n")
    [problem] = problems("training=a")
    assert (problem.where, problem.expected) == (f"{path}:2", "expected names of its own group only")


def test_all_broken_files_of_one_recipe_are_told_at_once(write: Write, problems: ProblemsHere) -> None:
    write("training/bad", "steps: [\n")
    write("data/bad", b"source: \xff\n")
    write("own", "defaults: [{training: bad}, {data: bad}, {method: none}, {model: nope}, _self_]\n")
    said = "\n".join(problem.what for problem in problems(recipe="own"))
    for part in (
        'training/bad.yaml" is no YAML',
        'data/bad.yaml" holds the byte 0xff',
        "method 'none' is unknown",
        "model 'nope' is unknown",
    ):
        assert part in said


def test_name_that_the_workspace_shares_with_a_shipped_recipe_is_an_error_when_used(
    write: Write, problems: ProblemsHere, composed: ComposeHere
) -> None:
    path = write("qlora-docstrings", "defaults: [lora-docstrings, _self_]\n")
    [problem] = problems()
    assert problem.what == f"recipe 'qlora-docstrings' is both {path} and recipes/qlora-docstrings.yaml"
    assert problem.fix == "Rename yours, for example to `my-qlora-docstrings.yaml`."
    assert composed(recipe="lora-docstrings").config.method.name == "lora"
    write("training/quick-cpu", "steps: 3\n")
    assert problems(recipe="lora-docstrings")[0].what.startswith("training 'quick-cpu' is both ")


def test_file_with_the_other_ending_is_pointed_out(workspace: Workspace, problems: ProblemsHere) -> None:
    (workspace.recipes / "zebra.yml").write_text("seed: 3\n")
    [problem] = problems(recipe="zebra")
    assert problem.fix == "Rename `zebra.yml` to `zebra.yaml`."


def test_folder_with_a_recipes_name_is_no_recipe(workspace: Workspace, problems: ProblemsHere) -> None:
    (workspace.recipes / "trap.yaml").mkdir()
    assert problems(recipe="trap")[0].what == "recipe 'trap' is unknown"


def test_library_lists_shipped_and_own_names(write: Write, workspace: Workspace) -> None:
    shipped = Library.of(workspace)
    assert shipped.folders == (shipped_recipes(),)
    assert shipped.names("method") == ["full", "lora", "qlora", "qlora-bf16"]
    write("zebra", "seed: 3\n")
    write("method/zebra", "name: lora\n")
    both = Library.of(workspace)
    assert both.names(None) == sorted([*shipped.names(None), "zebra"])
    assert both.names("method") == ["full", "lora", "qlora", "qlora-bf16", "zebra"]
    assert Library.of(Workspace(workspace.root / "none")).folders == (shipped_recipes(),)


def test_follow_finds_every_file_that_is_brought_in(write: Write, workspace: Workspace) -> None:
    write("training/long", "defaults: [quick-cpu, _self_]\nsteps: 3\n")
    write("own", "defaults: [qlora-docstrings, {override training: long}, _self_]\n")
    chain = follow(Library.of(workspace), "own", {"method": "lora"}, {})
    assert {"own", "qlora-docstrings", "training/long", "training/quick-cpu", "method/qlora", "method/lora"} <= set(chain.files)
    assert dict(chain.options) == {
        "model": "codex-tiny", "data": "stdlib-docstrings", "method": "qlora", "training": "long", "evaluation": "paired",
        "tracking": "mlflow",
    }  # fmt: skip
    assert chain.bare_method is None

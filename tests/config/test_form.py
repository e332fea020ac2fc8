"""A form over a stranger's method: it is there without a recipe, and its secret is not."""

from __future__ import annotations

import pytest

from codex.config.compose import compose
from codex.config.form import fields, options
from codex.config.library import Library
from codex.config.saving import save_recipe
from codex.config.starting import Draft, begin
from codex.core.paths import Workspace
from tests.config.conftest import Write
from tests.config.test_compose_plugin import plugin

__all__ = ["plugin"]


@pytest.mark.usefixtures("plugin")
def test_form_has_a_strangers_method_and_its_settings_but_shows_no_secret(workspace: Workspace) -> None:
    found = {field.name: field for field in fields()}
    assert found["method.share"].help.methods == ("sparse",)
    assert found["method.token"].help.secret
    sparse = next(option for option in options(workspace)["method"] if option.name == "sparse")
    assert (sparse.about, sparse.own, sparse.problem) == ("Trains few weights.", False, None)
    held = begin(Library.of(workspace), "qlora-docstrings", {"method": "sparse"}, {"CODEX_METHOD__TOKEN": "hush"}).held
    assert [name for name in held if name.startswith("method.")] == ["method.share"]
    draft = Draft("qlora-docstrings", {"method": "sparse"}, {"method.share": "0.5"})
    path = save_recipe(draft, "mine", workspace, environ={"CODEX_METHOD__TOKEN": "hush"})
    assert "hush" not in path.read_text()
    assert compose("mine", workspace=workspace, environ={}).config.method.model_dump()["share"] == 0.5


def test_options_are_shipped_ones_then_own_ones_with_what_is_wrong(workspace: Workspace, write: Write) -> None:
    write("training/aaa", "# Mine,\n# on two lines.\n#\n# More.\nsteps: 3\n")
    write("training/quick-cpu", "# Twice.\nsteps: 3\n")
    write("training/broken", "steps: [\n")
    found = options(workspace)["training"]
    assert [(option.name, option.own, option.problem is None) for option in found] == [
        ("gpu-24gb", False, True), ("pretrain-cpu", False, True), ("aaa", True, True), ("broken", True, False), ("quick-cpu", True, False),
    ]  # fmt: skip
    about = {option.name: option.about for option in found}
    assert about["aaa"] == "Mine, on two lines."
    assert about["gpu-24gb"].startswith("QLoRA of an 8B model")
    assert "is both" in str(found[-1].problem)
    assert "is no YAML" in str(found[-2].problem)
    assert all(option.about for group in options().values() for option in group)

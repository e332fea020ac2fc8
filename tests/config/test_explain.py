"""What can be set, in words; and which recipes there are."""

from __future__ import annotations

import pytest

from codex.config.explain import explain, recipes
from codex.config.fields import Bounds, nearest
from codex.core.errors import UserError
from codex.core.paths import Workspace
from tests.config.conftest import Write


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        (Bounds(1, 512), "1 to 512"), (Bounds(0, 1, low_open=True), "above 0, at most 1"),
        (Bounds(0.5, 1, True, True), "above 0.5, below 1"), (Bounds(), ""),
        (Bounds(64, 8192, step=64), "a multiple of 64, 64 to 8192"), (Bounds(low=1), "at least 1"), (Bounds(high=200), "at most 200"),
        (Bounds(0.0, 1.0, high_open=True), "at least 0, below 1"),
    ],
)  # fmt: skip
def test_bounds_read_as_words(bounds: Bounds, words: str) -> None:
    assert str(bounds) == words


def test_explain_tells_everything_of_one_setting() -> None:
    [rate] = explain("training.learning_rate")
    assert (rate.title, rate.type, str(rate.bounds), rate.default) == ("Learning rate", "number", "above 0, at most 1", 2e-4)
    assert rate.expectation == "a number, above 0, at most 1"
    [steps] = explain("training.steps")
    assert (steps.unit, steps.required, steps.optional) == ("steps", False, False)
    [threads] = explain("training.threads")
    assert (threads.optional, threads.expectation) == (True, "a whole number, 1 to 1024, or null")


def test_explain_method_name_lists_the_methods_and_each_setting_says_whose_it_is() -> None:
    method = {setting.name: setting for setting in explain("method")}
    assert method["method.name"].choices == ("full", "lora", "qlora")
    assert method["method.name"].required
    assert (method["method.name"].default, method["method.name"].methods) == (None, ())
    assert method["method.name"].expectation == "one of full, lora, qlora"
    assert method["method.rank"].methods == ("lora", "qlora")
    assert method["method.double_quantization"].methods == ("qlora",)
    assert method["method.target_modules"].expectation == "all-linear, or a list such as [q_proj, v_proj]"


def test_explain_without_a_name_lists_each_setting_once_in_order() -> None:
    everything = [setting.name for setting in explain()]
    assert len(everything) == len(set(everything)) > 50
    assert everything[:4] == ["recipe", "title", "seed", "model.source"]
    assert [name for name in everything if name.startswith("training.")] == [setting.name for setting in explain("training")]
    assert everything[-3:] == ["tracking.mlflow", "tracking.experiment", "tracking.system_metrics"]


def test_explain_takes_a_section_within_a_section_and_a_last_part_for_all_that_end_so() -> None:
    assert {setting.name for setting in explain("steps")} == {"training.steps"}
    assert {setting.name for setting in explain("batch_size")} == {"training.batch_size", "evaluation.batch_size"}
    assert {setting.name for setting in explain("scratch.layers")} == {"model.scratch.layers"}
    assert {setting.name for setting in explain(" model.scratch. ")} > {"model.scratch", "model.scratch.layers"}


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("training.stepz", " training.steps"), ("trainin", " training"), ("learning_rat", " training.learning_rate"),
        ("model.scrach", " model.scratch"), ("zzzz", ""), ("", ""), (".", ""),
    ],
)  # fmt: skip
def test_explain_of_an_unknown_name_proposes_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UserError) as caught:
        explain(name)
    [problem] = caught.value.problems
    assert problem.what == f"`{name}` is no setting"
    assert f"`codex-ml config explain{near}`" in problem.fix


def test_nearest_prefers_the_same_last_part_and_gives_up_on_strangers() -> None:
    known = ["training.batch_size", "evaluation.batch_size", "method.rank"]
    assert nearest("eval.batch_size", known) == "evaluation.batch_size"
    assert nearest("lora.rank", known) == "method.rank"
    assert nearest("method.rnak", known) == "method.rank"
    assert nearest("zzzz", known) is None
    assert nearest("x" * 1_000_000, known) is None


def test_recipes_lists_own_ones_after_shipped_ones_and_says_what_is_broken(workspace: Workspace, write: Write) -> None:
    header = "#\n# My run: short.\n# It has more.\n#\n#   codex-ml train recipe=aaa\n#   codex-ml train recipe=aaa seed=1  # again\n"
    write("aaa", f"{header}defaults: [lora-docstrings, _self_]\n")
    write("broken", "seed: [\n")
    write("lost", "# L.\ndefaults: [none, _self_]\n")
    write("wrong", "# W.\n# codex-ml train recipe=wrong\ndefaults: [qlora-chat, _self_]\ntraining: {steps: 0, batch_size: 0}\n")
    write("qlora-docstrings", "# Mine.\n")
    found = recipes(workspace)
    assert [info.name for info in found if info.own] == ["aaa", "broken", "lost", "qlora-docstrings", "wrong"]
    assert not any(info.own for info in found[: len(recipes())])
    own = {info.name: info for info in found if info.own}
    assert own["aaa"].about == "My run: short. It has more."
    assert own["aaa"].file == str(workspace.recipes / "aaa.yaml")
    assert own["aaa"].commands == ("codex-ml train recipe=aaa", "codex-ml train recipe=aaa seed=1")
    assert (own["aaa"].problem, own["aaa"].needs) == (None, ())
    assert (own["broken"].about, own["broken"].header) == ("", ())
    assert "is no YAML" in str(own["broken"].problem)
    assert "recipe 'none' is unknown" in str(own["lost"].problem)
    assert "is both" in str(own["qlora-docstrings"].problem)
    assert own["wrong"].about == "W."
    wrong = str(own["wrong"].problem).splitlines()
    assert ["`training.steps` is 0" in wrong[0], "`training.batch_size` is 0" in wrong[1], len(wrong)] == [True, True, 2]


def test_recipes_say_what_must_be_given_with_them_and_hear_no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_TRAINING__STEPS", "0")
    found = {info.name: info for info in recipes()}
    assert found["qlora-chat"].needs == ("Set `data.source=FILE.jsonl`.",)
    assert found["qlora-docstrings"].needs == ()
    assert all(info.problem is None for info in found.values())

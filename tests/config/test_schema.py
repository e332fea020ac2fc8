"""Every setting says what it is, and the models keep their own rules."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from codex.config.fields import GROUPS, settings_of
from codex.config.schema import ModelConfig, RunConfig, ScratchShape, TrainingConfig
from codex.config.section import Conflict
from codex.core.errors import RunError
from codex.core.registry import load, names
from codex.runs.record import checked_title


@pytest.mark.parametrize("method", names("method"))
def test_every_setting_has_title_help_and_a_default_within_its_bounds(method: str) -> None:
    table = settings_of(load("method", method))
    assert {name.partition(".")[0] for name in table} == {"recipe", "title", "seed", *GROUPS}
    for name, setting in table.items():
        assert setting.title, name
        assert setting.help.endswith((".", ")", "?")), name
        assert setting.title[0].isupper() or setting.title[0].isdigit() or setting.title.startswith("`"), name
        if setting.type in ("whole number", "number") and setting.default is not None:
            low, high = setting.bounds.low, setting.bounds.high
            assert low is not None, name
            assert low <= setting.default <= (setting.default if high is None else high), name
        if setting.choices and not setting.required:
            assert setting.default in setting.choices, name
        assert setting.type != "list" or setting.lists, name


def test_unknown_keys_and_changes_are_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        TrainingConfig.model_validate({"step": 3})
    with pytest.raises(ValidationError, match="frozen"):
        TrainingConfig.model_validate({}).steps = 4  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("field", ["steps", "learning_rate", "threads", "optimizer"])
@pytest.mark.parametrize("value", [True, False])
def test_true_and_false_are_no_numbers_and_no_words(field: str, value: bool) -> None:
    with pytest.raises(ValidationError):
        TrainingConfig.model_validate({field: value})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_are_finite(value: float) -> None:
    with pytest.raises(ValidationError):
        TrainingConfig.model_validate({"max_grad_norm": value})


def _conflicts(section: type[Any], values: dict[str, Any]) -> tuple[Conflict, ...]:
    with pytest.raises(ValidationError) as caught:
        section.model_validate(values)
    [details] = caught.value.errors()
    return details.get("ctx", {})["conflicts"]


@pytest.mark.parametrize(("heads", "kv_heads", "hidden_size"), [(4, 2, 256), (1, 1, 64), (32, 8, 4096), (3, 1, 192), (32, 32, 64)])
def test_shape_whose_heads_divide_is_taken(heads: int, kv_heads: int, hidden_size: int) -> None:
    assert ScratchShape.model_validate({"heads": heads, "kv_heads": kv_heads, "hidden_size": hidden_size})


@pytest.mark.parametrize(("heads", "hidden_size", "fix"), [(3, 256, 2), (64, 64, 32), (5, 64, 4), (128, 192, 96)])
def test_shape_whose_heads_are_no_even_split_is_refused_with_the_nearest_fewer(heads: int, hidden_size: int, fix: int) -> None:
    """Rotary positions turn pairs, so a head must be an even number of features wide."""
    [conflict] = _conflicts(ScratchShape, {"heads": heads, "kv_heads": 1, "hidden_size": hidden_size})
    assert conflict.fields == ("heads", "hidden_size")
    assert conflict.fix == f"Set `{{at}}heads={fix}`."
    assert ScratchShape.model_validate({"heads": fix, "kv_heads": 1, "hidden_size": hidden_size})


def test_two_conflicts_of_one_section_come_together() -> None:
    assert [conflict.fields[0] for conflict in _conflicts(ScratchShape, {"heads": 7, "kv_heads": 3})] == ["heads", "kv_heads"]


def test_new_model_and_its_shape_go_together() -> None:
    assert _conflicts(ModelConfig, {"source": "scratch"})[0].fields == ("source", "scratch")
    assert _conflicts(ModelConfig, {"scratch": {}})[0].fields == ("source", "scratch")
    assert ModelConfig.model_validate({"source": "scratch", "scratch": {}}).scratch == ScratchShape.model_validate({})


@pytest.mark.parametrize(
    ("title", "right"), [("", True), ("My run", True), ("é 猫\n", True), ("a\nb", False), ("a\x1b[0m", False), ("  ", False)]
)
def test_title_is_one_that_a_run_can_have(title: str, right: bool) -> None:
    """A dry run says so; the run's own check, which is the oracle, comes only when it is made."""
    values = {"method": load("method", "lora")(), "title": title}
    if right:
        assert checked_title(RunConfig.model_validate(values).title or "recipe")
        return
    assert [conflict.fields for conflict in _conflicts(RunConfig, values)] == [("title",)]
    with pytest.raises(RunError):
        checked_title(title)


def test_held_out_share_is_needed_for_a_file_only() -> None:
    method = load("method", "lora")()
    without = {"heldout_share": 0.0}
    assert RunConfig.model_validate({"method": method, "data": without})
    assert RunConfig.model_validate({"method": method, "data": {**without, "source": "a.jsonl", "heldout": "b.jsonl"}})
    with pytest.raises(ValidationError, match=r"evaluation\.judge"):
        RunConfig.model_validate({"method": method, "data": {**without, "source": "a.jsonl"}})


@pytest.mark.parametrize("name", names("method"))
def test_method_takes_its_own_name_only(name: str) -> None:
    method = load("method", name)
    assert method().name == name
    with pytest.raises(ValidationError):
        method(name="other")


@pytest.mark.parametrize(
    ("name", "field", "right", "wrong"),
    [
        ("lora", "rank", [1, 512], [0, 513, 1.5]),
        ("qlora", "alpha", [1, 2048], [0, 2049]),
        ("lora", "dropout", [0.0, 0.99], [1.0, -0.1]),
        ("qlora", "target_modules", ["all-linear", ["q_proj"]], ["q_proj", [], [""], [3], None]),
        ("qlora", "quantization_type", ["nf4", "fp4"], ["int4", None]),
        ("qlora", "compute_dtype", ["float32", "bfloat16", "float16"], ["float64"]),
        ("qlora", "double_quantization", [True, False], ["maybe", 2]),
        ("full", "rank", [], [1]),
        ("lora", "quantization_type", [], ["nf4"]),
    ],
)
def test_method_settings_keep_their_bounds(name: str, field: str, right: list[Any], wrong: list[Any]) -> None:
    method = load("method", name)
    for value in right:
        assert getattr(method(**{field: value}), field) == value
    for value in wrong:
        with pytest.raises(ValidationError):
            method(**{field: value})

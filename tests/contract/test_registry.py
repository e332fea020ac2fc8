"""Every registered item, built in or brought by a plugin, keeps its kind's contract."""

from __future__ import annotations

import inspect

import pytest

from codex.config.schema import MethodSettings
from codex.core import registry
from codex.core.errors import UserError
from codex.core.protocols import ItemScore

ITEMS = [(kind, name) for kind in registry.KINDS for name in registry.names(kind)]


def test_registry_lists_every_built_in() -> None:
    assert ITEMS == [
        ("dataset_format", "messages"), ("dataset_format", "prompt-completion"), ("dataset_format", "text"),
        ("method", "full"), ("method", "lora"), ("method", "qlora"),
        ("metric", "answer-loss"), ("metric", "exact-match"), ("metric", "token-accuracy"),
        ("run", "training"),
    ]  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), ITEMS)
def test_item_loads_and_says_what_it_is(kind: str, name: str) -> None:
    item = registry.load(kind, name)
    assert (inspect.getdoc(item) or "").partition("\n")[0].endswith((".", ";", ":", ")")) or "\n" in (inspect.getdoc(item) or "")


@pytest.mark.parametrize("name", registry.names("method"))
def test_method_has_valid_defaults_and_says_what_it_trains(name: str) -> None:
    settings = registry.load("method", name)()
    assert settings.name == name
    assert type(settings).attach is not MethodSettings.attach
    for field_name, field in type(settings).model_fields.items():
        assert field.title, field_name
        assert field.description, field_name


@pytest.mark.parametrize("name", registry.names("metric"))
def test_metric_of_a_perfect_and_a_wrong_answer_differ_in_its_own_direction(name: str) -> None:
    metric = registry.load("metric", name)()
    right, wrong = ItemScore(loss_sum=0.1, tokens=4, correct=4), ItemScore(loss_sum=9.0, tokens=4, correct=1)
    values = [metric.numerator(score) / metric.denominator(score) for score in (right, wrong)]
    assert (values[0] < values[1]) == (metric.better == "lower")
    assert values[0] != values[1]


@pytest.mark.parametrize("name", registry.names("dataset_format"))
def test_dataset_format_detects_its_own_rows_only(name: str) -> None:
    rows = {
        "messages": {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        "prompt-completion": {"prompt": "a", "completion": "b"},
        "text": {"text": "a b"},
    }
    found = {kind: registry.load("dataset_format", name)().detect(row) for kind, row in rows.items()}
    assert found == {kind: kind == name for kind in rows}
    assert registry.load("dataset_format", name)().read(rows[name], "x.jsonl:1").origin == "x.jsonl:1"


def test_unknown_name_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'qlorra'.*Use 'qlora'"):
        registry.load("method", "qlorra")


def test_duplicate_name_is_an_error() -> None:
    class Other:
        """Another one."""

    Other.__module__ = "somewhere.else.qlora"
    registry.load("method", "qlora")
    with pytest.raises(UserError, match="each name once"):
        registry.register("method")(Other)

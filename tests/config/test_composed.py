"""What is written reads back the same, what was asked is kept, and secrets stay out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from codex.config.composed import load_resolved, resolved_yaml
from codex.config.fields import FieldHelp, settings_of
from codex.config.plain import load
from codex.config.schema import RunConfig
from codex.config.section import Section, secret
from codex.config.table import as_plain, nest
from codex.config.validate import build
from codex.core.errors import ConfigError
from codex.core.registry import load as load_item
from codex.core.registry import names
from tests.config.conftest import ComposeHere

CHARACTERS = st.characters(exclude_categories=("Cs",))


def _values(setting: FieldHelp) -> st.SearchStrategy[Any]:
    """Values that a setting takes, from its own bounds."""
    bounds = setting.bounds
    if setting.type == "true or false":
        found: st.SearchStrategy[Any] = st.booleans()
    elif setting.type == "whole number":
        step = int(bounds.step or 1)
        low, high = math.ceil((bounds.low or 0) / step), int((10**9 if bounds.high is None else bounds.high) // step)
        found = st.integers(low, high).map(lambda number: number * step)
    elif setting.type == "number":
        found = st.floats(bounds.low, bounds.high, exclude_min=bounds.low_open, exclude_max=bounds.high_open)
    elif setting.choices:
        found = st.sampled_from(setting.choices)
        if setting.lists:
            found |= st.lists(st.text(CHARACTERS, min_size=1), min_size=1, max_size=3)
    else:
        found = st.text(CHARACTERS, min_size=int(bounds.low or 0), max_size=int(bounds.high or 30))
    return found | st.none() if setting.optional else found


@st.composite
def configurations(draw: st.DrawFn) -> RunConfig:
    """Any valid configuration of any method: a few settings drawn, the rest their defaults."""
    name = draw(st.sampled_from(names("method")))
    method = load_item("method", name)
    table = settings_of(method)
    free = [
        one for one in table.values() if one.name != "method.name" and one.type != "settings" and not one.name.startswith("model.scratch.")
    ]
    chosen = draw(st.lists(st.sampled_from(free), max_size=8, unique_by=lambda one: one.name))
    values: dict[str, Any] = {one.name: draw(_values(one)) for one in chosen}
    if name == "full" and draw(st.booleans()):
        heads = draw(st.sampled_from([1, 2, 4, 8]))
        shape = {"hidden_size": 64 * draw(st.integers(1, 16)), "heads": heads, "kv_heads": 1, "layers": draw(st.integers(1, 128))}
        values |= {"model.source": "scratch", "data.max_tokens": 8, **{f"model.scratch.{key}": value for key, value in shape.items()}}
    try:
        return build(nest({**values, "method.name": name}), method)
    except ValidationError as error:
        assert {details["type"] for details in error.errors()} == {"conflicts"}, error
        assume(False)
        raise


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(config=configurations())
def test_any_valid_configuration_reads_back_exactly(config: RunConfig, tmp_path: Path) -> None:
    path = tmp_path / "resolved.yaml"
    path.write_text(resolved_yaml(config), encoding="utf-8")
    again = load_resolved(path)
    assert again == config
    assert type(again.method) is type(config.method)
    assert type(again) is RunConfig
    assert resolved_yaml(again) == resolved_yaml(config)


def test_resolved_yaml_is_whole_and_in_the_schemas_order(composed: ComposeHere) -> None:
    result = composed("training.steps=7")
    held = load(result.resolved_yaml())
    assert list(held) == list(RunConfig.model_fields)
    assert list(held["training"]) == list(type(result.config.training).model_fields)
    assert held == result.config.model_dump()
    assert result.resolved_yaml() == composed("training.steps=7").resolved_yaml()


def test_load_resolved_tells_all_problems_with_their_lines(tmp_path: Path, composed: ComposeHere) -> None:
    path = tmp_path / "resolved.yaml"
    text = composed().resolved_yaml().replace("confidence: 0.95", "confidence: 95").replace("experiment: codex", "experimant: codex")
    path.write_text(text)
    lines = text.splitlines()
    with pytest.raises(ConfigError) as caught:
        load_resolved(path)
    found = {problem.where for problem in caught.value.problems}
    assert found == {f"{path}:{lines.index('  confidence: 95') + 1}", f"{path}:{lines.index('  experimant: codex') + 1}"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "`method.name` is not given"), ("- a\n", "holds a list"), ("a: [\n", "is no YAML"),
        ("method: {name: nome}\n", "method 'nome' is unknown"),
        ("method: 5\n", "`method.name` is not given"), ("seed: x\nmethod: {name: lora}\n", "`seed` is 'x'"),
    ],
)  # fmt: skip
def test_load_resolved_of_a_broken_file_says_why(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "resolved.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_resolved(path)
    assert said in str(caught.value)


def test_load_resolved_of_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_resolved(tmp_path / "resolved.yaml")


def test_asked_yaml_keeps_what_was_asked(composed: ComposeHere) -> None:
    result = composed(
        "recipe=lora-docstrings", "title=a: 🐍",
        environ={"CODEX_TRAINING__STEPS": "5", "CODEX_HOME": "x"}, values={"data": {"source": Path("a b.jsonl")}},
    )  # fmt: skip
    assert load(result.asked_yaml()) == {
        "recipe": "lora-docstrings",
        "variables": {"CODEX_TRAINING__STEPS": "5"},
        "overrides": ["recipe=lora-docstrings", "title=a: 🐍"],
        "arguments": {"data.source": "a b.jsonl"},
    }


def test_origins_cover_exactly_the_settings_that_are_written(composed: ComposeHere) -> None:
    result = composed("model=codex-tiny-scratch", "method=full")
    written = {line.partition(":")[0].strip() for line in result.resolved_yaml().splitlines() if not line.startswith("#")}
    assert {name.rpartition(".")[2] for name in result.origins} <= written
    assert "model.scratch.layers" in result.origins
    assert "model.scratch" not in result.origins


class _Store(Section):
    """A section with a secret."""

    address: str = Field("here", title="Address")
    key: str = Field("", title="Key", json_schema_extra=secret())


class _Outer(Section):
    """A section around it."""

    store: _Store
    token: str | None = Field(None, json_schema_extra=secret())


def test_secret_is_never_among_the_plain_values() -> None:
    held = _Outer.model_validate({"store": {"address": "there", "key": "hush"}, "token": "hush"})
    assert as_plain(held) == {"store": {"address": "there"}}

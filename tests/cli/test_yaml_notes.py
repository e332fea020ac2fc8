"""A configuration shown with its changes is still that configuration."""

from __future__ import annotations

import pytest
import yaml

from codex.cli.yaml_notes import changes_json, said, show_configuration
from codex.config.compose import compose
from codex.services.configure import lines_of


@pytest.mark.parametrize(
    ("value", "typed"),
    [
        (None, "null"),
        (True, "true"),
        (0.002, "0.002"),
        ("adamw", "adamw"),
        ("", '""'),
        (["q_proj", "v_proj"], "[q_proj, v_proj]"),
        ("a\n\x1b", "a \\x1b"),
    ],
)
def test_said_is_what_one_would_type(value: object, typed: str) -> None:
    assert said(value) == typed


def test_lines_of_finds_nested_keys_among_lists_and_text() -> None:
    text = '# x\na:\n  b: 1\n  c:\n  - 1\n  - 2\n  d: "e: f"\ng: h\n'
    assert lines_of(text) == {"a": 1, "a.b": 2, "a.c": 3, "a.d": 6, "g": 7}


def test_show_configuration_marks_the_changed_lines_and_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    composed = compose("lora-docstrings", ["training.steps=50", "method.target_modules=[q_proj]", "title=a # b"], environ={})
    show_configuration(composed)
    text = capsys.readouterr().out
    body = text.partition("# Differs")[0]
    marked = {
        line.strip().partition("  # recipe: ")[0]: line.partition("  # recipe: ")[2] for line in body.splitlines() if "  # recipe: " in line
    }
    assert marked["steps: 50"] == f"{composed.recipe_values['training.steps']}, from override training.steps=50"
    assert marked["target_modules:"] == "all-linear, from override method.target_modules=[q_proj]"
    assert len(marked) == 3
    assert "# Differs from the recipe lora-docstrings in 3 settings:" in text
    assert "#   training.steps: 50 instead of" in text
    assert yaml.safe_load(text) == yaml.safe_load(composed.resolved_yaml())


def test_show_configuration_of_an_unchanged_recipe_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    show_configuration(compose("lora-docstrings", environ={}))
    assert capsys.readouterr().out.endswith("# As the recipe lora-docstrings has it.\n")


def test_changes_json_names_field_both_values_and_origin() -> None:
    changes = changes_json(compose("lora-docstrings", ["seed=7"], environ={}))
    assert changes == [{"field": "seed", "recipe": 42, "value": 7, "origin": "override seed=7"}]

"""What was asked is heard as it was said."""

from __future__ import annotations

from pathlib import Path

import pytest

from codex.config.asked import hear
from codex.config.words import brief, in_words, shorten, variable_of


def test_hear_sorts_settings_choices_and_the_recipe() -> None:
    asked = hear(
        "a", ["recipe=b", "method=lora", "x.y=1=2"], {"CODEX_DATA__SOURCE": "s", "PATH": "p"}, {"seed": 3, "data": {"heldout": Path("h")}}
    )
    assert (asked.recipe, asked.choices, asked.problems) == ("b", {"method": "lora"}, [])
    assert {name: (entry.value, entry.origin) for name, entry in asked.settings.items()} == {
        "data.source": ("s", "variable CODEX_DATA__SOURCE"),
        "x.y": ("1=2", "override x.y=1=2"),
        "seed": (3, "argument seed=3"),
        "data.heldout": ("h", "argument data.heldout=h"),
    }


def test_hear_twice_keeps_the_last_in_its_place() -> None:
    asked = hear("a", ["model.scratch.layers=3", "model.scratch=null", "model.scratch.layers=4"], {}, {})
    assert [(name, entry.value) for name, entry in asked.settings.items()] == [("model.scratch", "null"), ("model.scratch.layers", "4")]


def test_asked_yaml_hides_what_is_secret_wherever_it_was_said() -> None:
    asked = hear("a", ["data.key=hush", "seed=1"], {"CODEX_DATA__KEY": "hush"}, {"data.key": "hush", "seed": 2})
    text = asked.as_yaml(["data.key"])
    assert "hush" not in text
    assert text.count("(secret)") == 3
    assert "seed=1" in text


def test_words_stay_on_one_line_and_short() -> None:
    assert shorten("a\nb\ud800") == "a\\nb\\ud800"
    assert len(shorten("x" * 1000)) == 120
    assert brief(10**5000) == "a number of thousands of digits"
    assert brief("a", repr) == "'a'"


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ("override a=b c", "override `a=b c`"), ("argument a=1", "argument `a=1`"), ("variable CODEX_X__Y", "variable CODEX_X__Y"),
        ("recipes/a.yaml:3", "recipes/a.yaml:3"), ("/my work/a.yaml:3", "/my work/a.yaml:3"),
    ],
)  # fmt: skip
def test_origin_in_words_sets_what_was_typed_apart(origin: str, words: str) -> None:
    assert in_words(origin) == words


def test_variable_of_is_the_inverse_of_what_is_heard() -> None:
    asked = hear("a", [], {variable_of("model.scratch.kv_heads"): "2"}, {})
    assert list(asked.settings) == ["model.scratch.kv_heads"]

"""Broken recipes say what is wrong and in which line."""

from __future__ import annotations

from pathlib import Path

import pytest

from codex.config.files import DefaultsEntry, parse, read_recipe
from codex.core.errors import ConfigError, UserError
from tests.config.conftest import ProblemsHere, Write

START = "# Mine.\ndefaults:\n  - qlora-docstrings\n  - _self_\n"

BROKEN: dict[str, tuple[str | bytes, int | None, str]] = {
    "syntax": (f"{START}seed: [1, 2\n", 6, "is no YAML"),
    "tab": (f"{START}training:\n\tsteps: 3\n", 6, "is no YAML"),
    "colon": (f"{START}title: a: b\n", 5, "is no YAML"),
    "indentation": (f"{START}training:\n  steps: 3\n   batch_size: 3\n", 7, "is no YAML"),
    "two documents": (f"{START}---\nseed: 3\n", 5, "is no YAML"),
    "not UTF-8": (START.encode() + b"title: caf\xe9\n", 5, "holds the byte 0xe9"),
    "UTF-16": ((START + "title: x\n").encode("utf-16"), 1, "holds the byte 0xff"),
    "null byte": (f"{START}title: a\x00b\n", None, "is no YAML"),
    "a list": ("# Mine.\n- seed\n- 3\n", 2, "holds a list"),
    "a value": ("just words\n", 1, "holds a single value"),
    "a number": ("5\n", 1, "holds a single value"),
    "key twice": (f"{START}seed: 1\nseed: 2\n", 6, "stands here for the second time"),
    "inner key twice": (f"{START}training:\n  steps: 1\n  steps: 2\n", 7, "stands here for the second time"),
    "dotted key": (f"{START}training.steps: 3\n", 5, "holds a dot"),
    "no name": (f"{START}5: 3\n", 5, "is no name"),
    "yes as key": (f"{START}training:\n  on: 3\n", 6, "is no name"),
    "null as key": (f"{START}training:\n  ~: 3\n", 6, "is no name"),
    "list as key": (f"{START}? [a, b]\n: 3\n", 5, "is no name"),
    "alias": (f"{START}title: &t x\ntracking:\n  experiment: *t\n", 7, "is no YAML"),
    "endless alias": (f"{START}data: &a [*a]\n", 5, "is no YAML"),
    "merge key": (f"{START}training:\n  <<: {{steps: 3}}\n", 6, "is no name"),
    "tag": (f"{START}seed: !!python/object/apply:os.getcwd []\n", 5, "the tag"),
    "tag on a value": (f"{START}seed: !int 5\n", 5, "carries the tag"),
    "interpolation": (f"{START}data:\n  source: ${{oc.env:HOME}}/x.jsonl\n", 6, "is an interpolation"),
    "interpolation in a list": (f"{START}method:\n  target_modules:\n    - ${{x}}\n", 7, "is an interpolation"),
    "broken interpolation": (f"{START}title: '${{'\n", 5, "is an interpolation"),
    "directive": ("# @package _global_\nseed: 3\n", 1, "is a directive"),
    "defaults no list": ("defaults: qlora-docstrings\n", 1, "`defaults` is no list"),
    "defaults with a list inside": ("defaults:\n  - _self_\n  - [a]\n", 3, "none of its four forms"),
    "defaults with two keys": ("defaults:\n  - _self_\n  - {model: a, data: b}\n", 3, "none of its four forms"),
    "defaults with an inner list": ("defaults:\n  - _self_\n  - training: [a, b]\n", 3, "none of its four forms"),
    "too deep": (f"{START}title: {'[' * 3000}\n", None, "is no YAML"),
}


@pytest.mark.parametrize("case", BROKEN.values(), ids=list(BROKEN))
def test_broken_recipe_says_what_and_where(case: tuple[str | bytes, int | None, str], write: Write, problems: ProblemsHere) -> None:
    text, line, said = case
    path = write("own", text)
    [problem] = problems(recipe="own")
    assert said in problem.what
    assert problem.where == (str(path) if line is None else f"{path}:{line}")


@pytest.mark.parametrize("text", ["", "# Only a comment.\n", "\n\n", "---\n", "\ufeff", "{}"])
def test_empty_recipe_lacks_its_method(text: str, write: Write, problems: ProblemsHere) -> None:
    write("own", text)
    [problem] = problems(recipe="own")
    assert problem.what == "`method.name` is not given"


def test_recipe_with_windows_line_ends_and_byte_order_mark_is_read(write: Write) -> None:
    path = write("own", "\ufeff# Mine.\r\ndefaults:\r\n  - training: x\r\nseed: 3\r\n".encode())
    file = read_recipe(path)
    assert file.header == ("Mine.",)
    assert file.defaults == (DefaultsEntry("training", "x", 3),)
    assert [(at, one.value, one.line) for at, one in file.values] == [(("seed",), 3, 4)]


def test_recipe_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_recipe(tmp_path)
    with pytest.raises(UserError, match="No such file"):
        read_recipe(tmp_path / "none.yaml")


def test_lines_of_all_values_are_those_in_the_text() -> None:
    text = '# Head.\n#   codex-ml train\n\na: 1\nb:\n  c: "2"  # two\n\n  d:\n    e: [x,\n      5, no]\nf: {g: 2e-4, h: {}}\n'
    file = parse(text, "t")
    found = {".".join(at): (one.value, one.text, one.line) for at, one in file.values}
    assert found == {
        "a": (1, "1", 4),
        "b.c": ("2", None, 6),
        "b.d.e": (["x", 5, False], None, 9),
        "f.g": (2e-4, "2e-4", 11),
        "f.h": ({}, None, 11),
    }
    assert file.header == ("Head.", "codex-ml train")
    for name, (_, _, line) in found.items():
        assert f"{name.rpartition('.')[2]}:" in text.splitlines()[line - 1]


def test_error_of_a_broken_file_carries_one_problem_in_three_parts() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("a: [", "here.yaml")
    [problem] = caught.value.problems
    assert (problem.expected, problem.where) == ("expected `name: value` lines", "here.yaml:1")

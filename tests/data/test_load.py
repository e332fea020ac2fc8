"""Loading: own files split by prompt, held-out files without what is trained on, and data that Codex builds itself."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from codex.config.schema import DataConfig
from codex.core.errors import DataError
from codex.core.paths import Workspace
from codex.data.examples import Example
from codex.data.load import load, split

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(pairs: Sequence[tuple[str, str]], name: str = "train.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps({"prompt": prompt, "completion": completion}) + "\n" for prompt, completion in pairs))
        return path

    return make


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def pairs(count: int) -> list[tuple[str, str]]:
    return [(f"question {index}", f"answer {index}") for index in range(count)]


def asked(source: Path | str, **extra: Any) -> DataConfig:
    return DataConfig.model_validate({"source": str(source), **extra})


def contents(examples: Sequence[Example]) -> set[tuple[str | None, str | None]]:
    return {(each.prompt, each.completion) for each in examples}


def test_own_file_is_split_about_as_asked_and_loses_nothing(write: Write, workspace: Workspace) -> None:
    path = write(pairs(2000))
    made = load(asked(path, heldout_share=0.2), 0, workspace)
    assert len(made.train) + len(made.heldout) == 2000
    assert 330 < len(made.heldout) < 470  # 400 expected, 18 is one standard deviation
    assert contents(made.train) | contents(made.heldout) == set(pairs(2000))
    assert (made.format, made.source, made.notes, made.whole_text, made.noun) == (
        "prompt-completion",
        str(path),
        [],
        False,
        "held-out examples",
    )
    assert made.fingerprint == hashlib.sha256(path.read_bytes()).hexdigest()


def test_split_ignores_the_order_of_rows_and_the_seed(write: Write, workspace: Workspace) -> None:
    rows = pairs(300)
    first = load(asked(write(rows)), 0, workspace)
    random.Random(3).shuffle(rows)
    second = load(asked(write(rows)), 99, workspace)
    assert contents(first.heldout) == contents(second.heldout) != set()


def test_example_keeps_its_side_as_the_data_grow(write: Write, workspace: Workspace) -> None:
    small = load(asked(write(pairs(100)), heldout_share=0.2), 0, workspace)
    large = load(asked(write(pairs(200)), heldout_share=0.2), 0, workspace)
    assert contents(small.heldout) <= contents(large.heldout)


def test_larger_share_holds_out_what_a_smaller_one_did(write: Write, workspace: Workspace) -> None:
    path = write(pairs(200))
    assert contents(load(asked(path, heldout_share=0.1), 0, workspace).heldout) < contents(
        load(asked(path, heldout_share=0.3), 0, workspace).heldout
    )


def test_equal_prompts_are_never_on_both_sides(write: Write, workspace: Workspace) -> None:
    rows = [(f"question {index % 40}", f"answer {index}") for index in range(400)]
    made = load(asked(write(rows), heldout_share=0.3), 0, workspace)
    sides = {each.prompt for each in made.train}, {each.prompt for each in made.heldout}
    assert not sides[0] & sides[1]
    assert all(sides)


def test_split_of_known_prompts_never_changes() -> None:
    # Adapters that were trained on this split are judged on it: a change would judge them on what they learnt.
    examples = [Example(prompt=f"question {index}", completion="a", group="g", origin=str(index)) for index in range(30)]
    assert [each.origin for each in split(examples, 0.2)[1]] == ["3", "20", "21", "27", "28"]


def test_heldout_file_is_only_judged(write: Write, workspace: Workspace) -> None:
    train, heldout = write(pairs(10)), write([("x", "y"), ("z", "w")], "judge.jsonl")
    made = load(asked(train, heldout=str(heldout)), 0, workspace)
    assert (len(made.train), contents(made.heldout), made.notes) == (10, {("x", "y"), ("z", "w")}, [])
    assert [each.origin for each in made.heldout] == ["judge.jsonl:1", "judge.jsonl:2"]
    heldout.write_text(heldout.read_text() + "\n")
    assert load(asked(train, heldout=str(heldout)), 0, workspace).fingerprint != made.fingerprint


def test_heldout_examples_that_are_trained_on_are_left_out_and_counted(write: Write, workspace: Workspace) -> None:
    train = write(pairs(10))
    heldout = write([("x", "y"), *pairs(3), ("question 5", "another answer"), ("z", "w")], "judge.jsonl")
    made = load(asked(train, heldout=str(heldout)), 0, workspace)
    assert contents(made.heldout) == {("x", "y"), ("z", "w"), ("question 5", "another answer")}
    assert made.notes == [
        "Left out of the held-out examples, for they are trained on: 3 (first: judge.jsonl:2).",
        "Held-out examples whose prompt is trained on with another answer: 1 (first: judge.jsonl:5).",
    ]


def test_same_file_on_both_sides_leaves_nothing_to_judge(write: Write, workspace: Workspace) -> None:
    path = write(pairs(10))
    with pytest.raises(
        DataError, match=r"0 of 10 examples are held out \(Left out .* trained on: 10 .*at least 2.*evaluation\.judge=false"
    ):
        load(asked(path, heldout=str(path)), 0, workspace)


def test_heldout_file_of_another_format_is_refused(write: Write, workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "judge.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    with pytest.raises(DataError, match=r"judge\.jsonl:1"):
        load(asked(write(pairs(10)), heldout=str(tmp_path / "judge.jsonl")), 0, workspace)


@pytest.mark.parametrize("count", [2, 3, 5, 8, 13])
def test_too_few_heldout_examples_name_a_share_that_works(write: Write, workspace: Workspace, count: int) -> None:
    path = write(pairs(count))
    with pytest.raises(DataError, match=r"expected at least 2, for judging compares on them") as caught:
        load(asked(path, heldout_share=0.0), 0, workspace)
    share = re.search(r"`data\.heldout_share=([0-9.]+)`", str(caught.value))
    if share is None:
        assert "Add examples" in str(caught.value)
        assert count < 8
    else:
        assert len(load(asked(path, heldout_share=float(share[1])), 0, workspace).heldout) >= 2


def test_too_few_heldout_examples_are_no_error_when_nothing_is_judged(write: Write, workspace: Workspace) -> None:
    made = load(asked(write(pairs(3)), heldout_share=0.0), 0, workspace, judged=False)
    assert (len(made.train), made.heldout) == (3, [])


def test_nothing_left_to_train_on_is_refused(write: Write, workspace: Workspace) -> None:
    rows = [(prompt, "b") for prompt in ("question 3", "question 20", "question 21")]
    with pytest.raises(DataError, match=r"no example of .* is left to train on, 3 are held out.*smaller `data\.heldout_share`"):
        load(asked(write(rows), heldout_share=0.2), 0, workspace)


def test_repeated_examples_are_noted(write: Write, workspace: Workspace) -> None:
    made = load(asked(write([*pairs(50), ("question 7", "answer 7")])), 0, workspace)
    assert made.notes == ["Examples that repeat an earlier one: 1 of 51 (first: train.jsonl:51 repeats train.jsonl:8)."]


def test_most_examples_are_chosen_by_the_seed_and_not_by_the_order(write: Write, workspace: Workspace) -> None:
    rows = pairs(300)
    made = [load(asked(write(rows), max_examples=20), seed, workspace) for seed in (1, 1, 2)]
    random.Random(3).shuffle(rows)
    made.append(load(asked(write(rows), max_examples=20), 1, workspace))
    chosen = [contents(each.train) for each in made]
    assert [len(each.train) for each in made] == [20] * 4
    assert chosen[0] == chosen[1] == chosen[3] != chosen[2]
    assert contents(made[0].heldout) == contents(made[2].heldout)
    assert made[0].notes == [f"Training examples chosen by the seed 1: 20 of {300 - len(made[0].heldout)}."]
    lines = [int(each.origin.partition(":")[2]) for each in made[0].train]
    assert lines == sorted(lines)


def test_file_is_found_in_the_workspace_by_its_name(write: Write, workspace: Workspace) -> None:
    workspace.datasets.mkdir(parents=True)
    path = write(pairs(50)).rename(workspace.datasets / "mine.jsonl")
    assert load(asked("mine.jsonl"), 0, workspace).source == str(path)


def test_file_in_the_home_is_found(write: Write, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write(pairs(50))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(load(asked("~/train.jsonl"), 0, workspace).train) > 30


def test_unknown_source_names_the_nearest_built_in(workspace: Workspace) -> None:
    with pytest.raises(
        DataError, match=r"'stdlib-docstring' does not exist; expected a JSONL file, or 'stdlib-docstrings'.*Use 'stdlib-docstrings'"
    ):
        load(asked("stdlib-docstring"), 0, workspace)


def test_missing_heldout_file_is_refused(write: Write, workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"judg\.jsonl' does not exist.*judge\.jsonl"):
        write(pairs(3), "judge.jsonl")
        load(asked(write(pairs(10)), heldout=str(tmp_path / "judg.jsonl")), 0, workspace)


def test_name_longer_than_a_file_name_can_be_is_refused(workspace: Workspace) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        load(asked("x" * 5000), 0, workspace)


def test_text_is_split_by_itself(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "text.jsonl"
    path.write_text("".join(json.dumps({"text": f"text {index % 60}"}) + "\n" for index in range(120)))
    made = load(asked(path, heldout_share=0.3), 0, workspace)
    assert made.whole_text
    assert not {each.text for each in made.train} & {each.text for each in made.heldout}


def test_docstrings_are_conversations_grouped_by_module(workspace: Workspace) -> None:
    from codex.data.stdlib import split_of

    made = load(asked("stdlib-docstrings"), 0, workspace)
    assert (made.format, made.source, made.noun) == ("messages", "stdlib-docstrings", "held-out functions")
    assert len(made.train) > 2000
    assert len(made.heldout) > 200
    assert {split_of(each.group) for each in made.train} == {"train"}
    assert {split_of(each.group) for each in made.heldout} == {"heldout"}
    assert all([turn.role for turn in each.messages] == ["user", "assistant"] for each in made.train + made.heldout)
    assert load(asked("stdlib-docstrings", max_examples=10), 0, workspace).fingerprint == made.fingerprint


def test_source_text_is_whole_files(workspace: Workspace) -> None:
    made = load(asked("stdlib-source"), 0, workspace)
    assert made.whole_text
    json_init = next(each for each in made.train if each.origin == "json")
    assert [turn.role for turn in json_init.messages] == ["user", "assistant"]
    assert json_init.answers == (Path(json.__file__).read_text(encoding="utf-8"),)
    assert json_init.group == "json"
    assert made.fingerprint != load(asked("stdlib-docstrings"), 0, workspace).fingerprint


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"heldout": "a.jsonl"}, r"`data\.heldout` is 'a\.jsonl'; expected none"),
        ({"format": "text"}, r"`data\.format` is 'text'; expected 'auto' or 'messages'"),
    ],
)
def test_built_in_data_take_no_settings_of_files(workspace: Workspace, extra: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(asked("stdlib-docstrings", **extra), 0, workspace)


def test_equal_prompts_are_one_group_wherever_they_are_held_out_from(write: Write, workspace: Workspace) -> None:
    rows = [(f"question {number % 50}", f"answer {number}") for number in range(200)]
    path, own = write(rows), write([("other", "one"), ("another", "two")], "own.jsonl")
    for made in (load(asked(path, heldout_share=0.3), 0, workspace), load(asked(own, heldout=str(path)), 0, workspace)):
        groups = {example.prompt: example.group for example in made.heldout}
        assert [groups[example.prompt] for example in made.heldout] == [example.group for example in made.heldout]
        assert 1 < len(groups) == len(set(groups.values())) < len(made.heldout)
        assert all(group == f"train.jsonl:{int(str(prompt).split()[1]) + 1}" for prompt, group in groups.items())  # where it first stands
        assert f"The {len(made.heldout):,} held-out examples are of {len(groups)} different prompts" in " ".join(made.notes)
        assert made.group_noun == "prompts"


def test_prompts_that_differ_are_groups_of_their_own_without_a_note(write: Write, workspace: Workspace) -> None:
    made = load(asked(write(pairs(200)), heldout_share=0.3), 0, workspace)
    assert [example.group for example in made.heldout] == [example.origin for example in made.heldout]
    assert made.notes == []
    assert load(asked("stdlib-docstrings"), 0, workspace).group_noun == ""

"""Rows of each format: what they become, and what is said about those that are wrong."""

from __future__ import annotations

from typing import Any

import pytest

from codex.core import registry
from codex.core.errors import DataError
from codex.core.protocols import Message

USER = {"role": "user", "content": "Hi"}
ANSWER = {"role": "assistant", "content": "Hello"}


def read(name: str, row: dict[str, Any]) -> Any:
    return registry.load("dataset_format", name)().read(row, "train.jsonl:17")


def test_messages_become_a_conversation() -> None:
    row = {
        "messages": [{"role": "system", "content": ""}, USER, {**ANSWER, "tool_calls": None, "weight": 1, "name": "x"}],
        "id": 3,
        "tools": [],
    }
    made = read("messages", row)
    assert made.messages == (Message("system", ""), Message("user", "Hi"), Message("assistant", "Hello"))
    assert (made.loss_from, made.group, made.origin) == (0, "train.jsonl:17", "train.jsonl:17")


def test_prompt_and_completion_become_plain_text() -> None:
    made = read("prompt-completion", {"prompt": " a ", "completion": "\nb"})
    assert (made.form, made.prompt, made.completion) == ("prompt-completion", " a ", "\nb")


def test_prompt_and_completion_of_turns_become_a_conversation_whose_prompt_is_only_context() -> None:
    made = read("prompt-completion", {"prompt": [USER, ANSWER, USER], "completion": [ANSWER]})
    assert (made.form, made.learnt_turns, len(made.messages)) == ("messages", (3,), 4)


def test_text_stays_text() -> None:
    assert read("text", {"text": " a\n"}).text == " a\n"


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("messages", {"messages": "Hi"}, r"`messages` is 'Hi' \(train\.jsonl:17\); expected a list of turns"),
    ("messages", {"messages": []}, r"`messages` is \[\].*expected a list of turns"),
    ("messages", {}, r"`messages` is None"),
    ("messages", {"messages": ["Hi"]}, r"`messages\[0\]` is 'Hi'.*expected an object with `role` and `content`"),
    ("messages", {"messages": [USER]}, r"`messages\[0\]\.role` is 'user', the last turn.*Add the answer"),
    ("messages", {"messages": [ANSWER]}, r"`messages\[0\]\.role` is 'assistant'.*user turn first"),
    ("messages", {"messages": [{"content": "Hi"}, ANSWER]}, r"`messages\[0\]\.role` is None.*'system', 'user' or 'assistant'"),
    ("messages", {"messages": [{"role": "human", "content": "Hi"}, ANSWER]}, r"role` is 'human'.*Rename the role"),
    ("messages", {"messages": [{"role": ["user"], "content": "Hi"}, ANSWER]}, r"role` is \['user'\].*Rename the role"),
    (
        "messages",
        {"messages": [USER, {"role": "tool", "content": "4"}, ANSWER]},
        r"`messages\[1\]\.role` is 'tool'.*tool turns cannot be trained on yet",
    ),
    (
        "messages",
        {"messages": [USER, {**ANSWER, "content": None, "tool_calls": [{"id": 1}]}]},
        r"`messages\[1\]` has `tool_calls`.*tool calls",
    ),
    ("messages", {"messages": [USER, {**ANSWER, "reasoning_content": "so"}]}, r"has `reasoning_content`: 'so'.*separate reasoning"),
    ("messages", {"messages": [USER, {**ANSWER, "weight": 0}]}, r"has `weight`: 0.*weights"),
    ("messages", {"messages": [USER, ANSWER], "tools": [{"name": "f"}]}, r"has `tools`: \[\{'name': 'f'\}\].*expected no tools"),
    (
        "messages",
        {"messages": [USER, {"role": "assistant", "content": " \n"}]},
        r"`messages\[1\]\.content` is ' \\n'.*teaches to say nothing",
    ),
    ("messages", {"messages": [USER, {"role": "assistant", "content": ["Hi"]}]}, r"`messages\[1\]\.content` is \['Hi'\].*as one string"),
    ("messages", {"messages": [USER, {"role": "assistant"}]}, r"`messages\[1\]\.content` is None.*expected text"),
    ("messages", {"messages": [USER, {"role": "assistant", "content": "x\ud800y"}]}, r"holds '\\ud800' at character 1.*surrogate pair"),
    ("prompt-completion", {"prompt": 3, "completion": "b"}, r"`prompt` is 3 .*expected text in quotes"),
    ("prompt-completion", {"prompt": "a", "completion": None}, r"`completion` is None"),
    ("prompt-completion", {"prompt": "a", "completion": " "}, r"`completion` is ' '.*not blank"),
    ("prompt-completion", {"prompt": "", "completion": "b"}, r"`prompt` is ''.*as `text`"),
    ("prompt-completion", {"prompt": [USER], "completion": "b"}, r"`completion` is 'b'.*or a list of turns in both"),
    ("prompt-completion", {"prompt": "a", "completion": [ANSWER]}, r"`prompt` is 'a'.*Write both in the same way"),
    ("prompt-completion", {"prompt": [USER], "completion": [USER]}, r"`completion\[0\]\.role` is 'user', the last turn"),
    ("prompt-completion", {"prompt": [ANSWER], "completion": [ANSWER]}, r"`prompt\[0\]\.role` is 'assistant'"),
    ("prompt-completion", {"prompt": [], "completion": [ANSWER]}, r"`prompt` is \[\]"),
    ("text", {"text": ["a"]}, r"`text` is \['a'\]"),
    ("text", {"text": "\t"}, r"`text` is '\\t'.*not blank"),
]


@pytest.mark.parametrize(("name", "row", "message"), WRONG)
def test_wrong_row_is_refused_with_place_value_expectation_and_fix(name: str, row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(name, row)
    (problem,) = caught.value.problems
    assert problem.where == "train.jsonl:17"
    assert problem.expected.startswith("expected")
    assert problem.fix.endswith(".")


def test_long_value_is_shown_cut() -> None:
    with pytest.raises(DataError) as caught:
        read("messages", {"messages": "x" * 10_000})
    assert len(str(caught.value)) < 300

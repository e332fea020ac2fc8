"""Examples: their three forms, what is equal to what, and answers changed for those of another."""

from __future__ import annotations

from typing import Any

import pytest

from codex.core.protocols import Message
from codex.data.examples import Example, with_answer_of


def chat(*turns: tuple[str, str], loss_from: int = 0, origin: str = "a.jsonl:1") -> Example:
    return Example(messages=tuple(Message(role, content) for role, content in turns), loss_from=loss_from, group=origin, origin=origin)


def pair(prompt: str, completion: str, origin: str = "a.jsonl:1") -> Example:
    return Example(prompt=prompt, completion=completion, group=origin, origin=origin)


@pytest.mark.parametrize(
    "form", [{}, {"prompt": "a"}, {"completion": "a"}, {"text": "a", "prompt": "b", "completion": "c"}, {"text": "a", "completion": "c"}]
)
def test_example_of_no_form_or_of_two_is_refused(form: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="messages, or prompt and completion, or text"):
        Example(group="g", origin="o", **form)


def test_form_answers_and_plain_text_of_each_form() -> None:
    talk = chat(("system", "s"), ("user", "u"), ("assistant", "a"), ("user", "v"), ("assistant", "b"), loss_from=3)
    assert (talk.form, talk.answers, talk.plain) == ("messages", ("b",), "s\nu\na\nv\nb")
    two = pair("p ", "c")
    assert (two.form, two.answers, two.plain) == ("prompt-completion", ("c",), "p c")
    text = Example(text="t", group="g", origin="o")
    assert (text.form, text.answers, text.plain) == ("text", ("t",), "t")


def test_prompt_digest_is_what_stands_before_the_first_answer() -> None:
    first = chat(("user", "u"), ("assistant", "a"))
    longer = chat(("user", "u"), ("assistant", "b"), ("user", "v"), ("assistant", "c"))
    other = chat(("system", "s"), ("user", "u"), ("assistant", "a"))
    assert first.prompt_digest == longer.prompt_digest != other.prompt_digest
    given = chat(("user", "u"), ("assistant", "b"), ("user", "v"), ("assistant", "c"), loss_from=3)
    assert given.prompt_digest != longer.prompt_digest
    assert pair("a", "b").prompt_digest == pair("a", "c").prompt_digest != pair("ab", "").prompt_digest


def test_digest_is_of_the_content_and_not_of_its_origin() -> None:
    assert pair("a", "b", origin="x:1").digest == pair("a", "b", origin="y:2").digest
    different = [
        pair("a", "b"), pair("ab", ""), pair("", "ab"), Example(text="ab", group="g", origin="o"),
        chat(("user", "a"), ("assistant", "b")), chat(("user", "a"), ("user", "b")), chat(("user", "a"), ("assistant", "b"), loss_from=1),
    ]  # fmt: skip
    assert len({each.digest for each in different}) == len(different)


def test_with_answer_of_takes_the_answers_and_leaves_the_prompts() -> None:
    one = chat(("user", "u"), ("assistant", "a"), ("user", "v"), ("assistant", "b"))
    other = chat(("user", "x"), ("assistant", "c"))
    assert with_answer_of(one, other) == chat(("user", "u"), ("assistant", "c"), ("user", "v"), ("assistant", "c"))
    assert with_answer_of(one, chat(("user", "x"), ("assistant", "c"), ("assistant", "d"))).answers == ("c", "d")
    assert with_answer_of(other, one) == chat(("user", "x"), ("assistant", "a"))
    assert with_answer_of(pair("p", "c"), pair("q", "d")) == pair("p", "d")
    text = Example(text="t", group="g", origin="o")
    assert with_answer_of(text, Example(text="u", group="h", origin="p")) == Example(text="u", group="g", origin="o")


def test_with_answer_of_leaves_context_turns_alone() -> None:
    one = chat(("user", "u"), ("assistant", "a"), ("user", "v"), ("assistant", "b"), loss_from=3)
    assert with_answer_of(one, chat(("user", "x"), ("assistant", "c"))).messages[1].content == "a"

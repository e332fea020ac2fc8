"""Which characters of a conversation are learnt, against the masks of TRL's own training templates for the same families."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codex.core.errors import DataError
from codex.core.protocols import Message
from codex.data.examples import Example
from codex.data.spans import render

# What each family's own template, which has no marks, comes to. Between them these hold every family that TRL has a training template for.
SAME = [
    "cohere",
    "cohere2",
    "diffusion_gemma",
    "gemma",
    "gemma3",
    "lfm2",
    "lfm2_v2",
    "llama3",
    "muse_glimmer",
    "phi3",
    "phi3_5",
    "qwen2_5",
    "qwen2_5_vl",
    "qwen3_8",
    "qwen3_instruct_2507",
    "qwen3_vl",
]
SAME_WITH_ONE_ANSWER = ["gptoss", "qwen3", "qwen3_5_nothink", "qwen3_5_think", "qwen3_6"]
PROMPT_IS_NO_PREFIX = [
    "deepseek_r1_distill",
    "deepseekv3",
    "nemotron_3_5_lightning",
    "nemotron_3_nano",
    "nemotron_3_super",
    "nemotron_3_ultra",
]
READS_PARTS_ONLY = ["idefics3", "llava_next", "smolvlm"]
NO_END_OF_TURN = ["glm4moe"]
MARKED_ALREADY = ["lfm2_2_5", "lfm2_2_5_v2", "lfm2_2_5_vl"]
NO_SYSTEM_TURN = ["gemma"]

Make = Callable[..., list[Example]]


def example(*turns: str, roles: tuple[str, ...] = ("user", "assistant"), **extra: Any) -> Example:
    messages = tuple(Message(roles[index % len(roles)], turn) for index, turn in enumerate(turns))
    return Example(messages=messages, group="g", origin="own.jsonl:3", **extra)


def texts(made: Any) -> list[str]:
    return [made.text[first:past] for first, past in made.spans]


def with_template(tokenizer: Any, template: str) -> Any:
    tokenizer.chat_template = template
    return tokenizer


def turns_of(each: Example) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in each.messages]


def masked_by_trl(each: Example, tokenizer: Any, template: str) -> tuple[str, list[bool]]:
    """The rendered text and, for each of its characters, whether TRL's SFT with assistant-only loss would learn it."""
    made = tokenizer.apply_chat_template(
        turns_of(each), chat_template=template, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    text = tokenizer.apply_chat_template(turns_of(each), chat_template=template, tokenize=False)
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    learnt = [False] * len(text)
    # Of a character of several tokens at a mark's edge the tokenizer masks the first one only: any of them counts here.
    for (first, past), mask in zip(offsets, made["assistant_masks"], strict=True):
        if mask:
            learnt[first:past] = [True] * (past - first)
    return text, learnt


def fitting(examples: list[Example], name: str) -> list[Example]:
    return [each for each in examples if name not in NO_SYSTEM_TURN or each.messages[0].role != "system"]


def test_every_family_of_trl_is_accounted_for(trl_templates: dict[str, str]) -> None:
    trained = {name for name in trl_templates if f"{name}_training" in trl_templates}
    assert trained == {*SAME, *SAME_WITH_ONE_ANSWER, *PROMPT_IS_NO_PREFIX, *READS_PARTS_ONLY, *NO_END_OF_TURN}
    assert len(trained) == 31


@pytest.mark.parametrize("name", SAME + SAME_WITH_ONE_ANSWER)
def test_spans_of_an_unmarked_template_are_those_of_trls_training_template(
    name: str, byte_tokenizer: Any, trl_templates: dict[str, str], conversations: Make
) -> None:
    tokenizer = with_template(byte_tokenizer, trl_templates[name])
    compared = 0
    for each in fitting(conversations(8, 1, most_answers=1 if name in SAME_WITH_ONE_ANSWER else 3), name):
        made = render(each, tokenizer)
        text, learnt = masked_by_trl(each, tokenizer, trl_templates[f"{name}_training"])
        assert made.text == text
        assert made.ends
        ours = [any(first <= at < past for first, past in made.spans) for at in range(len(text))]
        assert_same_but_for_edges(each, made, ours, learnt, tokenizer)
        compared += 1
    assert compared >= 4


def assert_same_but_for_edges(each: Example, made: Any, ours: list[bool], learnt: list[bool], tokenizer: Any) -> None:
    """TRL's marks may also hold what the prompt already ends with, and the line break after a turn; nothing else may differ."""
    given = set()
    ends = {past for _, past in made.spans}
    for index, message in enumerate(each.messages):
        if message.role == "assistant":
            prompt = tokenizer.apply_chat_template(turns_of(each)[:index], tokenize=False, add_generation_prompt=True)
            given.update(range(len(prompt)))
            start = next(first for first, past in made.spans if past > len(prompt))
            assert start == len(prompt)
            given.difference_update(at for first, past in made.spans for at in range(first, past))
    for at, (own, trl) in enumerate(zip(ours, learnt, strict=True)):
        if own and not trl:
            raise AssertionError(f"{made.text[at:]!r} is learnt here and not by TRL")
        if trl and not own:
            assert at in given or (made.text[at] == "\n" and at in ends), made.text[at:]


@pytest.mark.parametrize("name", SAME_WITH_ONE_ANSWER)
def test_template_that_rewrites_earlier_answers_refuses_several(name: str, byte_tokenizer: Any, trl_templates: dict[str, str]) -> None:
    tokenizer = with_template(byte_tokenizer, trl_templates[name])
    with pytest.raises(DataError, match=r"own\.jsonl:3.*one answer in each conversation") as caught:
        render(example("Hi", "Hello", "And?", "Bye"), tokenizer)
    assert_fix_works(str(caught.value), f"{name}_training", example("Hi", "Hello", "And?", "Bye"), tokenizer)


@pytest.mark.parametrize("name", PROMPT_IS_NO_PREFIX)
def test_template_whose_prompt_is_no_prefix_is_refused_and_the_fix_works(
    name: str, byte_tokenizer: Any, trl_templates: dict[str, str]
) -> None:
    tokenizer = with_template(byte_tokenizer, trl_templates[name])
    with pytest.raises(DataError, match=r"own\.jsonl:3.*Copy '.*_training\.jinja' over the model's `chat_template\.jinja`") as caught:
        render(example("Hi", "Hello"), tokenizer)
    assert_fix_works(str(caught.value), f"{name}_training", example("Hi", "Hello", "And?", "Bye"), tokenizer)


def assert_fix_works(message: str, name: str, each: Example, tokenizer: Any) -> None:
    """The file that the message names is TRL's template for this family, and with it the conversation is learnt as by TRL."""
    path = Path(message.partition("Copy '")[2].partition("'")[0])
    assert path.stem == name
    made = render(each, with_template(tokenizer, path.read_text(encoding="utf-8")))
    text, learnt = masked_by_trl(each, tokenizer, tokenizer.chat_template)
    assert made.text == text
    assert [any(first <= at < past for first, past in made.spans) for at in range(len(text))] == learnt


def test_every_marked_template_is_followed_to_the_character(
    byte_tokenizer: Any, trl_templates: dict[str, str], conversations: Make
) -> None:
    names = [*MARKED_ALREADY, *(f"{name}_training" for name in [*SAME, *SAME_WITH_ONE_ANSWER, *PROMPT_IS_NO_PREFIX, *NO_END_OF_TURN])]
    assert len(names) == 31
    for name in names:
        tokenizer = with_template(byte_tokenizer, trl_templates[name])
        for each in fitting(conversations(4, 2), name.removesuffix("_training")):
            made = render(each, tokenizer)
            text, learnt = masked_by_trl(each, tokenizer, trl_templates[name])
            assert made.text == text
            assert [any(first <= at < past for first, past in made.spans) for at in range(len(text))] == learnt, name


@pytest.mark.parametrize("name", READS_PARTS_ONLY)
def test_template_that_loses_plain_text_is_refused(name: str, byte_tokenizer: Any, trl_templates: dict[str, str]) -> None:
    with pytest.raises(DataError, match=r"(leaves out part of turn 1, 'Hello'|refuses a conversation).*own\.jsonl:3"):
        render(example("Hi", "Hello"), with_template(byte_tokenizer, trl_templates[name]))


def test_template_without_an_end_of_turn_is_told_apart(byte_tokenizer: Any, trl_templates: dict[str, str]) -> None:
    made = render(example("Hi", "Hello "), with_template(byte_tokenizer, trl_templates["glm4moe"]))
    assert texts(made) == ["\n<think></think>\nHello"]
    assert not made.ends
    assert render(example("Hi", "Hello "), with_template(byte_tokenizer, trl_templates["glm4moe_training"])).ends


def test_line_break_is_the_end_of_turn_where_nothing_else_is(byte_tokenizer: Any) -> None:
    asking = "{% if add_generation_prompt %}assistant: {% endif %}"
    plain = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}" + asking
    made = render(example("Hi", "Hello", "And?", "Bye\n"), with_template(byte_tokenizer, plain))
    assert texts(made) == ["Hello\n", "Bye\n\n"]
    assert made.ends


def test_answer_with_its_own_line_break_and_nothing_after_it_has_no_end(byte_tokenizer: Any) -> None:
    bare = (
        "{% for m in messages %}{{ '[' + m['role'] + ']' + m['content'] }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    tokenizer = with_template(byte_tokenizer, bare)
    made = render(example("Hi", "Bye\n"), tokenizer)
    assert texts(made) == ["Bye\n"]
    assert not made.ends


def test_reasoning_that_the_template_drops_is_refused(byte_tokenizer: Any, trl_templates: dict[str, str]) -> None:
    dropping = trl_templates["deepseekv3"].replace("<think>\\n", "")
    tokenizer = with_template(byte_tokenizer, dropping)
    assert texts(render(example("Hi", "Hello"), tokenizer)) == ["Hello<｜end▁of▁sentence｜>"]
    with pytest.raises(DataError, match=r"leaves out part of turn 1, '<think>because</think>Hello'.*own\.jsonl:3"):
        render(example("Hi", "<think>because</think>Hello"), tokenizer)


def test_what_a_template_says_when_it_refuses_is_passed_on(byte_tokenizer: Any, trl_templates: dict[str, str]) -> None:
    with pytest.raises(DataError, match=r"refuses a conversation of system, user, assistant: System role not supported \(own\.jsonl:3\)"):
        render(
            example("Be brief", "Hi", "Hello", roles=("system", "user", "assistant")), with_template(byte_tokenizer, trl_templates["gemma"])
        )


def test_broken_template_is_refused(byte_tokenizer: Any) -> None:
    with pytest.raises(DataError, match=r"refuses a conversation of user, assistant: .*endfor"):
        render(example("Hi", "Hello"), with_template(byte_tokenizer, "{% for m in messages %}{{ m['content'] }}"))


def test_model_without_a_template_is_refused(byte_tokenizer: Any) -> None:
    with pytest.raises(
        DataError, match=r"no chat template \(own\.jsonl:3\); expected a model that was made for chat.*chat_template\.jinja"
    ):
        render(example("Hi", "Hello"), with_template(byte_tokenizer, ""))


def test_context_turns_of_a_prompt_carry_no_loss(byte_tokenizer: Any, trl_templates: dict[str, str]) -> None:
    each = example("Hi", "Hello", "And?", "Bye", loss_from=3)
    for name in ("qwen2_5", "qwen2_5_training", "diffusion_gemma_training", "phi3_training", "lfm2_2_5"):
        learnt = "".join(texts(render(each, with_template(byte_tokenizer, trl_templates[name]))))
        assert "Bye" in learnt, name
        assert "Hello" not in learnt, name

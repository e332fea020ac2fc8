"""Text grows piece by piece, and ends where the model's template ends an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from codex.core.errors import ModelError
from codex.core.protocols import Message
from codex.inference.text import TextStream, prompt_ids, stop_tokens


@pytest.fixture(scope="module")
def tokenizer(tiny_folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_folder)


@pytest.fixture(scope="module")
def byte_fallback() -> Any:
    """A tokenizer of the other large family: spaces are marks at the start of words, rare characters are bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"abcde", "▁a", "▁b", "ab"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    inner = Tokenizer(models.BPE(vocabulary, [("▁", "a"), ("▁", "b"), ("a", "b")], unk_token="<unk>", byte_fallback=True))
    inner.pre_tokenizer = pre_tokenizers.Metaspace()  # type: ignore[assignment]
    replace, strip = decoders.Replace("▁", " "), decoders.Strip(" ", 1, 0)
    inner.decoder = decoders.Sequence([replace, decoders.ByteFallback(), decoders.Fuse(), strip])  # type: ignore[assignment]
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def _pieces(tokenizer: Any, tokens: list[int]) -> list[str]:
    stream = TextStream(tokenizer)
    return [*(stream.add(token) for token in tokens), stream.rest()]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 511), max_size=40))
def test_pieces_of_any_tokens_add_up_to_their_text(tokenizer: Any, tokens: list[int]) -> None:
    assert "".join(_pieces(tokenizer, tokens)) == tokenizer.decode(tokens, skip_special_tokens=True)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(st.sampled_from("ab é本😀z"), max_size=20))
@example("ab a é")
def test_pieces_of_byte_fallback_tokens_add_up_to_their_text(byte_fallback: Any, text: str) -> None:
    tokens = byte_fallback.encode(text, add_special_tokens=False)
    pieces = _pieces(byte_fallback, tokens)
    assert "".join(pieces) == byte_fallback.decode(tokens, skip_special_tokens=True)
    assert not any("\ufffd" in piece for piece in pieces)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(max_size=30))
@example("é本😀")
def test_no_piece_of_a_text_ends_inside_a_character(tokenizer: Any, text: str) -> None:
    pieces = _pieces(tokenizer, tokenizer.encode(text, add_special_tokens=False))
    assert "".join(pieces) == text
    if "\ufffd" not in text:
        assert not any("\ufffd" in piece for piece in pieces)


def test_pieces_come_as_soon_as_they_are_whole(tokenizer: Any) -> None:
    tokens = tokenizer.encode("a😀!", add_special_tokens=False)
    assert len(tokens) == 6  # four bytes of the character are tokens of their own
    assert _pieces(tokenizer, tokens) == ["a", "", "", "", "😀", "!", ""]


def test_rest_gives_what_is_half_a_character(tokenizer: Any) -> None:
    half = tokenizer.encode("😀", add_special_tokens=False)[:2]
    stream = TextStream(tokenizer)
    assert [stream.add(token) for token in half] == ["", ""]
    assert stream.rest() == "\ufffd"
    assert stream.rest() == ""


def test_prompt_ends_where_the_answer_starts(tokenizer: Any) -> None:
    prompt = prompt_ids(tokenizer, [Message("user", "Hi"), Message("assistant", "Yes"), Message("user", "So")], "x")
    assert tokenizer.decode(prompt) == "<|user|>Hi<|end|><|assistant|>Yes<|end|><|user|>So<|end|><|assistant|>"


def test_answers_end_at_the_tokenizers_the_models_and_the_templates_end(tokenizer: Any) -> None:
    import copy
    from types import SimpleNamespace

    changed = copy.deepcopy(tokenizer)
    changed.eos_token = "<|pad|>"
    named = {token: tokenizer.convert_tokens_to_ids(token) for token in ("<|pad|>", "<|end|>", "<|user|>")}
    assert stop_tokens(changed, None) == {named["<|pad|>"], named["<|end|>"]}
    assert stop_tokens(changed, SimpleNamespace(eos_token_id=[named["<|user|>"]])) == set(named.values())
    changed.chat_template = None
    assert stop_tokens(changed, SimpleNamespace(eos_token_id=None)) == {named["<|pad|>"]}


def test_tokenizer_without_template_is_refused(byte_fallback: Any) -> None:
    with pytest.raises(ModelError, match="no chat template"):
        prompt_ids(byte_fallback, [Message("user", "Hi")], "x")


def test_template_that_refuses_a_turn_is_a_model_error(tokenizer: Any) -> None:
    import copy

    strict = copy.deepcopy(tokenizer)
    strict.chat_template = "{{ raise_exception('no system turn') }}"
    with pytest.raises(ModelError, match="no system turn"):
        prompt_ids(strict, [Message("system", "Hi")], "x")

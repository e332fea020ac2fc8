"""Between messages and tokens: the prompt, where an answer ends, and text that grows token by token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from codex.core.errors import ModelError
from codex.core.protocols import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

REPLACEMENT = "\ufffd"
PROBE = "x7Qz"  # an answer that no template has of its own


def prompt_ids(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], name: str) -> tuple[int, ...]:
    """Tokens of the conversation, up to where the model's answer starts.

    Raises:
        ModelError: model `name` has no chat template, or the template refuses the conversation.
    """
    import jinja2

    if not tokenizer.chat_template:
        raise ModelError(
            f"the tokenizer of {name!r} has no chat template",
            "expected one that says how a conversation is written for it",
            "Use the model's chat or instruct version, or put a chat_template.jinja into its folder.",
        )
    turns = [{"role": message.role, "content": message.content} for message in messages]
    try:
        encoded: Any = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=True, return_dict=True)
    except jinja2.TemplateError as error:
        raise ModelError(
            f"the chat template of {name!r} refuses the conversation: {error}",
            "expected turns in the order that the template knows",
            "Start with one user turn, without a system turn.",
        ) from error
    return tuple(encoded["input_ids"])


def stop_tokens(tokenizer: PreTrainedTokenizerBase, generation: Any) -> frozenset[int]:
    """Tokens that end an answer: the tokenizer's and the model's end tokens, and what the chat template writes after an answer.

    The last matters for base models trained on a chat template whose end of turn is not their end of text.

    Args:
        generation: the model's generation config, or None.
    """
    of_model = getattr(generation, "eos_token_id", None)
    found: list[Any] = [tokenizer.eos_token_id, _end_of_turn(tokenizer), *(of_model if isinstance(of_model, list | tuple) else [of_model])]
    return frozenset(int(end) for end in found if end is not None)


def _end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The first special token that the chat template writes after an answer."""
    if not tokenizer.chat_template:
        return None
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": PROBE}]
    tail = str(tokenizer.apply_chat_template(turns, tokenize=False)).rpartition(PROBE)[2]
    special = set(tokenizer.all_special_ids) | {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    return next((token for token in tokenizer.encode(tail, add_special_tokens=False) if token in special), None)


class TextStream:
    """Turns tokens into text piece by piece; the pieces together are what all tokens together decode to.

    Not covered: bytes that make no character; some tokenizers then decode the characters before them differently.

    A character can span tokens: its bytes are held back until it is whole. Only a window of tokens is decoded again each time:
    the last piece's, because some tokenizers write a token otherwise at the start of a text.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._tokens: list[int] = []
        self._start = 0  # of the window
        self._said = 0  # tokens before this are in pieces already

    def add(self, token: int) -> str:
        """The text that `token` completes; empty while a character is not whole."""
        self._tokens.append(token)
        piece = self._unsaid()
        if not piece or piece.endswith(REPLACEMENT):
            return ""
        self._start, self._said = self._said, len(self._tokens)
        return piece

    def rest(self) -> str:
        """What was held back, when no token will follow."""
        piece = self._unsaid()
        self._start = self._said = len(self._tokens)
        return piece

    def _unsaid(self) -> str:
        before = self._decode(self._tokens[self._start : self._said])
        return self._decode(self._tokens[self._start :])[len(before) :]

    def _decode(self, tokens: list[int]) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))

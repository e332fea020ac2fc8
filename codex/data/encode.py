"""Turn examples into tokens, with loss on the answers alone; count what is cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from codex.core.errors import DataError
from codex.core.protocols import Encoded
from codex.data.encoder import Encoder, chunks
from codex.data.examples import Example
from codex.data.spans import render

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class EncodedSet:
    """Examples as tokens, in their order, with what became of them.

    Args:
        items: one for each example.
        max_tokens: where longer ones were cut.
        cut: how many were cut at their end.
        longest: tokens of the longest example before cutting.
        notes: what looks odd, in sentences.
    """

    items: list[Encoded]
    max_tokens: int
    cut: int
    longest: int
    notes: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        """Tokens in all."""
        return sum(len(item.input_ids) for item in self.items)

    @property
    def answer_tokens(self) -> int:
        """Tokens that carry loss."""
        return sum(item.answer_tokens for item in self.items)

    def sentences(self) -> list[str]:
        """What will be trained on, in words."""
        tokens, answers = self.tokens, self.answer_tokens
        first = f"{len(self.items):,} examples of {tokens:,} tokens; {answers:,} of them ({answers / tokens:.1%}) carry loss."
        whole = f"The longest has {self.longest:,} tokens; none is cut."
        cut = f"{self.cut:,} ({self.cut / len(self.items):.1%}) are longer than {self.max_tokens:,} tokens and cut at the end."
        return [first, cut if self.cut else whole, *self.notes]

    def audit(self) -> dict[str, Any]:
        """The same as figures and words, for a report."""
        tokens, answers = self.tokens, self.answer_tokens
        return {
            "examples": len(self.items),
            "tokens": tokens,
            "answer_tokens": answers,
            "trained_share": answers / tokens,
            "max_tokens": self.max_tokens,
            "longest": self.longest,
            "cut": self.cut,
            "words": self.sentences(),
        }


def encode(example: Example, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> Encoded:
    """One example as tokens.

    Args:
        example: a conversation, a prompt with its completion, or text.
        tokenizer: the model's.
        max_tokens: where it is cut.

    Raises:
        DataError: it has no answer token within `max_tokens`, or the chat template does not fit it.
    """
    return encode_all([example], tokenizer, max_tokens, None).items[0]


def encode_all(examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_tokens: int, context: int | None) -> EncodedSet:
    """All examples as tokens, in their order.

    Args:
        examples: at least one.
        tokenizer: the model's, a fast one.
        max_tokens: longer examples are cut at the end.
        context: the longest text that the model is built for, tokens; None when that is not known.

    Raises:
        DataError: `max_tokens` is above the context, examples have no answer token, or the chat template does not fit.
        ModelError: the tokenizer cannot say which characters a token stands for, or has no end-of-text token where one is needed.
    """
    if not examples:
        raise DataError("there are 0 examples", "expected at least 1", "Add examples.")
    _check_context(max_tokens, context)
    items: list[Encoded] = []
    cut = longest = 0
    unanswered: list[tuple[Example, int]] = []
    encoder = Encoder(tokenizer)
    for example, whole in zip(examples, encoder.whole(examples), strict=True):
        item = Encoded(whole.input_ids[:max_tokens], whole.labels[:max_tokens])
        length = len(whole.input_ids)
        cut += length > max_tokens
        longest = max(longest, length)
        if not item.answer_tokens:
            unanswered.append((example, length))
        items.append(item)
    if unanswered:
        raise _no_answers(unanswered, max_tokens, context)
    return EncodedSet(items, max_tokens, cut, longest, encoder.notes())


def blocks(
    texts: Iterable[str | Example], tokenizer: PreTrainedTokenizerBase, block_tokens: int, context: int | None = None
) -> list[Encoded]:
    """Texts end to end, each ended by the end-of-text token, cut into blocks of equal length; every token carries loss.

    The rest after the last whole block, less than one block, is left out.

    Args:
        texts: in the order in which they are laid out; of an example, all of its text, of a conversation as the chat template writes it.
        tokenizer: the model's.
        block_tokens: length of a block.
        context: the longest text that the model is built for, tokens.

    Raises:
        DataError: there is not enough text for one block, or a block is longer than the context.
        ModelError: the tokenizer has no end-of-text token.
    """
    _check_context(block_tokens, context)
    encoder = Encoder(tokenizer)
    end = encoder.end()
    made: list[Encoded] = []
    pending: list[int] = []
    for chunk in chunks(_laid_out(each, tokenizer) for each in texts):
        for ids in encoder.ids(chunk):
            pending.extend(ids)
            if ids[-1:] != [end]:
                pending.append(end)
        full = len(pending) - len(pending) % block_tokens
        for first in range(0, full, block_tokens):
            block = tuple(pending[first : first + block_tokens])
            made.append(Encoded(block, block))
        del pending[:full]
    if not made:
        raise DataError(
            f"the text has {len(pending):,} tokens in all",
            f"expected at least {block_tokens:,}, one block of `data.max_tokens`",
            "Add text, or set a smaller `data.max_tokens`.",
        )
    return made


def _laid_out(text: str | Example, tokenizer: PreTrainedTokenizerBase) -> str:
    if isinstance(text, str):
        return text
    return render(text, tokenizer).text if text.messages else text.plain


def _check_context(max_tokens: int, context: int | None) -> None:
    if context is not None and max_tokens > context:
        raise DataError(
            f"`data.max_tokens` is {max_tokens!r}", f"expected at most {context}, the model's context", f"Set `data.max_tokens={context}`."
        )


def _no_answers(unanswered: Sequence[tuple[Example, int]], max_tokens: int, context: int | None) -> DataError:
    """The error for examples on which nothing would be learnt."""
    first, _ = unanswered[0]
    needed = max(length for _, length in unanswered)
    limit = "" if context is None or needed <= context else f"; the longest has {needed} and the model's context is {context}"
    if limit:
        fix = "Shorten their prompts, or remove them."
    elif needed > max_tokens:
        fix = f"Set `data.max_tokens={needed}`, at which they are whole, or remove them."
    else:
        fix = "Remove them: they are whole, and their answers lie inside tokens that begin before the answer does."
    return DataError(
        f"examples without an answer token within {max_tokens} tokens: {len(unanswered):,} (first: {first.origin!r}{limit})",
        "expected at least one token to learn in each",
        fix,
    )

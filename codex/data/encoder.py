"""A tokenizer at work on examples of each form."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar

from codex.core.errors import ModelError
from codex.core.protocols import Encoded
from codex.data.examples import Example
from codex.data.spans import Rendered, Span, owner, render

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Item = TypeVar("Item")

NO_LOSS = -100
_AT_ONCE = 256


def chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    """The items, some hundreds at a time."""
    chunk: list[Item] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == _AT_ONCE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _untrimmed(tokenizer: Any) -> Any:
    """A tokenizer whose offsets hold all of a token's characters: some leave out the white space at its edges.

    What is dropped also adds special tokens, which is never asked of the copy.
    """
    processor = tokenizer.backend_tokenizer.post_processor
    if processor is None or b'"trim_offsets":true' not in processor.__getstate__():
        return tokenizer
    copied = deepcopy(tokenizer)
    copied.backend_tokenizer.post_processor = None
    return copied


class Encoder:
    """One tokenizer at work on many examples."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        if not tokenizer.is_fast:
            raise ModelError(
                f"the tokenizer of {owner(tokenizer)} is {type(tokenizer).__name__!r}",
                "expected one with a `tokenizer.json`, which says which characters each token stands for",
                "Choose a model that ships `tokenizer.json`, or convert its tokenizer with transformers.",
            )
        self._tokenizer = tokenizer
        self._whole = _untrimmed(tokenizer)
        # One object for each id: Python would make a new integer of 32 bytes for every token of every example.
        self._shared: dict[int, int] = {}
        self._specials = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
        # Looked for first: a text that has none of their beginnings has none of the hundreds that some models reserve.
        self._beginnings = {special[:2] for special in self._specials}
        self._first_special: str | None = None
        self._with_special = 0
        self._first_endless: str | None = None
        self._endless = 0

    def whole(self, examples: Iterable[Example]) -> Iterator[Encoded]:
        """Each example uncut."""
        for chunk in chunks(examples):
            for form, members in groupby(chunk, key=lambda example: example.form):
                together = list(members)
                self._look_for_specials(together)
                if form == "messages":
                    yield from self._conversations(together)
                elif form == "prompt-completion":
                    yield from self._pairs(together)
                else:
                    yield from self._texts(together)

    def end(self) -> int:
        """The end-of-text token."""
        end = self._tokenizer.eos_token_id
        if not isinstance(end, int):
            raise ModelError(
                f"the tokenizer of {owner(self._tokenizer)} has no end-of-text token",
                "expected one, for a model that never sees it does not learn to stop",
                "Name it as `eos_token` in the model's `tokenizer_config.json`.",
            )
        return end

    def ids(self, texts: list[str]) -> list[list[int]]:
        """The texts as ids, without the special tokens that the tokenizer would add."""
        shared = self._shared
        return [[shared.setdefault(each, each) for each in ids] for ids in self._call(texts)["input_ids"]]

    def notes(self) -> tuple[str, ...]:
        """What looked odd."""
        notes: list[str] = []
        if self._with_special:
            notes.append(
                "Examples that hold a special token of the tokenizer as text, which is read as that token: "
                f"{self._with_special:,} (first: {self._first_special})."
            )
        if self._endless:
            notes.append(
                "The chat template writes nothing after the last answer, so the model does not learn to stop: "
                f"{self._endless:,} examples (first: {self._first_endless})."
            )
        return tuple(notes)

    def _call(self, texts: list[str], **extra: Any) -> Any:
        return self._whole(texts, add_special_tokens=False, return_attention_mask=False, verbose=False, **extra)

    def _look_for_specials(self, examples: Sequence[Example]) -> None:
        for example in examples:
            text = example.plain
            if any(two in text for two in self._beginnings) and any(special in text for special in self._specials):
                self._with_special += 1
                self._first_special = self._first_special or example.origin

    def _conversations(self, examples: Sequence[Example]) -> Iterator[Encoded]:
        rendered = [render(example, self._tokenizer) for example in examples]
        for example, each in zip(examples, rendered, strict=True):
            if not each.ends:
                self._endless += 1
                self._first_endless = self._first_endless or example.origin
        tokens = self._call([each.text for each in rendered], return_offsets_mapping=True)
        for each, ids, offsets in zip(rendered, tokens["input_ids"], tokens["offset_mapping"], strict=True):
            yield self._labelled(each, ids, offsets)

    def _labelled(self, rendered: Rendered, ids: list[int], offsets: list[Span]) -> Encoded:
        """`ids` with loss on the tokens that lie wholly in a span."""
        shared = self._shared
        ids = [shared.setdefault(each, each) for each in ids]
        labels = [NO_LOSS] * len(ids)
        for span in rendered.spans:
            first, past = self._within(span, offsets)
            labels[first:past] = ids[first:past]
        return Encoded(tuple(ids), tuple(labels))

    def _within(self, span: Span, offsets: list[Span]) -> tuple[int, int]:
        """(first, past the last) token of those that lie wholly in `span`."""
        first = bisect_left(offsets, span[0], key=lambda offset: offset[0])
        past = bisect_right(offsets, span[1], key=lambda offset: offset[1])
        return first, past

    def _pairs(self, examples: Sequence[Example]) -> Iterator[Encoded]:
        """Prompts and completions as plain text: the boundary falls between tokens, as it does when the model is asked."""
        end = self.end()
        lead = self._lead()
        prompts = [example.prompt or "" for example in examples]
        completions = [example.completion or "" for example in examples]
        heads = self.ids(prompts)
        joint = self.ids([prompt + completion for prompt, completion in zip(prompts, completions, strict=True)])
        for head, both, completion in zip(heads, joint, completions, strict=True):
            tail = both[len(head) :] if both[: len(head)] == head else self._continued(completion)
            answer = tail if tail[-1:] == [end] else [*tail, end]
            yield Encoded((*lead, *head, *answer), (*([NO_LOSS] * (len(lead) + len(head))), *answer))

    def prompt(self, text: str) -> tuple[int, ...]:
        """A plain prompt as it stands before its completion in training."""
        return (*self._lead(), *self.ids([text])[0])

    def _continued(self, text: str) -> list[int]:
        """`text` as it goes on after other text: without the space that some tokenizers put before a beginning."""
        mark, marked = self.ids(["\n", "\n" + text])
        return marked[len(mark) :] if marked[: len(mark)] == mark else self.ids([text])[0]

    def _texts(self, examples: Sequence[Example]) -> Iterator[Encoded]:
        end = self.end()
        lead = self._lead()
        for ids in self.ids([example.text or "" for example in examples]):
            whole = (*lead, *ids, end)
            yield Encoded(whole, whole)

    def _lead(self) -> list[int]:
        """The token that this tokenizer puts before any text, if it does."""
        begin = self._tokenizer.bos_token_id
        made: Any = self._tokenizer("", verbose=False)
        return [begin] if isinstance(begin, int) and list(made["input_ids"][:1]) == [begin] else []

"""Render a conversation with a model's own chat template, and find which characters of it the model must learn to say."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from codex.core.errors import DataError
from codex.core.protocols import Message
from codex.data.examples import Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_MARKS = re.compile(r"\{%-?\s*generation\s*-?%\}")

Span = tuple[int, int]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Rendered:
    """A conversation as the model sees it.

    Args:
        text: the whole of it.
        spans: (first, past the last) character of each answer with its end-of-turn, in order.
        ends: whether something is learnt after the last answer, so that the model learns to stop.
    """

    text: str
    spans: tuple[Span, ...]
    ends: bool


def owner(tokenizer: PreTrainedTokenizerBase) -> str:
    """How a message calls the model that the tokenizer is of."""
    return repr(tokenizer.name_or_path) if tokenizer.name_or_path else "the model"


def chat_template(tokenizer: PreTrainedTokenizerBase, origin: str) -> str:
    """The tokenizer's chat template.

    Raises:
        DataError: it has none, so conversations cannot be turned into text.
    """
    held = tokenizer.chat_template
    if not held or (isinstance(held, dict) and "default" not in held):
        raise DataError(
            f"the data are conversations, and {owner(tokenizer)} has no chat template",
            "expected a model that was made for chat, or plain text",
            "Choose its chat variant, put a `chat_template.jinja` into the model's folder, or write the data as `prompt` and `completion`.",
            origin,
        )
    return tokenizer.get_chat_template()


def render(example: Example, tokenizer: PreTrainedTokenizerBase) -> Rendered:
    """`example`, a conversation, as text with the spans of its answers.

    A template with `{% generation %}` marks says itself what is learnt. Of any other, the answers are what it adds
    to the prompt that the model is given when it is asked; that must then stand unchanged in the whole.

    Raises:
        DataError: the template refuses the conversation, changes a turn once another follows, or leaves out text of an answer.
    """
    template = chat_template(tokenizer, example.origin)
    conversation = _Conversation(example, tokenizer, template)
    text, spans = conversation.by_marks() if _MARKS.search(template) else conversation.by_prefixes()
    _must_hold_answers(example, text, spans)
    return Rendered(text, tuple(spans), _ends(example.answers[-1], text[slice(*spans[-1])]))


class _Conversation:
    """One conversation, the tokenizer and its template."""

    def __init__(self, example: Example, tokenizer: PreTrainedTokenizerBase, template: str) -> None:
        self._example = example
        self._tokenizer = tokenizer
        self._template = template

    def by_marks(self) -> tuple[str, list[Span]]:
        """The whole, with the spans that the template marks; those of turns that are only context are left out."""
        text, spans = self._marked(self._example.messages)
        context = self._example.messages[: self._example.loss_from]
        skipped = len(self._marked(context)[1]) if any(turn.role == "assistant" for turn in context) else 0
        return text, [span for span in spans[skipped:] if span[0] < span[1]]

    def _marked(self, messages: Sequence[Message]) -> tuple[str, list[Span]]:
        # The tokenizer's own return_assistant_tokens_mask would count a token that straddles a mark's edge as an answer's.
        from transformers.utils.chat_template_utils import render_jinja_template

        specials: dict[str, Any] = dict(self._tokenizer.special_tokens_map)

        def call() -> tuple[str, list[Span]]:
            made: Any = render_jinja_template(
                [_dicts(messages)], chat_template=self._template, return_assistant_tokens_mask=True, **specials
            )
            (text,), (spans,) = made
            return text, spans

        return self._guarded(call)

    def by_prefixes(self) -> tuple[str, list[Span]]:
        """The whole, with the spans by which it goes beyond each answer's prompt."""
        messages = self._example.messages
        text = self._text(messages)
        return text, [self._span(index, text) for index in self._example.learnt_turns]

    def _span(self, index: int, text: str) -> Span:
        """The span of turn `index`: from the end of its prompt to its last mark, for a line break after that is no one's to say."""
        messages = self._example.messages
        prompt = self._text(messages[:index], asking=True)
        if not text.startswith(prompt):
            raise self._unsteady(index, prompt, text)
        end = len(text) if index == len(messages) - 1 else self._end(index, text)
        said = text[len(prompt) : end]
        # Where nothing but the line break follows the answer, it is the end-of-turn.
        kept = said if said.rstrip().endswith(messages[index].content.rstrip()) else said.rstrip()
        return len(prompt), len(prompt) + len(kept)

    def _end(self, index: int, text: str) -> int:
        """Where turn `index`, which others follow, ends."""
        until = self._text(self._example.messages[: index + 1])
        eos = self._tokenizer.eos_token
        if not text.startswith(until) and isinstance(eos, str):
            until = until.removesuffix(eos)  # some templates end every conversation with it, and only there
        if not text.startswith(until):
            raise self._unsteady(index, until, text)
        return len(until)

    def _text(self, messages: Sequence[Message], *, asking: bool = False) -> str:
        def call() -> str:
            text = self._tokenizer.apply_chat_template(_dicts(messages), tokenize=False, add_generation_prompt=asking)
            assert isinstance(text, str), "tokenize=False gives text"
            return text

        return self._guarded(call)

    def _guarded(self, call: Callable[[], Result]) -> Result:
        """`call()`, with what a template says when it refuses a conversation as a DataError."""
        from jinja2 import TemplateError

        try:
            return call()
        except (TemplateError, TypeError, ValueError, KeyError) as error:
            roles = ", ".join(turn.role for turn in self._example.messages)
            raise DataError(
                f"the chat template of {owner(self._tokenizer)} refuses a conversation of {roles}: {error}",
                "expected turns that it can write",
                "Change the conversation to what it says, or mend the template in the model's `chat_template.jinja`.",
                self._example.origin,
            ) from error

    def _unsteady(self, index: int, expected: str, text: str) -> DataError:
        """The template writes a turn in one way when the model is asked and in another when it is trained."""
        at = next((i for i, (a, b) in enumerate(zip(expected, text, strict=False)) if a != b), min(len(expected), len(text)))
        found, wanted = text[at : at + 24], expected[at : at + 24]
        return DataError(
            f"the chat template of {owner(self._tokenizer)} writes {found!r} in the whole conversation "
            f"where it writes {wanted!r} up to turn {index}",
            "expected that what follows a turn changes nothing before it, or `{% generation %}` marks around answers",
            _template_fix(self._template, several=len(self._example.learnt_turns) > 1),
            self._example.origin,
        )


def _dicts(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _without_space(text: str) -> str:
    return "".join(text.split())


def _must_hold_answers(example: Example, text: str, spans: Sequence[Span]) -> None:
    """Refuse a rendering in which an answer is not learnt whole; templates may trim and re-break it."""
    learnt = _without_space("".join(text[first:last] for first, last in spans))
    at = 0
    for index, answer in zip(example.learnt_turns, example.answers, strict=True):
        wanted = _without_space(answer)
        found = learnt.find(wanted, at)
        if found < 0:
            raise DataError(
                f"the chat template leaves out part of turn {index}, {answer[:40]!r}",
                "expected every answer to be learnt whole; some templates drop reasoning, or read text only from lists of parts",
                "Remove from the answer what it drops, or give the model a template for training in its `chat_template.jinja`.",
                example.origin,
            )
        at = found + len(wanted)


def _ends(answer: str, learnt: str) -> bool:
    """Whether more than `answer` and its own white space is learnt."""
    after = learnt.rpartition(answer.strip())[2]
    return bool(after) and after != answer[len(answer.rstrip()) :]


def _template_fix(template: str, *, several: bool) -> str:
    """What to do about a template that is not fit for training; TRL brings mended ones for many families."""
    mended = _mended_by_trl(template)
    single = ", or keep one answer in each conversation, the last turn" if several else ""
    if mended:
        return f"Copy {str(mended)!r} over the model's `chat_template.jinja`{single}."
    return f"Put `{{% generation %}}` and `{{% endgeneration %}}` around answers in the model's `chat_template.jinja`{single}."


def _mended_by_trl(template: str) -> Path | None:
    """TRL's training template for the family that `template` is of, compared by text; None for a family that it does not know."""
    import importlib.util

    spec = importlib.util.find_spec("trl")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "chat_templates"
    for path in folder.glob("*.jinja"):
        mended = path.with_name(f"{path.stem}_training.jinja")
        if mended.exists() and path.read_text(encoding="utf-8").strip() == template.strip():
            return mended
    return None

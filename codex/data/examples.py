"""One example, whatever file it came from: a conversation, a prompt with its completion, or plain text."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from codex.core.protocols import Message

Form = Literal["messages", "prompt-completion", "text"]


@dataclass(frozen=True, kw_only=True)
class Example:
    """One thing to learn from or to be judged on, in exactly one of three forms.

    Args:
        group: what is resampled together when judging; examples of one group are not independent.
        origin: where it came from: `train.jsonl:17`.
        messages: a conversation whose last turn is the assistant's.
        prompt: plain text that is given; goes with `completion`.
        completion: plain text that is learnt.
        text: plain text that is learnt from its first token to its last.
        loss_from: index of the first message that may be learnt; assistant turns before it are only context.
    """

    group: str
    origin: str
    messages: tuple[Message, ...] = ()
    prompt: str | None = None
    completion: str | None = None
    text: str | None = None
    loss_from: int = 0

    def __post_init__(self) -> None:
        forms = bool(self.messages) + (self.prompt is not None) + (self.text is not None)
        if forms != 1 or (self.prompt is None) != (self.completion is None):
            raise ValueError("an example is messages, or prompt and completion, or text")

    @property
    def form(self) -> Form:
        """Which of the three forms it has."""
        if self.messages:
            return "messages"
        return "text" if self.prompt is None else "prompt-completion"

    @property
    def learnt_turns(self) -> tuple[int, ...]:
        """Indices of the messages that carry loss."""
        return tuple(index for index, message in enumerate(self.messages) if message.role == "assistant" and index >= self.loss_from)

    @property
    def answers(self) -> tuple[str, ...]:
        """What is learnt, in order."""
        if self.messages:
            return tuple(self.messages[index].content for index in self.learnt_turns)
        learnt = self.text if self.completion is None else self.completion
        assert learnt is not None, "an example has one of its forms"
        return (learnt,)

    @property
    def plain(self) -> str:
        """All of its text, without the marks of any chat template."""
        if self.messages:
            return "\n".join(message.content for message in self.messages)
        return "".join(part for part in (self.prompt, self.completion, self.text) if part is not None)

    @property
    def prompt_digest(self) -> bytes:
        """Equal for examples with the same prompt: what stands before the first answer; a text is its own prompt."""
        if self.messages:
            return _digest(_turns(self.messages[: self.learnt_turns[0]]))
        return _digest(self.text if self.prompt is None else [self.prompt])

    @property
    def digest(self) -> bytes:
        """Equal for examples with the same content, wherever they came from."""
        return _digest([_turns(self.messages), self.loss_from, self.prompt, self.completion, self.text])


def _turns(messages: tuple[Message, ...]) -> list[list[str]]:
    return [[message.role, message.content] for message in messages]


def _digest(value: Any) -> bytes:
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).digest()


def with_answer_of(example: Example, other: Example) -> Example:
    """`example` with its answers replaced by those of `other`, in order and from the start again when `other` has fewer.

    What a model gains on such pairs is the style of the answers, not the task.
    """
    answers = other.answers
    if example.messages:
        turns = list(example.messages)
        for position, index in enumerate(example.learnt_turns):
            turns[index] = Message("assistant", answers[position % len(answers)])
        return replace(example, messages=tuple(turns))
    return replace(example, text=answers[0]) if example.prompt is None else replace(example, completion=answers[0])


class DatasetFormat(Protocol):
    """How rows of one shape become examples; one file in `codex/data/formats/`, registered as `dataset_format`."""

    keys: tuple[str, ...]
    """What every row of this format has, for the message to someone whose rows have none of it."""

    def detect(self, row: dict[str, Any]) -> bool:
        """Whether `row` is meant to be of this format, be it right or wrong."""
        ...

    def read(self, row: dict[str, Any], origin: str) -> Example:
        """The example that `row` holds.

        Args:
            row: one JSON object.
            origin: where it stands, for messages and for the example: `train.jsonl:17`.

        Raises:
            DataError: the row is not as it should be.
        """
        ...

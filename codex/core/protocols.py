"""What engines ask of one another; services wire them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Message:
    """One turn of a conversation; `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class Encoded:
    """One example as tokens.

    Args:
        input_ids: token ids, shape (T,).
        labels: the same ids where a token carries loss, -100 elsewhere, shape (T,).
    """

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]

    @property
    def answer_tokens(self) -> int:
        """How many tokens carry loss; the first of a sequence never does, for nothing predicts it."""
        return sum(label != -100 for label in self.labels[1:])


@dataclass(frozen=True)
class ItemScore:
    """What a model made of one example's answer, teacher-forced.

    Args:
        loss_sum: negative log-likelihood of the answer tokens, nats, summed.
        tokens: how many answer tokens.
        correct: how many of them the model would have chosen (argmax).
    """

    loss_sum: float
    tokens: int
    correct: int

    @property
    def exact(self) -> bool:
        """Whether greedy decoding would have given exactly this answer.

        Teacher forcing and greedy decoding agree up to the first wrong token, so all-correct is exact match.
        """
        return self.correct == self.tokens


class LanguageModel(Protocol):
    """A model that can speak and judge."""

    name: str

    def stream(self, messages: Sequence[Message], *, max_new_tokens: int, temperature: float, seed: int) -> Iterator[str]:
        """Pieces of one answer, as they are made; greedy at temperature 0."""
        ...

    def score(self, items: Sequence[Encoded], *, batch_size: int) -> list[ItemScore]:
        """Scores of the items' answers, in their order."""
        ...

"""Answer loss: how surprised the model is by the right answer."""

from __future__ import annotations

from typing import Literal

from codex.core.protocols import ItemScore
from codex.core.registry import register


@register("metric")
class AnswerLoss:
    """Mean negative log-likelihood of an answer token; every token counts alike, whichever answer it is in."""

    title = "Answer loss"
    unit = "nats/token"
    better: Literal["lower", "higher"] = "lower"
    decimals = 2

    def numerator(self, score: ItemScore) -> float:
        """The answer's loss."""
        return score.loss_sum

    def denominator(self, score: ItemScore) -> float:
        """The answer's tokens."""
        return score.tokens

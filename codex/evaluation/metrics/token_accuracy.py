"""Token accuracy: how often the model's first choice is the right token."""

from __future__ import annotations

from typing import Literal

from codex.core.protocols import ItemScore
from codex.core.registry import register


@register("metric")
class TokenAccuracy:
    """Share of answer tokens that the model would have chosen, given the right ones before."""

    title = "Token accuracy"
    unit = ""
    better: Literal["lower", "higher"] = "higher"
    decimals = 3

    def numerator(self, score: ItemScore) -> float:
        """Tokens chosen rightly."""
        return score.correct

    def denominator(self, score: ItemScore) -> float:
        """The answer's tokens."""
        return score.tokens

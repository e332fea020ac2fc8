"""Exact match: how often the model would have given the right answer to the letter."""

from __future__ import annotations

from typing import Literal

from codex.core.protocols import ItemScore
from codex.core.registry import register


@register("metric")
class ExactMatch:
    """Share of items whose whole answer greedy decoding would have given."""

    title = "Exact match"
    unit = ""
    better: Literal["lower", "higher"] = "higher"
    decimals = 3

    def numerator(self, score: ItemScore) -> float:
        """1 for an exact answer."""
        return float(score.exact)

    def denominator(self, score: ItemScore) -> float:
        """One item."""
        return 1.0

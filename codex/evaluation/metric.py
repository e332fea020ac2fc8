"""What a metric is; each one is a file in `codex/evaluation/metrics/`."""

from __future__ import annotations

from typing import Literal, Protocol

from codex.core import registry
from codex.core.protocols import ItemScore

KIND = "metric"
PRIMARY = "answer-loss"
"""The metric that the verdict's word is about."""


class Metric(Protocol):
    """A ratio of two sums over items, such as loss per answer token; the interval needs to know no more of it.

    Args:
        title: what it is called.
        unit: of its value; empty for a share.
        better: which way is good.
        decimals: how many its value is written with.
    """

    title: str
    unit: str
    better: Literal["lower", "higher"]
    decimals: int

    def numerator(self, score: ItemScore) -> float:
        """What an item adds above the line."""
        ...

    def denominator(self, score: ItemScore) -> float:
        """What an item adds below the line; above 0."""
        ...


def all_metrics() -> dict[str, Metric]:
    """Every metric by name, the primary one first."""
    names = sorted(registry.names(KIND), key=lambda name: (name != PRIMARY, name))
    return {name: registry.load(KIND, name)() for name in names}

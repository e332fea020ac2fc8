"""Compare two models on the same items, with an interval that knows that items come in groups.

Items of one group (functions of one module) resemble each other, so the groups are resampled, not the items: otherwise the
interval would be too narrow. A metric is a ratio of sums over items, and so is each resample's value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from codex.core.protocols import ItemScore
from codex.evaluation.metric import Metric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

TIE = 1e-6  # differences of an item's value below this are rounding of the forward pass
DRAWS_AT_ONCE = 2_000_000  # group numbers held in memory: 16 MB


@dataclass(frozen=True)
class Resampling:
    """How an interval is made.

    Args:
        resamples: how many times groups are drawn.
        confidence: of the interval.
        seed: of the draws; the same seed draws the same groups for every metric.
    """

    resamples: int
    confidence: float
    seed: int


@dataclass(frozen=True)
class Interval:
    """From `low` to `high`."""

    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Whether `value` is outside."""
        return not self.low <= value <= self.high


@dataclass(frozen=True)
class Estimate:
    """A value and how sure it is.

    Args:
        value: from all items.
        interval: None when there cannot be an honest one.
        reason: why there is none; empty when there is one.
    """

    value: float
    interval: Interval | None
    reason: str = ""


@dataclass(frozen=True)
class Term:
    """One ratio of sums in what is estimated: `sign` times the numerators' sum over the denominators'.

    Args:
        sign: +1 or -1.
        numerator: one number an item, shape (N,).
        denominator: one number an item, above 0, shape (N,).
    """

    sign: float
    numerator: Floats
    denominator: Floats


@dataclass(frozen=True)
class WinsLosses:
    """How many items got better, got worse, stayed the same."""

    wins: int
    losses: int
    ties: int


def term(metric: Metric, scores: Sequence[ItemScore], sign: float) -> Term:
    """`sign` times `metric` of `scores`."""
    import numpy as np

    return Term(
        sign,
        np.array([metric.numerator(score) for score in scores], dtype=np.float64),
        np.array([metric.denominator(score) for score in scores], dtype=np.float64),
    )


def value_of(metric: Metric, scores: Sequence[ItemScore]) -> float:
    """`metric` over all `scores`."""
    return sum(metric.numerator(score) for score in scores) / sum(metric.denominator(score) for score in scores)


def difference(metric: Metric, base: Sequence[ItemScore], adapter: Sequence[ItemScore], groups: Sequence[str], how: Resampling) -> Estimate:
    """`metric` of the adapter minus that of the base, both on the same items.

    Args:
        metric: what is compared.
        base: scores of the base, one an item.
        adapter: scores of the adapter on the same items in the same order.
        groups: each item's group.
        how: of the interval.
    """
    return estimate([term(metric, adapter, 1.0), term(metric, base, -1.0)], groups, how)


def estimate(terms: Sequence[Term], groups: Sequence[str], how: Resampling) -> Estimate:
    """The sum of `terms` with a cluster bootstrap interval over `groups`.

    The interval is the expanded percentile interval (Hesterberg 2015, https://doi.org/10.1080/00031305.2015.1089789):
    the plain percentile interval is too narrow with few groups, and BCa was narrower still (`tests/benchmarks/interval_coverage.py`).

    Not covered: fewer groups than an interval of this confidence can be made of; the estimate then has none, and says why.
    """
    import numpy as np

    if any(len(each.numerator) != len(groups) or len(each.denominator) != len(groups) for each in terms):
        raise ValueError("each term and `groups` must have one entry an item")
    _, group_of = np.unique(np.asarray(groups), return_inverse=True)
    count = int(group_of.max()) + 1
    value = sum(each.sign * float(each.numerator.sum() / each.denominator.sum()) for each in terms)
    needed = fewest_groups(how.confidence)
    if count < needed:
        are = f"{count} groups" if count > 1 else "1 group"
        return Estimate(value, None, f"the items are of {are}, and a {how.confidence:.0%} interval needs at least {needed}")
    sums = np.stack([np.bincount(group_of, weights=part, minlength=count) for each in terms for part in (each.numerator, each.denominator)])
    signs = np.array([each.sign for each in terms])
    values = np.concatenate([_resampled(sums, signs, drawn) for drawn in _draws(count, how)])
    tail = _expanded_tail(count, how.confidence)
    low, high = np.quantile(values, [tail, 1 - tail])
    return Estimate(value, Interval(float(low), float(high)))


def fewest_groups(confidence: float) -> int:
    """How many groups an interval of this confidence needs.

    Even the whole range of n values has its centre inside only with probability 1 - 2 / 2^n.
    """
    return max(2, math.ceil(1 + math.log2(1 / (1 - confidence)) - 1e-9))


def _draws(groups: int, how: Resampling) -> Iterator[Any]:
    """Group numbers of each resample, shape (resamples at once, groups)."""
    import numpy as np

    random = np.random.default_rng(how.seed)
    at_once = max(1, DRAWS_AT_ONCE // groups)
    for start in range(0, how.resamples, at_once):
        yield random.integers(0, groups, (min(at_once, how.resamples - start), groups))


def _resampled(sums: Any, signs: Any, drawn: Any) -> Any:
    """The estimate of each resample, shape (R,), from sums by group of shape (2 * terms, G) and draws of shape (R, G)."""
    import numpy as np

    totals = np.stack([row[drawn].sum(axis=1) for row in sums])  # (2 * terms, R)
    return signs @ (totals[0::2] / totals[1::2])


def _expanded_tail(groups: int, confidence: float) -> float:
    """The share of resamples left out at each end."""
    t = student_quantile(groups - 1, (1 + confidence) / 2)
    return NormalDist().cdf(-math.sqrt(groups / (groups - 1)) * t)


def student_quantile(freedom: int, probability: float) -> float:
    """The quantile of Student's t distribution, by its expansion around the normal one.

    Within 0.2% for every number of groups that `fewest_groups` lets through (Abramowitz and Stegun, formula 26.7.5).
    """
    x = NormalDist().inv_cdf(probability)
    terms = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return x + sum(part / freedom**power for power, part in enumerate(terms, 1))


def wins_and_losses(metric: Metric, base: Sequence[ItemScore], adapter: Sequence[ItemScore]) -> WinsLosses:
    """On how many items the adapter is better, worse, or the same by `metric`."""
    outcomes = [item_outcome(metric, before, after) for before, after in zip(base, adapter, strict=True)]
    return WinsLosses(outcomes.count(1), outcomes.count(-1), outcomes.count(0))


def item_outcome(metric: Metric, base: ItemScore, adapter: ItemScore) -> int:
    """1 when the adapter is better on one item, -1 when it is worse, 0 when there is nothing in it."""
    change = value_of(metric, [adapter]) - value_of(metric, [base])
    gain = -change if metric.better == "lower" else change
    return (gain > TIE) - (gain < -TIE)

"""Intervals agree with scipy's and with plain loops, and hold the truth as often as they say."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
from scipy import stats

from codex.core.protocols import ItemScore
from codex.evaluation.metric import all_metrics
from codex.evaluation.paired import (
    Estimate,
    Interval,
    Resampling,
    Term,
    WinsLosses,
    difference,
    estimate,
    fewest_groups,
    student_quantile,
    term,
    value_of,
    wins_and_losses,
)

LOSS = all_metrics()["answer-loss"]
HOW = Resampling(resamples=500, confidence=0.95, seed=3)


def _scores(count: int, seed: int, shift: float = 0.0) -> list[ItemScore]:
    chance = random.Random(seed)
    tokens = [random.Random(99 + number).randrange(1, 30) for number in range(count)]
    return [ItemScore(sum(chance.gammavariate(2, 1) + shift for _ in range(n)), n, chance.randrange(n + 1)) for n in tokens]


def _groups(count: int, groups: int) -> list[str]:
    chance = random.Random(5)
    return [f"g{chance.randrange(groups)}" for _ in range(count)]


def _interval(found: Estimate) -> Interval:
    assert found.interval is not None
    assert found.reason == ""
    return found.interval


def _expanded_confidence(groups: int, confidence: float) -> float:
    """The plain percentile interval's confidence that equals the expanded one's, by scipy."""
    return float(1 - 2 * stats.norm.cdf(math.sqrt(groups / (groups - 1)) * stats.t.ppf((1 - confidence) / 2, groups - 1)))


@pytest.mark.parametrize("metric", sorted(all_metrics()))
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_interval_with_each_item_its_own_group_equals_scipys(metric: str, confidence: float) -> None:
    chosen = all_metrics()[metric]
    base, adapter = _scores(40, 1), _scores(40, 2, shift=-0.3)
    found = difference(chosen, base, adapter, [f"{number:03}" for number in range(40)], Resampling(3000, confidence, 8))

    def statistic(a: Any, b: Any, c: Any, d: Any, axis: int = -1) -> Any:
        return a.sum(axis) / b.sum(axis) - c.sum(axis) / d.sum(axis)

    parts = [[getter(score) for score in scores] for scores in (adapter, base) for getter in (chosen.numerator, chosen.denominator)]
    oracle = stats.bootstrap(
        parts, statistic, paired=True, vectorized=True, n_resamples=3000, method="percentile",
        confidence_level=_expanded_confidence(40, confidence), rng=np.random.default_rng(8),
    ).confidence_interval  # fmt: skip
    width = oracle.high - oracle.low
    assert found.value == pytest.approx(value_of(chosen, adapter) - value_of(chosen, base), abs=1e-12)
    assert _interval(found).low == pytest.approx(oracle.low, abs=width * 0.005)
    assert _interval(found).high == pytest.approx(oracle.high, abs=width * 0.005)


def test_clustered_interval_equals_that_of_plain_loops() -> None:
    base, adapter, groups = _scores(60, 1), _scores(60, 2, shift=-0.2), _groups(60, 9)
    found = difference(LOSS, base, adapter, groups, HOW)
    names = sorted(set(groups))
    draws = np.random.default_rng(HOW.seed).integers(0, len(names), (HOW.resamples, len(names)))
    values = []
    for draw in draws:
        items = [item for chosen in draw for item in range(60) if groups[item] == names[chosen]]
        values.append(value_of(LOSS, [adapter[item] for item in items]) - value_of(LOSS, [base[item] for item in items]))
    tail = (1 - _expanded_confidence(len(names), HOW.confidence)) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    assert _interval(found).low == pytest.approx(low, rel=1e-3)
    assert _interval(found).high == pytest.approx(high, rel=1e-3)


def test_drawing_in_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments: Any = (LOSS, _scores(60, 1), _scores(60, 2), _groups(60, 9), HOW)
    whole = difference(*arguments)
    monkeypatch.setattr("codex.evaluation.paired.DRAWS_AT_ONCE", 9 * 64)
    assert difference(*arguments) == whole


def test_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    arguments = LOSS, _scores(60, 1), _scores(60, 2), _groups(60, 9)
    assert difference(*arguments, HOW) == difference(*arguments, HOW)
    assert difference(*arguments, HOW) != difference(*arguments, Resampling(500, 0.95, 4))


def test_order_of_items_does_not_matter() -> None:
    base, adapter, groups = _scores(60, 1), _scores(60, 2), _groups(60, 9)
    turned = difference(LOSS, base[::-1], adapter[::-1], groups[::-1], HOW)
    found = difference(LOSS, base, adapter, groups, HOW)
    assert _interval(turned).low == pytest.approx(_interval(found).low, rel=1e-12)
    assert turned.value == pytest.approx(found.value, rel=1e-12)


def test_items_that_repeat_within_groups_do_not_narrow_the_interval() -> None:
    base, adapter = _scores(12, 1), _scores(12, 2)
    groups = [str(number) for number in range(12)]
    once = difference(LOSS, base, adapter, groups, HOW)
    often = difference(LOSS, base * 20, adapter * 20, groups * 20, HOW)
    assert _interval(often).low == pytest.approx(_interval(once).low, rel=1e-9)
    assert _interval(often).high == pytest.approx(_interval(once).high, rel=1e-9)


def test_equal_models_differ_by_exactly_nothing() -> None:
    base = _scores(60, 1)
    assert difference(LOSS, base, base, _groups(60, 9), HOW) == Estimate(0.0, Interval(0.0, 0.0))


def test_several_terms_are_resampled_together() -> None:
    groups = _groups(60, 9)
    base, adapter, other = _scores(60, 1), _scores(60, 2), _scores(60, 3)
    kept = estimate([term(LOSS, adapter, 1.0), term(LOSS, base, -1.0)], groups, HOW)
    cancelled = estimate([term(LOSS, adapter, 1.0), term(LOSS, base, -1.0), term(LOSS, other, 1.0), term(LOSS, other, -1.0)], groups, HOW)
    assert _interval(cancelled).low == pytest.approx(_interval(kept).low, abs=1e-12)


@pytest.mark.parametrize("groups", [1, 2, 5])
def test_too_few_groups_have_no_interval_but_a_reason(groups: int) -> None:
    base, adapter = _scores(20, 1), _scores(20, 2)
    found = difference(LOSS, base, adapter, [str(number % groups) for number in range(20)], HOW)
    assert found.interval is None
    assert found.reason == f"the items are of {groups} group{'s' * (groups > 1)}, and a 95% interval needs at least 6"
    assert found.value == pytest.approx(value_of(LOSS, adapter) - value_of(LOSS, base))


def test_fewest_groups_is_where_the_range_of_all_values_would_hold_the_middle_often_enough() -> None:
    for confidence in (0.51, 0.75, 0.9, 0.95, 0.99, 0.999):
        needed = fewest_groups(confidence)
        assert 1 - 2 / 2**needed >= confidence
        assert needed == 2 or 1 - 2 / 2 ** (needed - 1) < confidence
    assert fewest_groups(0.95) == 6


@pytest.mark.parametrize("confidence", [0.51, 0.8, 0.95, 0.99, 0.9999])
def test_student_quantile_is_scipys(confidence: float) -> None:
    fewest = fewest_groups(confidence)
    for groups in (fewest, fewest + 1, fewest + 5, 50, 10_000):
        assert student_quantile(groups - 1, (1 + confidence) / 2) == pytest.approx(stats.t.ppf((1 + confidence) / 2, groups - 1), rel=2e-3)


def test_lengths_that_differ_are_a_bug() -> None:
    with pytest.raises(ValueError, match="one entry an item"):
        estimate([Term(1.0, np.ones(3), np.ones(3))], ["a", "b"], HOW)


def test_wins_losses_and_ties_are_counted_item_by_item() -> None:
    base = [ItemScore(2.0, 2, 1), ItemScore(2.0, 2, 2), ItemScore(2.0, 2, 0), ItemScore(2.0, 2, 0)]
    adapter = [ItemScore(1.0, 2, 2), ItemScore(3.0, 2, 1), ItemScore(2.0 + 1e-7, 2, 0), ItemScore(1.9, 2, 0)]
    assert wins_and_losses(LOSS, base, adapter) == WinsLosses(wins=2, losses=1, ties=1)
    assert wins_and_losses(all_metrics()["exact-match"], base, adapter) == WinsLosses(wins=1, losses=1, ties=2)


@pytest.mark.parametrize("groups", [8, 30])
def test_interval_holds_the_truth_as_often_as_it_says(groups: int) -> None:
    """400 worlds with a known difference; clusters of unequal size whose items resemble each other.

    Over 8,000 worlds it holds 0.92 at 8 groups and 0.94 at 30; the tolerance is three standard errors of 400 worlds.
    Resampling items instead of groups holds it in under half of the same worlds.
    """
    from tests.benchmarks.interval_coverage import coverage

    clustered, by_item = (coverage(groups, worlds=400, resamples=300, seed=11, cluster=cluster) for cluster in (True, False))
    error = math.sqrt(0.95 * 0.05 / 400)
    assert 0.92 - 3 * error < clustered <= 0.95 + 3 * error
    assert by_item < 0.6

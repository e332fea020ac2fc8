"""Every metric that is registered is a ratio of sums that knows which way is good."""

from __future__ import annotations

import math

import pytest

from codex.core import registry
from codex.core.protocols import ItemScore
from codex.evaluation.metric import PRIMARY, all_metrics
from codex.evaluation.paired import value_of

SCORES = [ItemScore(4.0, 4, 3), ItemScore(1.0, 1, 1), ItemScore(10.0, 5, 0)]
VALUES = {"answer-loss": 15 / 10, "token-accuracy": 4 / 10, "exact-match": 1 / 3}


def test_metrics_are_the_three_with_the_primary_first() -> None:
    assert list(all_metrics()) == ["answer-loss", "exact-match", "token-accuracy"]
    assert next(iter(all_metrics())) == PRIMARY
    assert set(all_metrics()) == set(registry.names("metric")) == set(VALUES)


@pytest.mark.parametrize("name", sorted(VALUES))
def test_metric_over_items_is_as_counted_by_hand(name: str) -> None:
    assert value_of(all_metrics()[name], SCORES) == pytest.approx(VALUES[name])


@pytest.mark.parametrize("name", sorted(VALUES))
def test_metric_calls_a_perfect_item_better_than_a_wrong_one(name: str) -> None:
    metric = all_metrics()[name]
    perfect, wrong = value_of(metric, [ItemScore(0.0, 3, 3)]), value_of(metric, [ItemScore(30.0, 3, 0)])
    assert (perfect < wrong) == (metric.better == "lower")
    assert math.isfinite(perfect)
    assert metric.title
    assert metric.decimals >= 2

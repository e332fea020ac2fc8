"""The verdict: did the model get better, by how much, how sure is that, and how much of it is only style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from codex.config.schema import EvaluationConfig
from codex.core.errors import DataError
from codex.core.protocols import ItemScore
from codex.evaluation import wording
from codex.evaluation.metric import PRIMARY, Metric, all_metrics
from codex.evaluation.paired import TIE, Estimate, Resampling, difference, estimate, term, value_of, wins_and_losses

Word = Literal["Better", "Worse", "No difference shown"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Figure(_Part):
    """A value with its interval; without one, `reason` says why."""

    value: float
    low: float | None = None
    high: float | None = None
    reason: str = ""

    @classmethod
    def of(cls, found: Estimate) -> Figure:
        """`found` in a form that can be stored."""
        interval = found.interval
        return cls(value=found.value, low=interval and interval.low, high=interval and interval.high, reason=found.reason)

    @property
    def sign(self) -> int:
        """1 or -1 when the interval lies wholly above or below 0, else 0."""
        if self.low is None or self.high is None or abs(self.value) <= TIE:
            return 0
        return (self.low > 0) - (self.high < 0)


class MetricRow(_Part):
    """One metric of base and adapter; `difference` is adapter minus base."""

    name: str
    title: str
    unit: str
    better: Literal["lower", "higher"]
    decimals: int
    base: float
    adapter: float
    difference: Figure
    wins: int
    losses: int
    ties: int

    @property
    def word(self) -> Word:
        """What this metric says of the adapter."""
        gain = -self.difference.sign if self.better == "lower" else self.difference.sign
        return "Better" if gain > 0 else "Worse" if gain < 0 else "No difference shown"


class ItemRow(_Part):
    """One item: losses are nats a token, None where they are not finite."""

    origin: str
    group: str
    tokens: int
    base_loss: float | None
    adapter_loss: float | None
    base_exact: bool
    adapter_exact: bool


class Verdict(_Part):
    """What came out of comparing an adapter with its base on the same items.

    `style` and `task` are the two parts of the primary metric's difference: what answers of other prompts would gain too, and the
    rest. `group_noun` names the groups ("prompts") where the sentence shall say how many there are. `problem` says why there are no
    numbers, when there are none.
    """

    word: Word
    sentence: str
    noun: str
    group_noun: str = ""
    items: int
    groups: int
    confidence: float
    resamples: int
    seed: int
    metrics: tuple[MetricRow, ...] = ()
    style: Figure | None = None
    task: Figure | None = None
    style_problem: str = ""
    problem: str = ""
    rows: tuple[ItemRow, ...] = ()

    @property
    def primary(self) -> MetricRow | None:
        """The metric that the word is about; None when there are no numbers."""
        return next((row for row in self.metrics if row.name == PRIMARY), None)

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Verdict:
        """The verdict that `to_json` gave."""
        return cls.model_validate(value)

    def summary(self) -> dict[str, Any]:
        """All but the items, as JSON values."""
        return self.model_dump(mode="json", exclude={"rows"})

    def numbers(self) -> dict[str, float]:
        """Every number by a name that a tracker takes: `verdict/answer-loss/difference`."""
        found: dict[str, float | None] = {"verdict/items": float(self.items), "verdict/groups": float(self.groups)}
        for row in self.metrics:
            stem = f"verdict/{row.name}"
            found |= {f"{stem}/base": row.base, f"{stem}/adapter": row.adapter, f"{stem}/difference": row.difference.value}
            found |= {f"{stem}/difference_low": row.difference.low, f"{stem}/difference_high": row.difference.high}
            found |= {f"{stem}/wins": float(row.wins), f"{stem}/losses": float(row.losses), f"{stem}/ties": float(row.ties)}
        for name, part in (("style", self.style), ("task", self.task)):
            if part is not None:
                found |= {f"verdict/{name}": part.value, f"verdict/{name}_low": part.low, f"verdict/{name}_high": part.high}
        return {name: value for name, value in found.items() if value is not None}

    def markdown(self) -> str:
        """The verdict as a short report."""
        return wording.markdown(self)


def judge(  # noqa: PLR0913 - four score lists of one kind, each by name
    *,
    base_scores: Sequence[ItemScore],
    adapter_scores: Sequence[ItemScore],
    base_shuffled: Sequence[ItemScore] | None,
    adapter_shuffled: Sequence[ItemScore] | None,
    groups: Sequence[str],
    origins: Sequence[str] | None = None,
    noun: str = "held-out examples",
    group_noun: str = "",
    settings: EvaluationConfig,
    seed: int,
) -> Verdict:
    """The verdict on an adapter from its scores and its base's on the same items.

    Args:
        base_scores: of the base, one an item.
        adapter_scores: of the adapter, on the same items in the same order.
        base_shuffled: of the base on the same prompts with the answers of other groups; None when that could not be measured.
        adapter_shuffled: of the adapter on those.
        groups: each item's group; groups are resampled.
        origins: where each item is from, for looking at it later; None numbers them.
        noun: what an item is called, in the plural.
        group_noun: what a group is called, in the plural, where the sentence shall say how many there are when there are fewer than items.
        settings: resamples and confidence.
        seed: of the resampling.

    Raises:
        DataError: there are fewer than two items.
    """
    origins = [str(number) for number in range(len(groups))] if origins is None else origins
    _check(base_scores, adapter_scores, groups, origins)
    how = Resampling(settings.resamples, settings.confidence, seed)
    common: dict[str, Any] = {
        "noun": noun,
        "group_noun": group_noun,
        "items": len(groups),
        "groups": len(set(groups)),
        "confidence": how.confidence,
        "resamples": how.resamples,
        "seed": seed,
        "rows": tuple(map(_item_row, origins, groups, base_scores, adapter_scores)),
    }
    if problem := _not_finite(base_scores, noun, "the base's"):
        return Verdict(word="No difference shown", sentence=f"No difference shown: {problem}", problem=problem, **common)
    if problem := _not_finite(adapter_scores, noun, "the adapter's"):
        return Verdict(word="Worse", sentence=f"Worse: {problem}", problem=problem, **common)
    metrics = all_metrics()
    rows = tuple(_metric_row(name, metric, base_scores, adapter_scores, groups, how) for name, metric in metrics.items())
    style, task, style_problem = _parts(metrics[PRIMARY], (base_scores, adapter_scores), (base_shuffled, adapter_shuffled), groups, how)
    primary = next(row for row in rows if row.name == PRIMARY)
    verdict = Verdict(word=primary.word, sentence="", metrics=rows, style=style, task=task, style_problem=style_problem, **common)
    return verdict.model_copy(update={"sentence": wording.sentence(verdict, primary)})


def _check(base: Sequence[ItemScore], adapter: Sequence[ItemScore], groups: Sequence[str], origins: Sequence[str]) -> None:
    _check_same_items(base, adapter, len(groups))
    if len(origins) != len(groups):
        raise ValueError(f"{len(origins)} origins and {len(groups)} groups; expected the same")
    if len(groups) < 2:
        raise DataError(
            f"there {'is 1 held-out example' if groups else 'are no held-out examples'} to judge on",
            "expected at least 2, better 50 or more",
            "Raise `data.heldout_share`, name a `data.heldout` file, or set `evaluation.judge=false`.",
        )


def _check_same_items(base: Sequence[ItemScore], adapter: Sequence[ItemScore], count: int) -> None:
    if not len(base) == len(adapter) == count:
        raise ValueError(f"{len(base)} base scores, {len(adapter)} adapter scores, {count} groups; expected the same")
    if any(before.tokens != after.tokens for before, after in zip(base, adapter, strict=True)):
        raise ValueError("base and adapter were scored on different items")
    if any(score.tokens < 1 for score in base):
        raise ValueError("an item without answer tokens was scored")


def _not_finite(scores: Sequence[ItemScore], noun: str, whose: str) -> str:
    bad = sum(not math.isfinite(score.loss_sum) for score in scores)
    return f"on {bad} of {len(scores)} {noun} {whose} loss is not a finite number" if bad else ""


def _item_row(origin: str, group: str, base: ItemScore, adapter: ItemScore) -> ItemRow:
    losses = [score.loss_sum / score.tokens if math.isfinite(score.loss_sum) else None for score in (base, adapter)]
    exact = [score.exact and loss is not None for score, loss in zip((base, adapter), losses, strict=True)]
    return ItemRow(
        origin=origin,
        group=group,
        tokens=base.tokens,
        base_loss=losses[0],
        adapter_loss=losses[1],
        base_exact=exact[0],
        adapter_exact=exact[1],
    )


def _metric_row(
    name: str, metric: Metric, base: Sequence[ItemScore], adapter: Sequence[ItemScore], groups: Sequence[str], how: Resampling
) -> MetricRow:
    counts = wins_and_losses(metric, base, adapter)
    return MetricRow(
        name=name,
        title=metric.title,
        unit=metric.unit,
        better=metric.better,
        decimals=metric.decimals,
        base=value_of(metric, base),
        adapter=value_of(metric, adapter),
        difference=Figure.of(difference(metric, base, adapter, groups, how)),
        wins=counts.wins,
        losses=counts.losses,
        ties=counts.ties,
    )


Pair = tuple[Sequence[ItemScore] | None, Sequence[ItemScore] | None]


def _parts(metric: Metric, own: Pair, shuffled: Pair, groups: Sequence[str], how: Resampling) -> tuple[Figure | None, Figure | None, str]:
    """(style, task, why there are none) of the difference, resampled together."""
    (base, adapter), (base_shuffled, adapter_shuffled) = own, shuffled
    if base is None or adapter is None or base_shuffled is None or adapter_shuffled is None:
        return None, None, "no answers of other prompts were scored"
    _check_same_items(base_shuffled, adapter_shuffled, len(groups))
    for scores, whose in ((base_shuffled, "the base's"), (adapter_shuffled, "the adapter's")):
        if problem := _not_finite(scores, "shuffled answers", whose):
            return None, None, problem
    style = [term(metric, adapter_shuffled, 1.0), term(metric, base_shuffled, -1.0)]
    rest = [term(metric, adapter_shuffled, -1.0), term(metric, base_shuffled, 1.0)]
    total = [term(metric, adapter, 1.0), term(metric, base, -1.0)]
    return Figure.of(estimate(style, groups, how)), Figure.of(estimate(total + rest, groups, how)), ""

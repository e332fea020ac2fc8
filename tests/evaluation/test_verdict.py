"""The verdict says what the scores show, how sure that is, and never more."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable
from typing import Any

import pytest

from codex.config.schema import EvaluationConfig
from codex.core.errors import DataError
from codex.core.protocols import ItemScore
from codex.evaluation.verdict import Verdict, judge

SETTINGS = EvaluationConfig.model_validate({"resamples": 400})
COUNT = 200
TOKENS = random.Random(1).choices(range(4, 20), k=COUNT)
GROUPS = [f"module{number % 25}" for number in range(COUNT)]


def _scores(loss: float, seed: int, noise: float = 0.3, correct: float = 0.2) -> list[ItemScore]:
    """Items of about `loss` nats a token, on average exactly, with noise of their own and of their group."""
    chance = random.Random(seed)
    of_group = {group: chance.gauss(0, noise) for group in sorted(set(GROUPS))}
    sums = [tokens * (chance.gauss(0, noise) + of_group[group]) for tokens, group in zip(TOKENS, GROUPS, strict=True)]
    shift = loss - sum(sums) / sum(TOKENS)
    return [ItemScore(total + tokens * shift, tokens, round(tokens * correct)) for total, tokens in zip(sums, TOKENS, strict=True)]


def _changed(scores: list[ItemScore], by: float, seed: int = 9, noise: float = 0.3) -> list[ItemScore]:
    return [
        ItemScore(old.loss_sum + new.loss_sum, old.tokens, old.correct) for old, new in zip(scores, _scores(by, seed, noise), strict=True)
    ]


def _only(names: str | tuple[str, ...], scores: list[ItemScore]) -> dict[str, Any]:
    return dict.fromkeys((names,) if isinstance(names, str) else names, scores)


def _judge(adapter_by: float, style_by: float | None = 0.0, noise: float = 0.3, **changes: Any) -> Verdict:
    base, shuffled = _scores(5.89, 2), _scores(6.5, 3)
    asked: dict[str, Any] = {
        "base_scores": base,
        "adapter_scores": _changed(base, adapter_by, noise=noise),
        "base_shuffled": None if style_by is None else shuffled,
        "adapter_shuffled": None if style_by is None else _changed(shuffled, style_by, seed=10, noise=noise),
        "groups": GROUPS,
        "noun": "held-out functions",
        "settings": SETTINGS,
        "seed": 0,
    }
    return judge(**{**asked, **changes})


def test_better_is_said_in_one_sentence_with_interval_and_style() -> None:
    verdict = _judge(-1.31, -0.4)
    row = verdict.primary
    assert row is not None
    assert row.difference.low is not None
    assert row.difference.high is not None
    low, high = (f"\u2212{-end:.2f}" for end in (row.difference.low, row.difference.high))
    assert verdict.word == "Better"
    assert verdict.sentence == f"Better: answer loss 5.89 → 4.58, \u22121.31 [{low}, {high}], 200 held-out functions; 0.40 of it is style"
    assert row.difference.low < -1.31 < row.difference.high < -1.0


@pytest.mark.parametrize(
    ("total", "style", "said"),
    [
        (-1.31, 0.0, "none of it is style"),
        (-1.31, 0.3, "none of it is style"),
        (-1.31, -0.65, "0.65 of it is style"),
        (-1.31, -1.31, "all of it may be style"),
        (-0.5, -1.3, "all of it is style"),
        (-1.31, None, "how much of it is style is unknown"),
    ],
)
def test_share_of_style_is_said_as_the_task_part_allows(total: float, style: float | None, said: str) -> None:
    verdict = _judge(total, style)
    assert verdict.word == "Better"
    assert verdict.sentence.endswith(f"; {said}")


def test_style_and_task_add_up_to_the_whole() -> None:
    verdict = _judge(-1.31, -0.4)
    assert verdict.style is not None
    assert verdict.task is not None
    assert verdict.primary is not None
    assert verdict.style.value == pytest.approx(-0.4)
    assert verdict.style.value + verdict.task.value == pytest.approx(verdict.primary.difference.value)
    assert verdict.task.low is not None
    assert verdict.task.high is not None
    assert verdict.task.low < verdict.task.value < verdict.task.high < 0


def test_worse_is_said_with_a_plus() -> None:
    verdict = _judge(0.8)
    assert verdict.word == "Worse"
    assert verdict.sentence.startswith("Worse: answer loss 5.89 → 6.69, +0.80 [+0.")
    assert verdict.sentence.endswith("200 held-out functions")


@pytest.mark.parametrize("by", [-0.01, 0.01, 0.0])
def test_no_difference_is_claimed_where_the_interval_holds_zero(by: float) -> None:
    verdict = _judge(by)
    assert verdict.word == "No difference shown"
    assert "[\u22120." in verdict.sentence
    assert ", +0." in verdict.sentence


def test_equal_scores_show_no_difference_and_only_ties() -> None:
    base = _scores(5.0, 2)
    verdict = _judge(0, adapter_scores=base, base_scores=base)
    assert verdict.sentence == "No difference shown: answer loss 5.00 → 5.00, 0.00 [0.00, 0.00], 200 held-out functions"
    assert [(row.wins, row.losses, row.ties) for row in verdict.metrics] == [(0, 0, 200)] * 3


def test_rounding_noise_below_a_millionth_is_no_difference() -> None:
    base = _scores(5.0, 2)
    shaved = [ItemScore(score.loss_sum - 1e-7 * score.tokens, score.tokens, score.correct) for score in base]
    assert _judge(0, adapter_scores=shaved, base_scores=base).word == "No difference shown"


def test_small_but_sure_difference_is_shown_with_enough_decimals() -> None:
    verdict = _judge(-0.003, noise=0.001)
    assert verdict.word == "Better"
    assert "5.890 → 5.887, \u22120.003 [\u22120.003, \u22120.00" in verdict.sentence


def test_one_group_gives_no_interval_and_no_claim() -> None:
    verdict = _judge(-3.0, groups=["all"] * COUNT)
    assert verdict.word == "No difference shown"
    assert verdict.sentence == (
        "No difference shown: answer loss 5.89 → 2.89, \u22123.00, 200 held-out functions; no interval, because the items are of 1 group, "
        "and a 95% interval needs at least 6"
    )
    assert all(row.difference.low is None and row.difference.reason for row in verdict.metrics)
    assert "none: the items are of 1 group" in verdict.markdown()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("side", "word"), [("adapter_scores", "Worse"), ("base_scores", "No difference shown")])
def test_losses_that_are_not_finite_are_said_and_give_no_number(bad: float, side: str, word: str) -> None:
    scores = [ItemScore(bad, score.tokens, score.tokens) if n in (3, 7) else score for n, score in enumerate(_scores(5.0, 2))]
    verdict = _judge(-1.0, **_only(side, scores))
    whose = side.partition("_")[0]
    assert verdict.word == word
    assert verdict.sentence == f"{word}: on 2 of 200 held-out functions the {whose}'s loss is not a finite number"
    assert verdict.metrics == ()
    assert verdict.numbers() == {"verdict/items": 200, "verdict/groups": 25}
    assert (verdict.rows[3].model_dump()[f"{whose}_loss"], verdict.rows[3].model_dump()[f"{whose}_exact"]) == (None, False)
    assert "NaN" not in json.dumps(verdict.to_json(), allow_nan=False)


def test_shuffled_losses_that_are_not_finite_leave_the_verdict_without_style() -> None:
    verdict = _judge(-1.0, adapter_shuffled=[ItemScore(math.nan, tokens, 0) for tokens in TOKENS])
    assert verdict.word == "Better"
    assert verdict.sentence.endswith("how much of it is style is unknown")
    assert verdict.style_problem == "on 200 of 200 shuffled answers the adapter's loss is not a finite number"
    assert verdict.style_problem in verdict.markdown()


@pytest.mark.parametrize("count", [0, 1])
def test_less_than_two_items_are_no_evidence(count: int) -> None:
    names = ("base_scores", "adapter_scores", "base_shuffled", "adapter_shuffled")
    with pytest.raises(DataError, match=r"expected at least 2.*data.heldout"):
        _judge(0, groups=GROUPS[:count], **_only(names, _scores(5.0, 2)[:count]))


@pytest.mark.parametrize(
    "change",
    [
        lambda scores: {"adapter_scores": scores[1:]},
        lambda scores: {"adapter_scores": scores[::-1]},
        lambda scores: {"base_shuffled": scores[1:]},
        lambda scores: {"base_shuffled": scores[::-1]},
        lambda scores: {"origins": ["one"]},
        lambda scores: {name: [ItemScore(0.0, 0, 0)] * COUNT for name in ("base_scores", "adapter_scores")},
    ],
    ids=["fewer", "other items", "fewer shuffled", "other shuffled items", "fewer origins", "no tokens"],
)
def test_scores_that_do_not_belong_together_are_a_bug(change: Callable[[list[ItemScore]], dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match=r"expected the same|different items|without answer tokens"):
        _judge(0, **change(_scores(5.0, 2)))


def test_every_metric_has_its_row_and_its_own_word() -> None:
    base = _scores(5.89, 2, correct=0.5)
    adapter = [ItemScore(score.loss_sum * 0.8, score.tokens, score.correct - 1 - number % 2) for number, score in enumerate(base)]
    verdict = _judge(0, base_scores=base, adapter_scores=adapter)
    rows = {row.name: row for row in verdict.metrics}
    assert [row.name for row in verdict.metrics] == ["answer-loss", "exact-match", "token-accuracy"]
    assert rows["answer-loss"].word == "Better" == verdict.word
    assert rows["token-accuracy"].word == "Worse"
    assert rows["exact-match"].word == "No difference shown"
    assert (rows["answer-loss"].wins, rows["answer-loss"].losses) == (200, 0)
    assert (rows["token-accuracy"].wins, rows["token-accuracy"].losses) == (0, 200)


def test_verdict_comes_back_from_json_and_keeps_each_item() -> None:
    origins = [f"lib/{number}.py" for number in range(COUNT)]
    verdict = _judge(-1.31, -0.4, origins=origins)
    again = Verdict.from_json(json.loads(json.dumps(verdict.to_json())))
    assert again == verdict
    assert [row.origin for row in again.rows] == origins
    assert again.rows[5].base_loss == pytest.approx(_scores(5.89, 2)[5].loss_sum / TOKENS[5])
    assert "rows" not in verdict.summary()
    assert verdict.summary()["sentence"] == verdict.sentence


def test_numbers_are_finite_and_named_for_a_tracker() -> None:
    numbers = _judge(-1.31, -0.4).numbers()
    for name, value in numbers.items():
        assert re.fullmatch(r"[\w./ :-]+", name)  # what MLflow allows
        assert math.isfinite(value)
    assert numbers["verdict/answer-loss/difference"] == pytest.approx(-1.31)
    assert numbers["verdict/style"] == pytest.approx(-0.4)
    assert len(numbers) == 2 + 3 * 8 + 6


def test_markdown_tells_all_parts() -> None:
    text = _judge(-1.31, -0.4).markdown()
    answer_loss = "| Answer loss (nats/token) | 5.89 | 4.58 |"
    for part in ("**Better:", answer_loss, "| Exact match |", "| style:", "| task:", "25 groups", "400 resamples"):
        assert part in text
    assert _judge(-1.31, None).markdown().count("unknown") == 2
    columns = {line.count("|") for line in text.splitlines() if line.startswith(("| A", "| E", "| T"))}
    assert columns == {10}

"""Numbers as people read them."""

from __future__ import annotations

import pytest

from codex.core import numbers


@pytest.mark.parametrize(("value", "said"), [(4.5812, "4.581"), (0.0, "0.000"), (-0.5, "−0.500"), (None, "–")])
def test_loss_has_three_decimals(value: float | None, said: str) -> None:
    assert numbers.loss(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (999, "999"),
        (9600, "9,600"),
        (9999, "9,999"),
        (10_000, "10.0k"),
        (18_400, "18.4k"),
        (999_949, "999.9k"),
        (999_960, "1.0M"),
        (4_100_000, "4.1M"),
        (8.03e9, "8.0B"),
        (2e12, "2000.0B"),
        (-5, "−5"),
        (None, "–"),
    ],
)
def test_count_is_whole_below_ten_thousand_then_short(value: float | None, said: str) -> None:
    assert numbers.count(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (2**20 - 1, "1.0 MiB"),
        (11.2 * 2**30, "11.2 GiB"),
        (5000 * 2**40, "5000.0 TiB"),
        (None, "–"),
    ],
)
def test_size_has_a_binary_unit(value: float | None, said: str) -> None:
    assert numbers.size(value) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (-3, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (372, "6 min 12 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (86399, "23 h 59 min"),
        (86400, "1 d"),
        (100 * 86400 + 7200, "100 d 2 h"),
        (None, "–"),
    ],
)
def test_duration_has_the_two_largest_units(seconds: float | None, said: str) -> None:
    assert numbers.duration(seconds) == said


@pytest.mark.parametrize(
    ("past", "said"), [(0, "now"), (-5, "now"), (42, "42 s ago"), (41 * 60 + 59, "41 min ago"), (3 * 86400, "3 d ago")]
)
def test_ago_has_the_largest_unit(past: float, said: str) -> None:
    assert numbers.ago(1000.0 - past, now=1000.0) == said


@pytest.mark.parametrize(("value", "said"), [(-1.312, "−1.31"), (0.4, "+0.40"), (0.001, "0.00"), (-0.001, "0.00"), (None, "–")])
def test_signed_has_a_true_minus_and_no_signed_zero(value: float | None, said: str) -> None:
    assert numbers.signed(value, 2) == said


@pytest.mark.parametrize(("number", "said"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs")])
def test_plural(number: int, said: str) -> None:
    assert numbers.plural(number, "run") == said

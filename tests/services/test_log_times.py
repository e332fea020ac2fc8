"""Times as people type them, in a time zone with summer time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex.core.errors import UserError
from codex.services import log_times

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 25, 0, 30, tzinfo=BERLIN).timestamp()  # still the 24th in UTC
HOUR = 3600.0


@pytest.fixture(scope="module", autouse=True)
def in_berlin() -> Iterator[None]:
    """This process lives in Berlin."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


def _berlin(*moment: int) -> float:
    return datetime(*moment, tzinfo=BERLIN).timestamp()  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("typed", "begins", "ends"),
    [
        ("today", _berlin(2026, 11, 25), _berlin(2026, 11, 26)),
        (" Yesterday ", _berlin(2026, 11, 24), _berlin(2026, 11, 25)),
        ("2026-11-01", _berlin(2026, 11, 1), _berlin(2026, 11, 2)),
        ("2026-10-25", _berlin(2026, 10, 25), _berlin(2026, 10, 25) + 25 * HOUR),
        ("2026-11-25 14:00", _berlin(2026, 11, 25, 14), _berlin(2026, 11, 25, 14)),
        ("2026-11-25T14:00:30", _berlin(2026, 11, 25, 14, 0, 30), _berlin(2026, 11, 25, 14, 0, 30)),
        ("2026-11-25T14:00Z", datetime(2026, 11, 25, 14, tzinfo=UTC).timestamp(), datetime(2026, 11, 25, 14, tzinfo=UTC).timestamp()),
        ("now", NOW, NOW),
        ("3d", NOW - 72 * HOUR, NOW - 72 * HOUR),
        ("1.5h", NOW - 1.5 * HOUR, NOW - 1.5 * HOUR),
        ("30 min ago", NOW - HOUR / 2, NOW - HOUR / 2),
        ("2w", NOW - 336 * HOUR, NOW - 336 * HOUR),
        ("45s", NOW - 45, NOW - 45),
    ],
)
def test_since_and_until_a_time_are_its_two_ends(typed: str, begins: float, ends: float) -> None:
    assert log_times.since("--since", typed, now=NOW) == begins
    assert log_times.until("--until", typed, now=NOW) == ends


@given(st.dates(date(1980, 1, 1), date(2060, 1, 1)))
def test_until_a_day_is_since_the_next(day: date) -> None:
    after = (day + timedelta(days=1)).isoformat()
    assert log_times.until("--until", day.isoformat()) == log_times.since("--since", after) == _berlin(*map(int, after.split("-")))


@pytest.mark.parametrize(
    "typed",
    [
        *("", " ", "2026-13-01", "2026-02-30", "25.11.2026", "3", "3m", "-3d", "d", "1e9d", "tomorrow", "9999-12-31"),
        *("9" * 400 + "d", "\x1b[31m", "٣d"),
    ],
)
def test_until_what_is_no_time_is_refused_with_an_example(typed: str) -> None:
    with pytest.raises(UserError) as refused:
        log_times.until("--until", typed, now=NOW)
    problem = refused.value.problems[0]
    assert problem.what.startswith("`--until` is ")
    assert len(problem.what) < 100
    assert "2026-11-25" in problem.expected
    assert problem.fix == "For example `--until 3d`."


def test_before_takes_an_age_or_a_day_that_is_over() -> None:
    assert log_times.before("--older-than", "90d", now=NOW) == NOW - 90 * 24 * HOUR
    assert log_times.before("--older-than", "2026-08-01", now=NOW) == _berlin(2026, 8, 1)
    with pytest.raises(UserError, match="which is to come; expected a time that is over"):
        log_times.before("--older-than", "2026-11-26", now=NOW)

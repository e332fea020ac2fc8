"""Answers are shuffled across groups: each once, none within its group, and by the seed alone."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex.core.errors import DataError
from codex.evaluation.style import shuffled_partners


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from("abcdefg"), min_size=2, max_size=60), st.integers(0, 5))
def test_every_answer_is_used_once_and_never_in_its_own_group(groups: list[str], seed: int) -> None:
    if 2 * max(Counter(groups).values()) > len(groups):
        with pytest.raises(DataError, match="more groups"):
            shuffled_partners(groups, seed)
        return
    partners = shuffled_partners(groups, seed)
    assert sorted(partners) == list(range(len(groups)))
    assert all(groups[item] != groups[partner] for item, partner in enumerate(partners))


def test_group_that_holds_exactly_half_is_still_shuffled() -> None:
    groups = ["a"] * 30 + [str(number) for number in range(30)]
    assert all(groups[item] != groups[partner] for item, partner in enumerate(shuffled_partners(groups, 1)))


def test_each_item_its_own_group_is_a_derangement() -> None:
    assert all(item != partner for item, partner in enumerate(shuffled_partners([str(n) for n in range(100)], 0)))
    assert shuffled_partners(["a", "b"], 0) == [1, 0]


def test_no_items_have_no_partners() -> None:
    assert shuffled_partners([], 0) == []


def test_seed_alone_decides_also_in_another_process() -> None:
    groups = [f"m{number % 13}" for number in range(80)]
    first = shuffled_partners(groups, 4)
    random.seed(99)
    assert shuffled_partners(groups, 4) == first
    assert shuffled_partners(groups, 5) != first
    program = f"from codex.evaluation.style import shuffled_partners; print(shuffled_partners({groups!r}, 4))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == str(first)


def test_groups_are_mixed_not_tied_to_one_other() -> None:
    """With 10 groups of 20, a pairing at random gives a group answers of all 9 others (fewer than 6 once in 10^9)."""
    groups = [f"g{number // 20}" for number in range(200)]
    for seed in range(5):
        partners = shuffled_partners(groups, seed)
        for group in set(groups):
            givers = {groups[partners[item]] for item in range(200) if groups[item] == group}
            assert len(givers) >= 6


def test_every_partner_is_about_equally_likely() -> None:
    groups = list("aabbcc")
    counts = Counter((item, partner) for seed in range(3000) for item, partner in enumerate(shuffled_partners(groups, seed)))
    assert len(counts) == 24
    assert all(0.22 < count / 3000 < 0.28 for count in counts.values()), counts

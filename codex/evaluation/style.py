"""The control for style: would the model have got as much better at answers that are not the prompt's own?

Each prompt gets the answer of an example of another group. What is gained on these answers is their form, their words and their
length; only what is gained beyond that has to do with the prompt.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from codex.core.errors import DataError

SWAPS_PER_ITEM = 10


def shuffled_partners(groups: Sequence[str], seed: int) -> list[int]:
    """For each item the number of the item whose answer it gets: one of another group, and each answer once.

    Args:
        groups: each item's group.
        seed: of the choice.

    Raises:
        DataError: more than half of the items are of one group, so there is no such choice.
    """
    count = len(groups)
    largest, most = Counter(groups).most_common(1)[0] if groups else ("", 0)
    if 2 * most > count:
        raise DataError(
            f"{most} of {count} held-out examples are of one group, {largest!r}",
            "expected at most half, so that each prompt can get the answer of another group",
            "Hold out examples of more groups, judge more of them (`evaluation.examples`), or set `evaluation.judge=false`.",
        )
    chance = random.Random(seed)
    partners = _rotation(groups, most, chance)
    _mix(partners, groups, chance)
    return partners


def _rotation(groups: Sequence[str], most: int, chance: random.Random) -> list[int]:
    """A first valid choice: with groups side by side, a step of at least the largest and at most all others leaves every group."""
    ranks = {group: chance.random() for group in sorted(set(groups))}
    order = list(range(len(groups)))
    chance.shuffle(order)
    order.sort(key=lambda item: (ranks[groups[item]], groups[item]))
    step = chance.randint(most, len(groups) - most) if groups else 0
    partners = [0] * len(groups)
    for place, item in enumerate(order):
        partners[item] = order[(place + step) % len(order)]
    return partners


def _mix(partners: list[int], groups: Sequence[str], chance: random.Random) -> None:
    """Random swaps that keep the choice valid, so that no group is tied to one other."""
    for _ in range(SWAPS_PER_ITEM * len(partners)):
        one, other = chance.randrange(len(partners)), chance.randrange(len(partners))
        if groups[partners[other]] != groups[one] and groups[partners[one]] != groups[other]:
            partners[one], partners[other] = partners[other], partners[one]

"""How often 95% intervals of a clustered difference hold the truth: ours, the plain percentile interval, BCa, and items resampled alone.

`python -m tests.benchmarks.interval_coverage --json`
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from codex.evaluation.paired import Resampling, Term, estimate

TRUTH = -0.5
CONFIDENCE = 0.95


@dataclass(frozen=True)
class World:
    """Items of clusters: numerators of the difference's two ratios, tokens, and each item's group."""

    base: Any
    adapter: Any
    tokens: Any
    groups: list[str]


def world(groups: int, random: np.random.Generator) -> World:
    """One draw of a population whose loss falls by exactly 0.5 nats a token, by more in some clusters than in others."""
    sizes = random.geometric(0.15, groups)
    group_of = np.repeat(np.arange(groups), sizes)
    tokens = 1 + random.poisson(10, len(group_of)).astype(np.float64)
    level = 4 + random.normal(size=groups)[group_of]
    gain = TRUTH + 0.5 * random.normal(size=groups)[group_of]
    noise = np.sqrt(tokens)
    base = tokens * level + noise * random.normal(size=len(tokens))
    return World(base, base + tokens * gain + 0.5 * noise * random.normal(size=len(tokens)), tokens, [str(group) for group in group_of])


def coverage(groups: int, *, worlds: int, resamples: int, seed: int, cluster: bool = True) -> float:
    """The share of `worlds` whose interval holds the truth; without `cluster` each item is taken for a group of its own."""
    random = np.random.default_rng(seed)
    held = 0
    for number in range(worlds):
        drawn = world(groups, random)
        names = drawn.groups if cluster else [str(item) for item in range(len(drawn.groups))]
        terms = [Term(1.0, drawn.adapter, drawn.tokens), Term(-1.0, drawn.base, drawn.tokens)]
        interval = estimate(terms, names, Resampling(resamples, CONFIDENCE, number)).interval
        assert interval is not None
        held += not interval.excludes(TRUTH)
    return held / worlds


def scipy_coverage(groups: int, method: Any, *, worlds: int, resamples: int, seed: int) -> float:
    """The same for scipy's bootstrap of the groups' sums."""
    random = np.random.default_rng(seed)
    held = 0
    for number in range(worlds):
        drawn = world(groups, random)
        group_of = np.unique(drawn.groups, return_inverse=True)[1]
        change, tokens = (np.bincount(group_of, weights=part) for part in (drawn.adapter - drawn.base, drawn.tokens))
        interval = stats.bootstrap(
            (change, tokens), lambda a, b, axis=-1: a.sum(axis) / b.sum(axis), paired=True, vectorized=True,
            n_resamples=resamples, method=method, confidence_level=CONFIDENCE, rng=np.random.default_rng(number),
        ).confidence_interval  # fmt: skip
        held += interval.low <= TRUTH <= interval.high
    return held / worlds


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worlds", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=1000)
    asked = parser.parse_args()
    started = time.process_time()
    settings = {"worlds": asked.worlds, "resamples": asked.resamples, "seed": 7}
    figures = {
        f"{groups}_groups": {
            "expanded_percentile": coverage(groups, **settings),
            "percentile": scipy_coverage(groups, "percentile", **settings),
            "bca": scipy_coverage(groups, "BCa", **settings),
            "items_resampled": coverage(groups, cluster=False, **settings),
        }
        for groups in (6, 8, 12, 30, 100)
    }
    print(
        json.dumps({"benchmark": "interval_coverage", "figures": figures, "settings": settings, "seconds": time.process_time() - started})
    )


if __name__ == "__main__":
    main()

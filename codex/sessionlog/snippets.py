"""The few words of an event that a list of hits shows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from codex.sessionlog.text import words_of

SNIPPET_CHARACTERS: Final = 160


def snippet(content: str, words: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The stretch of `content` with most of `words`, on one line, and where they are in it."""
    wanted = set(words_of(words))
    spots = [(found.start(), found.end()) for found in re.finditer(r"[^\W_]+", content) if wanted.intersection(words_of(found[0]))]
    if not spots:
        begins = sorted(wanted, key=len)[-1:]
        spots = [
            (found.start(), found.end())
            for found in re.finditer(r"[^\W_]+", content)
            if any(word.startswith(begins[0]) for word in words_of(found[0]))
        ]
    start = _best_start(spots)
    end = min(len(content), start + SNIPPET_CHARACTERS)
    stretch = re.sub(r"\s", " ", content[start:end])
    before, after = ("…" if start else ""), ("…" if end < len(content) else "")
    marks = tuple((a - start + len(before), b - start + len(before)) for a, b in spots if a >= start and b <= end)
    return before + stretch + after, marks


def _best_start(spots: Sequence[tuple[int, int]]) -> int:
    """Where a stretch begins that holds most spots, with a little before the first."""
    if not spots:
        return 0
    counts = [sum(1 for a, _ in spots[at : at + 50] if a < start + SNIPPET_CHARACTERS - 30) for at, (start, _) in enumerate(spots[:500])]
    first = spots[counts.index(max(counts))][0]
    return max(0, first - 30)

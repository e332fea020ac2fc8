"""The app's style sheets as a list of selectors, each as simple as it gets, so that a test can ask whether anything is meant by it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import codex_ui

STATIC = Path(codex_ui.__file__).parent / "static"
STATES = r":(?:hover|focus-visible|focus-within|focus|disabled|checked)\b|::[\w-]+"
"""What a person or a moment adds to an element; the element is there without."""


def sheets() -> dict[str, str]:
    """Each style sheet without its comments, by name."""
    return {path.name: re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL) for path in sorted(STATIC.glob("*.css"))}


def rules(css: str, media: str = "") -> Iterator[tuple[str, str, str]]:
    """Every rule as its media query, its selectors and its body."""
    at = 0
    while (opened := css.find("{", at)) >= 0:
        closed = _closing(css, opened, "{}")
        head, body = css[at:opened].strip(), css[opened + 1 : closed]
        if head.startswith("@media"):
            yield from rules(body, head)
        elif not head.startswith("@"):
            yield media, head, body
        at = closed + 1


def selectors() -> set[str]:
    """Every selector of every sheet: lists taken apart, also those in `:is()`, without the states of an element."""
    found = {one for css in sheets().values() for _, head, _ in rules(css) for part in _split(head) for one in _expanded(part)}
    return {plain for one in found if (plain := re.sub(STATES, "", one).strip())}


def _closing(text: str, opened: int, pair: str) -> int:
    depth = 0
    for at in range(opened, len(text)):
        depth += (text[at] == pair[0]) - (text[at] == pair[1])
        if depth == 0:
            return at
    raise ValueError(f"never closed: {text[opened : opened + 60]!r}")


def _split(text: str) -> list[str]:
    """A list of selectors taken apart at its outer commas."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _expanded(selector: str) -> Iterator[str]:
    """A selector with `:is(a, b)` as one with a and one with b."""
    found = re.search(r":(?:is|where)\(", selector)
    if found is None:
        yield selector
        return
    closed = _closing(selector, found.end() - 1, "()")
    for one in _split(selector[found.end() : closed]):
        before, after = selector[: found.start()], selector[closed + 1 :]
        # `x:is(div)` is `div` only where nothing stands before it; else a type goes to the front of its part.
        part = re.search(r"[^\s>+~(]*$", before)
        assert part is not None
        yield from _expanded(before[: part.start()] + (one + part[0] if part[0] and one[:1].isalpha() else part[0] + one) + after)

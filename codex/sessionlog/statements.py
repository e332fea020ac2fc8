"""Finds statements that change something where DuckDB sees a SELECT or an EXPLAIN.

DuckDB's kinds of statement go by the outermost one: `with x as (copy …) select …` is a SELECT to it, and `explain analyze copy …`, which
copies, an EXPLAIN. This looks at the words, by DuckDB's own tokens, so neither comments nor strings nor quoted names deceive it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

_ASKING = frozenset(
    {"select", "with", "from", "values", "table", "describe", "desc", "show", "summarize"}
    | {"pivot", "pivot_wider", "pivot_longer", "unpivot"}
)
_CHANGING = frozenset({"copy", "insert", "update", "delete", "merge", "truncate", "create", "drop", "alter", "attach"})
_BEFORE = frozenset({"explain", "analyze", "(", ";"})
_WORD = re.compile(rb"\w+")


def change_in(query: str) -> str | None:
    """What in `query` would not only ask, as a phrase: "a part of it begins with COPY"; None when nothing."""
    words = _words(query)
    begin = _beginning(words)
    if begin < len(words) and words[begin] and words[begin] not in _ASKING:
        return f"it begins with {words[begin].upper()}"
    after_as = (third for first, second, third in zip(words, words[1:], words[2:], strict=False) if second == "(" and first in _BODY)
    after_ctes = (second for first, second in pairwise(words) if first == ")")
    part = next((word for word in (*after_as, *after_ctes) if word in _CHANGING), None)
    return f"a part of it begins with {part.upper()}" if part else None


_BODY = frozenset({"as", "materialized"})


def _words(query: str) -> list[str]:
    """Keywords in lower case and single operators; an empty text for each name, number or string; no comments."""
    import duckdb

    raw = query.encode()
    tokens = [(at, str(kind).rpartition(".")[2]) for at, kind in duckdb.tokenize(query)]
    return [_word(raw, at, kind) for at, kind in tokens if kind != "comment"]


def _word(raw: bytes, at: int, kind: str) -> str:
    if kind == "operator":
        return raw[at : at + 1].decode(errors="replace")
    found = _WORD.match(raw, at) if kind == "keyword" else None
    return found.group().decode().lower() if found else ""


def _beginning(words: Sequence[str]) -> int:
    """Where the statement begins: the one that is explained, in an EXPLAIN."""
    at = 0
    while at < len(words) and words[at] in _BEFORE:
        explains = words[at] in ("explain", "analyze")
        at += 1
        if explains and words[at : at + 1] == ["("] and not set(words[at + 1 : at + 2]) & (_ASKING | {"("}):
            at = words.index(")", at) + 1 if ")" in words[at:] else len(words)  # options: `explain (analyze, format json)`
    return at

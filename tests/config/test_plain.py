"""Text without quotes, and YAML that reads back the same."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from codex.config.plain import dump, load, plain

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates too: they are how Python holds bytes that are no UTF-8
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcdefgh_", min_size=1), inner, max_size=4)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("~", None), ("null", None), ("true", True), ("Yes", True), ("OFF", False), ("no", False),
        ("0", 0), ("-12", -12), ("+3", 3),
        ("010", 10), ("1_000", 1000), ("2e-4", 2e-4), ("1E3", 1000.0), (".5", 0.5), ("5.", 5.0), ("-1.5e+2", -150.0), ("1:30", "1:30"),
        ("0x10", "0x10"), ("1__0", "1__0"), ("1_", "1_"), ("e5", "e5"), (".", "."), ("-", "-"),
        ("1 2", "1 2"), ("2026-11-23", "2026-11-23"),
        ("y", "y"), ("none", "none"), (" 7 ", 7), ("٣", "٣"), ("9" * 5000, "9" * 5000), (".inf", float("inf")), ("-inf", -float("inf")),
    ],
)  # fmt: skip
def test_plain_reads_what_people_mean(text: str, value: Any) -> None:
    found = plain(text)
    assert found == value
    assert type(found) is type(value)


@settings(max_examples=120, deadline=None)
@given(st.dictionaries(st.text("abcdefgh_", min_size=1).filter(lambda key: plain(key) == key), TREES, max_size=5))
def test_dump_then_load_gives_the_same(value: dict[str, Any]) -> None:
    text = dump(value)
    assert load(text) == value
    text.encode()


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_dumped_text_is_text_to_any_other_reader_too(text: str) -> None:
    """PyYAML's own reader, with YAML 1.1's rules, is the oracle."""
    assert yaml.safe_load(dump({"text": text})) == {"text": text}

"""Which small parts become one."""

from __future__ import annotations

from pathlib import Path

import pytest

from codex.sessionlog import parts
from codex.sessionlog.manifest import Part


def part(name: str, size: int, at: float) -> Part:
    return Part(name=name, size=size, modified=0, sha256="", day="2026-11-25", rows=1, first=at, last=at, schema_version=2)


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ([10, 30, 10, 10, 10], ["0234"]),  # the large one would fit, and be written again and again
        ([20, 20, 20, 20, 20, 20, 20], ["01234"]),  # a hundred at once, and what is left is too few
        ([25, 25, 25], []),
        ([25] * 8, ["0123", "4567"]),
    ],
)
def test_parts_that_are_merged_are_small_and_fit_together(sizes: list[int], groups: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import duckdb

    monkeypatch.setattr(parts, "uncompressed_bytes", lambda _connection, _folder, part: part.size)
    given = [part(str(at), size, at) for at, size in enumerate(sizes)]
    found = parts.mergeable(duckdb.connect(), Path(), given[::-1], least=4, limit=100)
    assert ["".join(each.name for each in group) for group in found] == groups

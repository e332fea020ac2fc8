"""The columns of the log, and what became of them from version to version.

A version is written into the name of each segment and into each part. What an older version wrote stays readable for ever:
`MIGRATIONS` says, in order and never changed, what a newer one added. `tests/sessionlog/samples` holds a log of each version.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from codex.core.errors import WorkspaceError

_VERSION_IN_NAME = re.compile(r"\.v(\d+)\.ndjson$")


@dataclass(frozen=True)
class Migration:
    """What one version added to the one before.

    Args:
        version: the version that it leads to.
        name: what it is called.
        added: new columns, as name → the SQL expression that stands for them in older rows.
    """

    version: int
    name: str
    added: dict[str, str]


MIGRATIONS: Final = (
    Migration(1, "first form", {}),
    Migration(2, "redacted secrets are counted", {"redacted": "0::bigint"}),
)
VERSION: Final = MIGRATIONS[-1].version

FRAME_TYPES: Final = {
    "session": "varchar",
    "seq": "bigint",
    "ts": "double",
    "role": "varchar",
    "kind": "varchar",
    "content": "varchar",
    "attributes": "json",
    "tool": "varchar",
    "model": "varchar",
    "latency_ms": "double",
    "tokens_in": "bigint",
    "tokens_out": "bigint",
    "run_id": "varchar",
    "step": "bigint",
    "loss": "double",
    "redacted": "bigint",
}
"""The keys of a frame, as DuckDB reads them."""

STORED: Final = tuple("time" if name == "ts" else name for name in FRAME_TYPES)
"""The columns of a part: those of a frame, with `time` (a UTC timestamp, to the microsecond) for `ts`; and `day`, its date."""

EVENTS: Final = (*FRAME_TYPES, "time", "day")
"""The columns of the view `events`."""

INSTANT: Final = "make_timestamp(floor(ts * 1e6 + 0.5)::bigint)"
"""A frame's `ts` as a timestamp: the same sum as `clock.microseconds`."""

NAME_SUFFIX: Final = f".v{VERSION}.ndjson"


def version_of(segment: str) -> int:
    """The version that a segment of this name was written by; the first did not say so."""
    found = _VERSION_IN_NAME.search(segment)
    return int(found[1]) if found else 1


def readable(version: int) -> bool:
    """Whether this program knows that version."""
    return 1 <= version <= VERSION


def in_older(version: int) -> dict[str, str]:
    """The columns that rows of `version` lack, each with the expression that stands for it."""
    return {name: expression for each in MIGRATIONS if each.version > version for name, expression in each.added.items()}


def nothing(types: Mapping[str, str]) -> str:
    """SQL for a table without rows.

    Args:
        types: its columns, as name → type.
    """
    return "(select " + ", ".join(f"null::{kind} as {name}" for name, kind in types.items()) + " where false)"


def newer(name: str, known: int = VERSION) -> WorkspaceError:
    """What is said of a file that a newer Codex wrote, when this one knows versions up to `known`."""
    return WorkspaceError(
        f"{name!r} of the session log was written by a newer Codex",
        f"expected version {known} or older",
        "Update Codex, or name another workspace: `--workspace DIR`.",
    )

"""The session log: append-only segments that survive kill -9, compacted into sorted parts; readers that lock nobody out.

The names are given lazily: a process that asks one query imports neither compaction nor what takes events in. (No `from __future__
import annotations` here: it would hide the module of that name.)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codex.sessionlog.annotations import Annotation
    from codex.sessionlog.compactor import Compacted
    from codex.sessionlog.frames import Damage
    from codex.sessionlog.ingest import Ingested
    from codex.sessionlog.locks import CompactorBusy, SessionBusy
    from codex.sessionlog.log import SessionLog
    from codex.sessionlog.lookup import Hit, SessionInfo
    from codex.sessionlog.purge import Purged
    from codex.sessionlog.reader import LogReport
    from codex.sessionlog.selection import Selection
    from codex.sessionlog.session import Session

_WHERE = {
    "Annotation": "annotations",
    "Compacted": "compactor",
    "CompactorBusy": "locks",
    "Damage": "frames",
    "Hit": "lookup",
    "Ingested": "ingest",
    "LogReport": "reader",
    "Purged": "purge",
    "Selection": "selection",
    "Session": "session",
    "SessionBusy": "locks",
    "SessionInfo": "lookup",
    "SessionLog": "log",
}

__all__ = [
    "Annotation",
    "Compacted",
    "CompactorBusy",
    "Damage",
    "Hit",
    "Ingested",
    "LogReport",
    "Purged",
    "Selection",
    "Session",
    "SessionBusy",
    "SessionInfo",
    "SessionLog",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

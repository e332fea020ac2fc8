"""The session log: append-only segments that survive kill -9, compacted into sorted parts; readers that lock nobody out."""

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

"""The session log in the formats of others: SQLite, NDJSON, and OpenTelemetry's spans."""

from codex.sessionlog.interchange import ndjson, otlp, sqlite
from codex.sessionlog.interchange.otlp import Exported
from codex.sessionlog.interchange.rows import ROLES

__all__ = ["ROLES", "Exported", "ndjson", "otlp", "sqlite"]

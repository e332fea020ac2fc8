"""Redaction before disk: what goes into the session log holds no secret.

Known shapes (`shapes`), and what stands after a key-like name and looks drawn by chance (`names`), by the rules of a workspace
(`rules`), are replaced by `[redacted:kind]` and counted (`redactor`).
"""

from codex.sessionlog.redaction.redactor import Redactor, load_redactor
from codex.sessionlog.redaction.rules import FILE, KINDS, RedactionRules

__all__ = ["FILE", "KINDS", "RedactionRules", "Redactor", "load_redactor"]

"""The version of Codex."""

VERSION = "0.1.0"

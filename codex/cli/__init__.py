"""The command line: `codex-ml`."""

from codex.cli.app import main

__all__ = ["main"]

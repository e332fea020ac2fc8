"""Errors that a person can act on.

CodexError                     anything that Codex raises on purpose
└── UserError                  the person can mend it: value, expectation, fix
    ├── ConfigError            one or more problems in a run's configuration
    ├── DataError              a data set cannot be used as it is
    ├── ModelError             a model cannot be used as it is
    ├── RunError               a run cannot do what was asked of it
    ├── WorkspaceError         the workspace's folder cannot be used
    └── MissingExtra           an optional package is not installed
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class CodexError(Exception):
    """Base of all errors that Codex raises on purpose."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, in the order in which it is said: value, expectation, fix.

    Args:
        what: the value and where it stands, the value with `!r`: "`method.rank` is 0".
        expected: what would be right: "expected 1 to 512".
        fix: what to type or do: "Set `method.rank=16`.".
        where: where the value came from: "recipes/qlora.yaml:12", "override `method.rank=0`".
    """

    what: str
    expected: str
    fix: str
    where: str | None = None

    def __str__(self) -> str:
        origin = f" ({self.where})" if self.where else ""
        return f"{self.what}{origin}; {self.expected.rstrip('.')}. {self.fix}"


class UserError(CodexError):
    """An error that the person can mend; faces show it without a traceback.

    Args:
        what: the value and where it stands.
        expected: what would be right.
        fix: what to type or do.
    """

    def __init__(self, what: str, expected: str, fix: str, where: str | None = None) -> None:
        self.problems: tuple[Problem, ...] = (Problem(what, expected, fix, where),)
        super().__init__(str(self.problems[0]))


class ConfigError(UserError):
    """All problems of one configuration, at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        if not problems:
            raise ValueError("ConfigError needs at least one problem")
        Exception.__init__(self, "\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class DataError(UserError):
    """A data set cannot be used as it is."""

    @classmethod
    def of(cls, problems: Sequence[Problem]) -> DataError:
        """Several problems of one data set, at once."""
        first = problems[0]
        error = cls(first.what, first.expected, first.fix, first.where)
        error.problems = tuple(problems)
        error.args = ("\n".join(str(problem) for problem in problems),)
        return error


class ModelError(UserError):
    """A model cannot be used as it is."""


class RunError(UserError):
    """A run cannot do what was asked of it."""


class WorkspaceError(UserError):
    """The workspace's folder cannot be used."""


class MissingExtra(UserError):
    """An optional package is not installed.

    Args:
        package: what would be imported.
        extra: the extra of codex-ml that brings it.
        purpose: what it is needed for, as a phrase: "MLflow tracking".
    """

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{package!r} is not installed",
            f"{purpose} needs it",
            f"Install it: `pip install 'codex-ml[{extra}]'`.",
        )

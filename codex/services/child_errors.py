"""What can go wrong with a process beside this one, and how a person's errors come across from it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from codex.core import errors
from codex.core.errors import CodexError, Problem, UserError

SHOWN_LINES = 3


class ChildFailed(CodexError):
    """A request broke on something that nobody can mend by asking differently; the process lives on.

    Args:
        name: the process, as people call it.
        sentence: what went wrong.
        lines: the end of the traceback.
    """

    def __init__(self, name: str, sentence: str, lines: tuple[str, ...] = ()) -> None:
        self.sentence = sentence
        self.lines = lines
        super().__init__("\n".join([f"{name} could not do it: {sentence}", *lines[-SHOWN_LINES:]]))


class ChildDied(CodexError):
    """The process ended before it had answered.

    Args:
        name: the process, as people call it.
        why: as a phrase: "killed by signal 9 (SIGKILL)", "out of memory", "exit code 3".
        lines: the last lines that it wrote.
        began: whether it may have begun to work on the request.
    """

    def __init__(self, name: str, why: str, lines: tuple[str, ...] = (), *, began: bool = True) -> None:
        self.why = why
        self.lines = lines
        self.began = began
        shown = lines[-SHOWN_LINES:] if why.startswith("exit code") else ()
        super().__init__("\n".join([f"{name} ended: {why}.", *shown]))


def described(error: UserError) -> dict[str, Any]:
    """What `user_error` makes the error of again; one of a class of another module becomes its nearest base in `core.errors`."""
    kind = next(each.__name__ for each in type(error).__mro__ if each.__module__ == errors.__name__)
    return {"kind": kind, "text": str(error), "problems": [asdict(problem) for problem in error.problems]}


def user_error(kind: str, text: str, problems: list[dict[str, str]]) -> UserError:
    """The error that `described` described."""
    error_class: type[UserError] = getattr(errors, kind)
    error = error_class.__new__(error_class)  # each class has a constructor of its own; these two are what makes the error
    error.problems = tuple(Problem(**problem) for problem in problems)
    error.args = (text,)
    return error

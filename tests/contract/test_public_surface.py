"""The names that `import codex` promises."""

from __future__ import annotations

import inspect

import pytest

import codex

PROMISED = ["CodexError", "Event", "RunHandle", "Selection", "SessionLog", "UserError", "Workspace", "resume", "run", "runs", "train"]


def test_public_names_are_exactly_those_promised() -> None:
    assert sorted(codex.__all__) == PROMISED
    assert set(PROMISED) <= set(dir(codex))


@pytest.mark.parametrize("name", PROMISED)
def test_public_name_is_there_and_says_what_it_is(name: str) -> None:
    value = getattr(codex, name)
    first = (inspect.getdoc(value) or "").partition("\n")[0]
    assert first.endswith((".", ":")), f"{name}: {first!r}"


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'nonsense'"):
        _ = codex.nonsense  # pyright: ignore[reportAttributeAccessIssue]


def test_runs_stays_the_function_though_a_package_is_called_so() -> None:
    from codex.runs.store import RunStore

    assert inspect.isfunction(codex.runs)
    assert RunStore.__module__ == "codex.runs.store"

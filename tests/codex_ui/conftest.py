"""A workspace with runs in every state, and an app's context over it; no browser."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from codex.core.paths import Workspace
from codex_ui.address import Address
from codex_ui.context import AppContext
from codex_ui.page import all_pages
from codex_ui.serve import QUIET
from tests.browser.workspaces import full_workspace


@pytest.fixture(scope="session", autouse=True)
def gradio_once() -> None:
    """Gradio as the app imports it; it lets go of event loops without closing them, which must not fail some later test."""
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patched:
        warnings.simplefilter("ignore")
        for name, value in QUIET.items():
            patched.setenv(name, value)
        import codex_ui.pages_build  # noqa: F401

        all_pages()
        let_go_of_loops()


def let_go_of_loops() -> None:
    """Close what Gradio left as this thread's event loop, and collect the others."""
    with suppress(RuntimeError):  # there is none
        asyncio.get_event_loop_policy().get_event_loop().close()
    asyncio.set_event_loop(None)
    gc.collect()


@pytest.fixture
def gradio_leftovers() -> Iterator[None]:
    """For a test that builds with Gradio: what it leaves goes here, and not in the middle of another test."""
    yield
    let_go_of_loops()


@pytest.fixture
def context(tmp_path: Path) -> Iterator[AppContext]:
    """The context of an app over an empty workspace."""
    made = AppContext(Workspace(tmp_path / "workspace").create(), Address())
    yield made
    made.close()


@pytest.fixture
def ids(context: AppContext) -> dict[str, str]:
    """The runs of a workspace that has one in every state."""
    return full_workspace(context.workspace)

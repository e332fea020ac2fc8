"""A page is there by its file being there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from codex_ui import pages
from codex_ui.page import all_pages
from codex_ui.shell import shell

ONE_MORE = """
from codex_ui.page import Page
PAGE = Page("{title}", "{path}", {order}, lambda context, blocks: None, group="Extra", icon="runs")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose pages are found beside our own."""
    monkeypatch.setattr(pages, "__path__", [*pages.__path__, str(tmp_path)])
    all_pages.cache_clear()
    yield tmp_path
    all_pages.cache_clear()
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(f"codex_ui.pages.{path.stem}", None)


def test_pages_are_found_in_the_order_of_the_navigation() -> None:
    assert [(page.title, page.path) for page in all_pages()] == [
        ("Home", "/"), ("Train", "/train"), ("Runs", "/runs"), ("Run", "/run"), ("Chat", "/chat"), ("Sessions", "/sessions"),
    ]  # fmt: skip
    assert [page.name for page in all_pages()] == ["home", "train", "runs", "run", "chat", "sessions"]


def test_one_more_file_is_one_more_page_in_the_navigation(folder: Path) -> None:
    (folder / "extra.py").write_text(ONE_MORE.format(title="Ext<ra", path="/extra", order=25))
    (folder / "_hidden.py").write_text("raise RuntimeError")
    assert [page.name for page in all_pages()] == ["home", "train", "extra", "runs", "run", "chat", "sessions"]
    html = shell(all_pages()[2])
    assert html.count('<a href="/extra" aria-current="page">') == 2
    assert "Ext&lt;ra" in html


def test_two_pages_of_one_path_are_an_error_that_names_it(folder: Path) -> None:
    (folder / "twin.py").write_text(ONE_MORE.format(title="Twin", path="/runs", order=99))
    with pytest.raises(ValueError, match="/runs"):
        all_pages()


def test_shell_marks_the_page_that_is_open_and_the_one_that_a_run_is_under() -> None:
    by_name = {page.name: page for page in all_pages()}
    assert '<a href="/runs" aria-current="page">' in shell(by_name["run"])
    assert 'href="/run"' not in shell(by_name["home"])

"""What is shown is escaped, whatever it is."""

from __future__ import annotations

import re

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from codex_ui.render import HERE, render, stamp, ticks

SCRIPT = '<script>alert("1")</script>'


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("Set `a.b=1`.", "Set <code>a.b=1</code>."),
        ("no code", "no code"),
        ("one ` alone", "one ` alone"),
        ("`a` and `b", "`a` and `b"),
        ("``", "<code></code>"),
        ("`<b>` & <i>", "<code>&lt;b&gt;</code> &amp; &lt;i&gt;"),
        ("<b> `", "&lt;b&gt; `"),
    ],
)
def test_ticks_become_code_and_all_else_is_escaped(text: str, html: str) -> None:
    assert ticks(text) == Markup(html)


def test_templates_escape_what_they_are_given() -> None:
    html = render("note.html", text=SCRIPT)
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    code = render("problems.html", title=SCRIPT, problems=[f"`{SCRIPT}` is wrong"])
    assert "<script>" not in code


def test_only_pictures_of_our_own_are_put_in_unescaped() -> None:
    found = {
        (path.name, each)
        for path in (HERE / "templates").glob("*.html")
        for each in re.findall(r"\{\{([^}]*\|safe[^}]*)\}\}", path.read_text())
    }
    assert {each.strip() for _, each in found} == {"shapes[looks[state]]|safe"}
    assert not [path.name for path in (HERE / "templates").glob("*.html") if "autoescape" in path.read_text()]


def test_missing_value_is_an_error_and_not_an_empty_place() -> None:
    with pytest.raises(UndefinedError):
        render("note.html")


def test_stamp_of_nothing_is_a_dash() -> None:
    assert stamp(None) == "–"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", stamp(0.0))

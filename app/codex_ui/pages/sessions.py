"""Sessions: what was said and done, found by filters, words and SQL, and read event by event."""

from __future__ import annotations

from typing import get_args

import gradio as gr
from markupsafe import Markup

from codex.core.errors import UserError
from codex.core.events import Kind
from codex.services import queries
from codex.services.sessions import Filters
from codex_ui.context import AppContext
from codex_ui.page import Live, Page, Query
from codex_ui.pages_build import static
from codex_ui.render import render
from codex_ui.sessions_told import ROLES, hits_html, list_html


def _page_of(query: Query) -> int:
    text = query.get("p", "0")
    return int(text) if text.isdecimal() and len(text) < 7 else 0


def _list(context: AppContext, query: Query, total: int) -> Markup:
    """The list, what a search found, or what is wrong with the filters."""
    filters = Filters.of(query)
    try:
        if filters.text:
            return hits_html(filters, context.sessions.search(filters), query)
        page = _page_of(query)
        return list_html(filters, context.sessions.listed(filters, page), query, page, total)
    except UserError as error:
        return render("sessions-wrong.html", problems=error.problems, title="Nothing is listed")


def _live(context: AppContext, query: Query) -> Live:
    totals = context.sessions.totals()
    parts = {
        "sessions-head": render("sessions-head.html", totals=totals),
        "sessions-damage": render("sessions-damage.html", damage=context.sessions.health.damage()),
    }
    if query.get("tab") == "sql":
        parts |= _sql(context)
    else:
        parts["sessions-tools"] = render("sessions-tools.html", tools=totals.tools)
        parts["sessions-list"] = _list(context, query, totals.sessions)
    return Live(parts)


def _sql(context: AppContext) -> dict[str, Markup]:
    """What stands beside the editor: queries to begin with, the person's own, and what can be asked for."""
    try:
        return {
            "sql-queries": render("sql-queries.html", examples=queries.examples(), saved=queries.saved(context.workspace)),
            "sql-schema": render("sql-schema.html", views=queries.schema(context.workspace)),
        }
    except UserError as error:
        return {"sql-queries": render("sessions-wrong.html", problems=error.problems, title="The log cannot be asked")}


def _build(context: AppContext, blocks: gr.Blocks) -> None:
    static(render("sessions.html", kinds=get_args(Kind), roles=ROLES))


PAGE = Page("Sessions", "/sessions", 60, _build, group="Record", icon="sessions", live=_live)

"""Runs: all of them in a table, and several over each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from codex.core.errors import UserError
from codex.core.numbers import MISSING
from codex.services import configure, runs
from codex.services.runs import RunSummary
from codex_ui.context import AppContext
from codex_ui.page import Live, Page, Query
from codex_ui.pages_build import static
from codex_ui.render import render
from codex_ui.told import elapsed, primary, verdict_short

STATES = ("running", "finished", "stopped", "failed")
MOST_ROWS = 50
MOST_COMPARED = 8


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    run: RunSummary
    base: str
    heldout: float | None
    verdict: str
    took: float | None


def _row(run: RunSummary, context: AppContext) -> Row:
    judged = primary(run)
    heldout = judged["adapter"] if judged else run.status.numbers.get("heldout_loss")
    base = str(_configuration(context, run).get("model.source", MISSING)).rpartition("/")[2]
    return Row(run, base, heldout, verdict_short(run), elapsed(run))


def _fits(row: Row, query: Query) -> bool:
    state = query.get("state", "")
    words = query.get("q", "").casefold().split()
    text = f"{row.run.run.title} {row.run.run.id} {row.run.recipe} {row.base}".casefold()
    in_state = not state or row.run.status.state == state or (state == "running" and row.run.status.active)
    return in_state and all(word in text for word in words)


def _ordered(rows: list[Row], order: str) -> list[Row]:
    if order == "loss":
        return sorted(rows, key=lambda row: (row.heldout is None, row.heldout))
    return rows[::-1] if order == "oldest" else rows


def _configuration(context: AppContext, run: RunSummary) -> Mapping[str, Any]:
    """The resolved configuration of a run, flat; empty where it cannot be read. It never changes, so it is read once."""
    kept = context.memo.get(("configuration", run.run.id, run.run.created))
    if kept is None:
        try:
            kept = configure.flat_values(runs.configuration(run.run.id, workspace=context.workspace))
        except UserError:
            kept = {}
        context.memo[("configuration", run.run.id, run.run.created)] = kept
    return kept


def _differences(context: AppContext, compared: list[RunSummary]) -> list[tuple[str, list[str]]]:
    """Each setting that is not the same in all of these runs, with its values."""
    held = [_configuration(context, run) for run in compared]
    names = dict.fromkeys(name for values in held for name in values)
    rows = [(name, [_shown(values.get(name, MISSING)) for values in held]) for name in names if name != "title"]
    return [(name, values) for name, values in rows if len(set(values)) > 1]


def _shown(value: Any) -> str:
    return MISSING if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _live(context: AppContext, query: Query) -> Live:
    found = context.now.runs()
    wanted = [name for name in query.get("compare", "").split(",") if name][:MOST_COMPARED]
    compared = [run for name in wanted for run in found if run.run.id == name]
    rows = _ordered([row for row in (_row(run, context) for run in found) if _fits(row, query)], query.get("order", ""))
    table = render(
        "runs-table.html", all=len(found), shown=rows[:MOST_ROWS], hidden=len(rows[MOST_ROWS:]), ticked=[run.run.id for run in compared]
    )
    comparison = render(
        "runs-compare.html",
        runs=compared,
        ids=",".join(run.run.id for run in compared),
        differences=_differences(context, compared),
        verdicts={run.run.id: verdict_short(run) for run in compared},
    )
    return Live({"runs-table": table, "runs-compare": comparison})


def _build(context: AppContext, blocks: gr.Blocks) -> None:
    static(render("runs.html", states=STATES))


PAGE = Page("Runs", "/runs", 30, _build, group="Build", icon="runs", live=_live)

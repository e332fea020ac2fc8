"""Run: one run, while it trains, when it ended, and why."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
from markupsafe import Markup

from codex.core.errors import UserError
from codex.core.files import folder_bytes
from codex.core.numbers import MISSING
from codex.services import advice, configure, machine, runs, setup
from codex.services.metrics import Point
from codex.services.results import result_of
from codex.services.runs import RunSummary
from codex_ui.context import AppContext
from codex_ui.page import Live, Page, Query
from codex_ui.pages_build import static
from codex_ui.render import render
from codex_ui.told import elapsed, primary, silence, time_left

LOG_LINES = 200
MOST_ITEMS = 8
TABS = ("Verdict", "Config", "Log", "Checkpoints")
PLOTS = (
    ("loss", "Loss", True, (("p1", "training"), ("p2", "held-out"))),
    ("learning_rate", "Learning rate", False, ()),
    ("grad_norm", "Gradient norm", False, ()),
    ("tokens_per_s", "Useful tokens per second", False, ()),
    ("memory", "Memory (GiB)", False, ()),
)


def _last(points: Sequence[Point]) -> dict[str, Any]:
    """The newest figure of each kind."""
    train = next((point for point in reversed(points) if point.split == "train"), None)
    heldout = next((point for point in reversed(points) if point.split == "heldout"), None)
    numbers = train.numbers if train else {}
    return {
        "train": train and train.loss,
        "heldout": heldout and heldout.loss,
        "tokens_per_s": numbers.get("tokens_per_s"),
        "memory": numbers.get("gpu_memory_gib", numbers.get("memory_gib")),
        "gpu": "gpu_memory_gib" in numbers,
        "rate": numbers.get("learning_rate"),
    }


def verdict_card(run: RunSummary) -> Markup:
    """The verdict with its metrics, or why there is none."""
    verdict: dict[str, Any] | None = (run.report or {}).get("verdict")
    rows = [{**row, "decimals": max(2, row["decimals"]), "gain": _gain(row)} for row in (verdict or {}).get("metrics", ())]
    notes = ((run.report or {}).get("data") or {}).get("notes") or []
    unjudged = "The run was not judged: `evaluation.judge` is false." if run.report else "The run ended before it was judged."
    why = next((note for note in notes if note.startswith("No verdict")), run.verdict or unjudged)
    return render("verdict.html", verdict=verdict, rows=rows, primary=primary(run), ended=run.ended, why=why)


def _gain(row: Mapping[str, Any]) -> int:
    """1 when the interval says that a metric got better, -1 for worse, 0 when it says neither."""
    low, high = row["difference"]["low"], row["difference"]["high"]
    sign = 0 if low is None or high is None else (low > 0) - (high < 0)
    return -sign if row["better"] == "lower" else sign


def _items(run: RunSummary) -> dict[str, Any]:
    """The held-out items that gained and lost most."""
    rows = [row for row in ((run.report or {}).get("verdict") or {}).get("rows", ()) if None not in (row["base_loss"], row["adapter_loss"])]
    ranked = sorted(rows, key=lambda row: row["adapter_loss"] - row["base_loss"])
    wins = [row for row in ranked if row["adapter_loss"] < row["base_loss"]][:MOST_ITEMS]
    losses = [row for row in reversed(ranked) if row["adapter_loss"] > row["base_loss"]][:MOST_ITEMS]
    return {"wins": wins, "losses": losses}


def _read(context: AppContext, name: str, asked: bool) -> str:
    try:
        return runs.configuration(name, workspace=context.workspace, asked=asked)
    except UserError as error:
        return f"# {error}"


def _settings(text: str) -> Mapping[str, Any]:
    try:
        return configure.flat_values(text)
    except UserError:
        return {}


def _live(context: AppContext, query: Query) -> Live:
    run = context.now.run(query.get("id") or "last")
    name = run.run.id
    points = context.now.points(name)
    checkpoints = runs.checkpoints(name, workspace=context.workspace)
    newest = checkpoints[0].step if checkpoints else None
    resolved, asked = _read(context, name, False), _read(context, name, True)
    settings = _settings(resolved)
    result = result_of(run.run)
    card = verdict_card(run)
    lines = configure.marked(resolved, asked)
    head = render(
        "run-head.html",
        run=run,
        base=str(settings.get("model.source", MISSING)).rpartition("/")[2],
        took=elapsed(run),
        newest=newest,
        result=result.kind if result else None,
        size=None if run.status.active else folder_bytes(run.run.folder),
    )
    now = render(
        "run-now.html",
        run=run,
        problem=run.problem,
        left=time_left(run, points),
        took=elapsed(run),
        silent=silence(run),
        last=_last(points),
        verdict=card,
        judged=run.verdict is not None,
        loading=result.code if result else None,
        result=result.kind if result else None,
        result_size=folder_bytes(run.run.adapter) if result else None,
        newest=newest,
        reason=run.status.reason,
        fixes=advice.fixes(run, settings),
    )
    log = context.now.log_tail(name, LOG_LINES)
    parts = {
        "run-head": head,
        "run-now": now,
        "run-verdict": render("run-verdict.html", card=card, **_items(run)),
        "run-config": render(
            "run-config.html",
            asked=asked,
            resolved=lines,
            changed=sum(line.changed for line in lines),
            command=setup.command_of(asked, context.workspace),
            worker=shlex.join(run.run.argv),
        ),
        "run-log": render("run-log.html", lines=log, path=str(run.run.log)),
        "run-checkpoints": render("run-checkpoints.html", checkpoints=checkpoints, every=settings.get("training.save_every")),
    }
    return Live(parts, done=run.ended)


def _room(here: machine.Machine) -> dict[str, float]:
    """GiB that the memory plot ends at: of the machine, and of its largest GPU."""
    return {"ram": here.memory_total, "gpu": max((gpu.total or 0.0 for gpu in here.gpus.found), default=0.0)}


def _build(context: AppContext, blocks: gr.Blocks) -> None:
    static(render("run.html"))
    static('<div class="cx" data-part="run-now"></div>')
    with gr.Tabs(elem_classes="cx-tabs"):
        with gr.Tab("Plots"):
            static(render("run-plots.html", plots=PLOTS, room=_room(machine.look(context.workspace))))
        for tab in TABS:
            with gr.Tab(tab):
                static(f'<div class="cx" data-part="run-{tab.lower()}"></div>')


PAGE = Page("Run", "/run", 31, _build, under="/runs", live=_live)

"""Home: what runs, what came out, what this machine is, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from codex.core import numbers
from codex.services.results import result_of
from codex.services.runs import RunSummary
from codex_ui.context import AppContext
from codex_ui.page import Live, Page, Query
from codex_ui.pages_build import static
from codex_ui.render import render
from codex_ui.told import time_left, verdict_short, verdict_word

MOST_IDEAS = 3


@dataclass(frozen=True)
class Idea:
    """Something to do next."""

    title: str
    about: str
    link: str


def _ideas(runs: list[RunSummary]) -> list[Idea]:
    """What the newest runs ask for, most urgent first."""
    found: list[Idea] = []
    for run in runs[:10]:
        name, reason = run.run.id, run.status.reason
        if run.status.state == "failed" and reason is not None:
            found.append(Idea(f"{name} failed", f"{reason.sentence} Look at it, change it or go on.", f"/run?id={name}"))
        elif run.status.state == "stopped":
            found.append(Idea(f"{name} was stopped", "It can go on from its newest checkpoint.", f"/run?id={name}"))
        elif (
            run.status.state == "finished"
            and not any(idea.link.startswith("/chat") for idea in found)
            and (result := result_of(run.run)) is not None
            and result.kind != "damaged"
        ):
            found.append(Idea(f"Talk to {name}", "Base and adapter side by side, the same prompt and seed.", f"/chat?run={name}"))
    judged = [run for run in runs if verdict_word(run)]
    if len(judged) >= 2:
        pair = f"{judged[0].run.id},{judged[1].run.id}"
        about = "Their loss over each other, and only what differs in how they were set up."
        found.insert(1, Idea(f"Compare {judged[0].run.id} with {judged[1].run.id}", about, f"/runs?compare={pair}"))
    return found[:MOST_IDEAS]


def _live(context: AppContext, query: Query) -> Live:
    runs = context.now.runs()
    active = [run for run in runs if run.status.active]
    word = next((word for word in map(verdict_word, runs) if word), None)
    lefts = {run.run.id: time_left(run, context.now.points(run.run.id)) for run in active}
    verdicts = {run.run.id: verdict_short(run) for run in runs[:5]}
    return Live(
        {
            "home-state": render("home-state.html", running=len(active), verdict=word, runs=runs),
            "home-runs": render("home-runs.html", runs=runs, active=active, lefts=lefts, verdicts=verdicts),
            "home-machine": render(
                "home-machine.html", ideas=_ideas(runs), machine=context.now.machine(), folder=str(context.workspace.root), numbers=numbers
            ),
        }
    )


def _build(context: AppContext, blocks: gr.Blocks) -> None:
    static(render("home.html"))


PAGE = Page("Home", "/", 10, _build, icon="home", live=_live)

"""`codex-ml train` and `codex-ml demo`: from a recipe to a verdict."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codex.cli.following import follow_to_end, how_to_watch
from codex.cli.options import JsonOption, Overrides, Place, WorkspaceOption, assignments, place
from codex.cli.terminal import document, is_terminal, note, one_line, out, record
from codex.cli.yaml_notes import changes_json, show_configuration
from codex.core import numbers

if TYPE_CHECKING:
    from codex.services.runs import Run
    from codex.services.train import Plan

QUICK = ("title=Quick demo", "training.steps=20", "evaluation.examples=60")

FollowOption = Annotated[
    bool | None, typer.Option("--follow/--no-follow", help="Show it until it ends; default on a terminal.", show_default=False)
]


def train(
    ctx: typer.Context,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run and what differs from the recipe.")] = False,
    follow: FollowOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a model, and follow it to its verdict.

    The run goes on in the background when this command is left.

    Without arguments: QLoRA on codex-tiny with docstrings of the standard library, in about 2 minutes. For example:

    codex-ml train recipe=qlora-docstrings training.steps=50
    """
    where = place(ctx, workspace)
    planned = plan(assignments(overrides), where)
    if dry_run:
        show_plan(planned, as_json=as_json)
    else:
        start(planned, where, follow=is_terminal(sys.stdout) if follow is None else follow, as_json=as_json)


def demo(
    ctx: typer.Context,
    quick: Annotated[bool, typer.Option("--quick", help="20 steps and 60 held-out functions: a look, not a result.")] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train the default recipe now; say whether it got better."""
    where = place(ctx, workspace)
    start(plan([*QUICK] if quick else [], where), where, follow=True, as_json=as_json)


def plan(overrides: list[str], where: Place) -> Plan:
    """Check everything that can be checked before a run is made."""
    from codex.services import train as service

    if is_terminal(sys.stderr):
        note("Checking configuration, model and data.")
    return service.plan(overrides=overrides, workspace=where.workspace)


def start(planned: Plan, where: Place, *, follow: bool, as_json: bool) -> None:
    """Start the run, say so, and follow it if wanted."""
    from codex.services import train as service
    from codex.services.facts import data_facts, model_facts

    run = service.start(planned, workspace=where.workspace)
    say_started(run, where, facts=[*model_facts(planned), *data_facts(planned)], follow=follow, as_json=as_json)
    if follow:
        follow_to_end(run.id, where, as_json=as_json)


def say_started(run: Run, where: Place, *, facts: list[str], follow: bool, as_json: bool) -> None:
    """Say which run was started: its id alone on stdout when nobody follows."""
    about = {"run": run.id, "title": run.title, "folder": str(run.folder)}
    if as_json:
        (record if follow else document)({"event": "started", **about} if follow else about)
        return
    note(f"{run.id} started: {one_line(run.title)}.")
    for fact in facts:
        note("  ", one_line(fact))
    if not follow:
        out(run.id)
        note(how_to_watch(run.id, where))


def show_plan(planned: Plan, *, as_json: bool) -> None:
    """What would be started."""
    from codex.services.facts import data_facts, model_facts

    if as_json:
        document(plan_json(planned))
        return
    show_configuration(planned.composed)
    for fact in (*model_facts(planned), *data_facts(planned)):
        out("# ", one_line(fact))
    out(f"# Disk: at least {numbers.size(planned.needed_bytes)} for checkpoints, result and log.")
    note("Dry run: nothing was started.")


def plan_json(planned: Plan) -> dict[str, Any]:
    """A plan as JSON values."""
    from dataclasses import asdict

    from codex.services.configure import values_of

    data = planned.data
    return {
        "recipe": planned.composed.config.recipe,
        "configuration": values_of(planned.composed),
        "changes": changes_json(planned.composed),
        "model": asdict(planned.model) if planned.model is not None else None,
        "data": {
            "source": data.source,
            "format": data.format,
            "fingerprint": data.fingerprint,
            "train": len(data.train),
            "heldout": len(data.heldout),
            "notes": data.notes,
            "audit": list(planned.audit),
        },
        "needed_bytes": planned.needed_bytes,
    }

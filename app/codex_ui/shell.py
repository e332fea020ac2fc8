"""What stands around every page: the rail with the pages, the strip with workspace and machine, and on a phone the bar on top."""

from __future__ import annotations

from itertools import groupby

from markupsafe import Markup

from codex.core.numbers import MISSING
from codex.services.runs import RunSummary
from codex_ui.context import AppContext
from codex_ui.page import Page, all_pages
from codex_ui.render import render

ICONS = {
    "home": "M2.5 7.5 8 3l5.5 4.5V13a.5.5 0 0 1-.5.5h-3.5V10h-3v3.5H3a.5.5 0 0 1-.5-.5z",
    "train": "M5 3.2v9.6L12.5 8z",
    "runs": "M2.5 12.5c2-6 3-8 4-8s1.500 5 2.500 5 1.500-2.500 4.500-3.500M2.500 13.500h11",
    "chat": "M3 3.500h10v7H7.500L4.500 13v-2.500H3z",
    "sessions": "M3 4h10M3 8h10M3 12h6",
    "theme": "M8 2.500a5.500 5.500 0 1 0 0 11zM8 2.500a5.500 5.500 0 0 1 0 11",
    "menu": "M2.500 4.500h11M2.500 8h11M2.500 11.500h11",
    "notebooks": "M4.500 2.500h8v11h-8zM4.500 5.500h-2M4.500 8h-2M4.500 10.500h-2M7.500 5.500h2.500",
    "tracker": "M2.500 2.500v11h11M5 10.500l2.500-3 2 1.500 3.500-4.500",
}
"""Drawn on a grid of 16 pixels, 1.5 wide."""
FULL_MEMORY = 0.85


def shell(page: Page) -> Markup:
    """The shell of one page; what changes in it is filled in by `shell_parts`."""
    shown = [each for each in all_pages() if each.icon]
    groups = [(group, list(members)) for group, members in groupby(shown, key=lambda each: each.group)]
    return render("shell.html", page=page, current=page.under or page.path, groups=groups, icons=ICONS)


def shell_parts(context: AppContext) -> dict[str, Markup]:
    """What of the shell changes: the running run and the machine."""
    running = next((run for run in context.now.runs() if run.status.active), None)
    machine = context.now.machine()
    used = machine.memory_total - machine.memory_free
    values = {
        "running": running,
        "at": progress_of(running) if running else MISSING,
        "active": sum(run.status.active for run in context.now.runs()),
        "machine": machine,
        "used": used,
        "share": used / machine.memory_total,
        "full": FULL_MEMORY,
        "host": context.address.host,
        "workspace": context.workspace_name,
        "folder": str(context.workspace.root),
    }
    return {name: render(f"{name}.html", **values) for name in ("strip", "topbar-run", "nav-count")}


def progress_of(run: RunSummary) -> str:
    """How far a run is, short: "412/600"."""
    status = run.status
    return f"{status.step or 0:,}/{status.total:,}" if status.total else status.state

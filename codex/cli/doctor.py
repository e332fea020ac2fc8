"""`codex-ml doctor`: what this machine is, what works, what to install for the rest."""

from __future__ import annotations

import typer

from codex.cli.options import JsonOption, WorkspaceOption, place
from codex.cli.terminal import Painted, Tone, cells, document, note, one_line, out

SHAPES: dict[str, tuple[str, Tone]] = {"ok": ("ok", "good"), "note": ("note", "warn"), "missing": ("missing", "bad")}


def doctor(ctx: typer.Context, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Say what this machine is, what works, what to install.

    Ends with exit code 1 when something is missing.
    """
    from dataclasses import asdict

    from codex.services.doctor import examine

    checks = examine(place(ctx, workspace).workspace)
    missing = [check for check in checks if check.state == "missing"]
    if as_json:
        document([asdict(check) for check in checks])
    else:
        longest = max(cells(check.name) for check in checks)
        for check in checks:
            word, tone = SHAPES[check.state]
            out(Painted(f"{word:<8}", tone), f"{check.name:<{longest}}  {one_line(check.found)}")
            if check.fix:
                out(f"{'':<8}{'':<{longest}}  ", Painted(one_line(check.fix), "bold"))
        note(f"Missing: {', '.join(check.name for check in missing)}." if missing else "Everything that is needed is here.")
    if missing:
        raise typer.Exit(1)

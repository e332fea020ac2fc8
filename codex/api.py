"""The same from Python: start a run, wait for it, read what came out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codex.core.errors import RunError
from codex.core.paths import Workspace

if TYPE_CHECKING:
    from codex.services.metrics import Point
    from codex.services.runs import Followed, RunSummary


@dataclass(frozen=True)
class RunHandle:
    """A run, wherever it was started; reading it never holds it up.

    Args:
        id: its folder's name: `r-0001`.
        workspace: where it lies.
    """

    id: str
    workspace: Workspace

    @property
    def summary(self) -> RunSummary:
        """How it goes now."""
        from codex.services import runs

        return runs.show(self.id, workspace=self.workspace)

    @property
    def folder(self) -> Path:
        """Everything of it."""
        return self.summary.run.folder

    @property
    def adapter(self) -> Path:
        """The trained weights, as PEFT or transformers load them."""
        return self.summary.run.adapter

    def metrics(self, since: int = 0) -> list[Point]:
        """The logged steps after step `since`."""
        from codex.services import runs

        return runs.metrics(self.id, workspace=self.workspace, since=since)

    def follow(self) -> Iterator[Followed]:
        """Looks at it until it has ended."""
        from codex.services import runs

        return runs.follow(self.id, workspace=self.workspace)

    def wait(self, on_look: Callable[[Followed], None] | None = None) -> dict[str, Any]:
        """Wait until it has ended.

        Returns:
            What `report.json` holds.

        Raises:
            RunError: it did not finish; the message says why.
        """
        look = None
        for look in self.follow():
            if on_look is not None:
                on_look(look)
        assert look is not None, "follow() looks at least once"
        summary = look.summary
        if summary.status.state != "finished" or summary.report is None:
            reason = summary.status.reason
            raise RunError(
                f"run {self.id!r} is {summary.status.state}{f': {reason.sentence}' if reason else ''}",
                "expected it to finish",
                f"Look at it: `codex-ml runs show {self.id}`; go on: `codex-ml runs resume {self.id}`.",
            )
        return summary.report

    def stop(self, wait_s: float = 60.0) -> None:
        """Ask it to save and end."""
        from codex.services import runs

        runs.stop(self.id, workspace=self.workspace, wait_s=wait_s)


def train(recipe: str = "qlora-docstrings", *overrides: str, workspace: str | Path | None = None, **values: Any) -> RunHandle:
    """Start a training run in the background.

    Args:
        recipe: a shipped recipe's name or one of the workspace's own.
        overrides: `key=value`, as on the command line.
        workspace: a folder; else `CODEX_WORKSPACE`, else `~/.codex-ml`.
        values: fields with `__` for the dot: `training__steps=50`.

    Raises:
        UserError: something is wrong with the configuration, the model, the data or the workspace; nothing was made.
    """
    from codex.services import train as service

    place = Workspace.locate(workspace)
    dotted = {key.replace("__", "."): value for key, value in values.items()}
    started = service.start(service.plan(recipe, overrides, workspace=place, values=dotted), workspace=place)
    return RunHandle(started.id, place)


def resume(name: str, workspace: str | Path | None = None) -> RunHandle:
    """Start a stopped or failed run again from its newest complete checkpoint."""
    from codex.services import train as service

    place = Workspace.locate(workspace)
    started, _ = service.resume(name, workspace=place)
    return RunHandle(started.id, place)


def run(name: str = "last", workspace: str | Path | None = None) -> RunHandle:
    """One run by id, number, title or `last`."""
    from codex.services import runs as service

    place = Workspace.locate(workspace)
    return RunHandle(service.show(name, workspace=place).run.id, place)


def runs(workspace: str | Path | None = None) -> list[RunSummary]:
    """Every run of the workspace, newest first."""
    from codex.services import runs as service

    return service.overview(Workspace.locate(workspace))

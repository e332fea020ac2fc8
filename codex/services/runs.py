"""What a person asks of runs: list, show, follow, stop, rename, delete, and what they were asked to do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from codex.core.errors import RunError
from codex.core.files import folder_bytes
from codex.core.paths import Workspace
from codex.runs.checkpoints import checkpoint_step, complete_checkpoints
from codex.runs.record import Run, json_object
from codex.runs.status import Status
from codex.runs.store import Deletion, RunStore
from codex.runs.views import RunView
from codex.services.metrics import Point, SeriesReader, series, session_of
from codex.services.results import result_of
from codex.sessionlog import SessionLog

POLL_SECONDS = 0.25


@dataclass(frozen=True)
class RunSummary:
    """One run as lists and pages show it.

    Args:
        run: what it is.
        status: how it goes, reconciled with the processes that live.
        recipe: the recipe it started from, "" when its configuration cannot be read.
        verdict: the verdict's sentence, once there is one.
        report: the whole of `report.json`, once there is one.
        problem: what of it could not be read or checked; None when all is well.
    """

    run: Run
    status: Status
    recipe: str
    verdict: str | None
    report: dict[str, Any] | None
    problem: str | None = None

    @property
    def ended(self) -> bool:
        """Whether no process is at work for it."""
        return not self.status.active

    @property
    def seconds(self) -> float | None:
        """How long the last attempt took; None until it has ended."""
        status = self.status
        return status.ended - status.started if status.ended is not None and status.started is not None else None

    def to_json(self) -> dict[str, Any]:
        """Everything about the run as JSON values."""
        run = self.run
        return {
            "id": run.id,
            "title": run.title,
            "kind": run.kind,
            "recipe": self.recipe,
            "created": run.created,
            "folder": str(run.folder),
            "adapter": str(run.adapter) if run.adapter.is_dir() else None,
            **asdict(self.status),
            "problem": self.problem,
            "verdict": self.verdict,
            "report": self.report,
        }


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint of a run.

    Args:
        name: its folder's name.
        step: optimizer steps done.
        size: bytes on disk.
        saved: when, seconds since the epoch.
    """

    name: str
    step: int
    size: int
    saved: float


@dataclass(frozen=True)
class Followed:
    """One look at a run that is being followed.

    Args:
        summary: as of now.
        points: steps that were logged since the last look.
    """

    summary: RunSummary
    points: tuple[Point, ...]


def summary_of(view: RunView) -> RunSummary:
    """What lists and pages show of a run that was just looked at."""
    try:
        report = _report(view.run.folder)
    except ValueError as error:
        unknown = f"Unknown: report.json cannot be read ({error})"
        return RunSummary(view.run, view.status, _recipe(view.run), unknown, None, view.problem)
    verdict = report.get("verdict") if report else None
    return RunSummary(view.run, view.status, _recipe(view.run), verdict.get("sentence") if verdict else None, report, view.problem)


def _report(folder: Path) -> dict[str, Any] | None:
    """The report; None while there is none.

    Raises:
        ValueError: there is one that cannot be shown; the message says why, on one line.
    """
    try:
        report = json_object((folder / "report.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error
    for name in ("model", "data", "training", "tracking"):
        if not isinstance(report.get(name, {}), dict):
            raise ValueError(f"`{name}` in it is no JSON object")
    notes = report.get("data", {}).get("notes", [])
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in cast(list[Any], notes)):
        raise ValueError("`data.notes` in it is no list of texts")
    if report.get("verdict") is not None:
        _check_verdict(report["verdict"])
    return report


def _check_verdict(verdict: Any) -> None:
    from pydantic import ValidationError

    from codex.evaluation.verdict import Verdict

    try:
        Verdict.from_json(verdict)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, ('verdict', *first['loc'])))}: {first['msg']}") from None


def _recipe(run: Run) -> str:
    try:
        lines = run.resolved.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("recipe:")), "")


def overview(workspace: Workspace) -> list[RunSummary]:
    """Every run of the workspace, newest first; an unreadable one is among them and says so."""
    return [summary_of(view) for view in reversed(RunStore(workspace).list())]


def show(name: str, *, workspace: Workspace) -> RunSummary:
    """One run by id, number, title or `last`.

    Raises:
        RunError: there is none; the message names the nearest.
    """
    store = RunStore(workspace)
    return summary_of(store.view(store.get(name)))


def metrics(name: str, *, workspace: Workspace, since: int = 0) -> list[Point]:
    """The logged steps of a run after step `since`, each once."""
    run = RunStore(workspace).get(name)
    return [point for point in series(SessionLog.open(workspace), session_of(run)) if point.step > since]


def follow(name: str, *, workspace: Workspace) -> Iterator[Followed]:
    """Looks at a run until it has ended; reading only, so that it holds nothing up and may be left at any time."""
    store = RunStore(workspace)
    run = store.get(name)
    reader = SeriesReader(SessionLog.open(workspace), session_of(run))
    while True:
        summary = summary_of(store.view(run))
        yield Followed(summary, tuple(reader.new()))
        if summary.ended:
            return
        time.sleep(POLL_SECONDS)


def log_tail(name: str, *, workspace: Workspace, lines: int = 20) -> list[str]:
    """The last lines of the worker's output."""
    run = RunStore(workspace).get(name)
    try:
        return run.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        return []


def checkpoints(name: str, *, workspace: Workspace) -> list[Checkpoint]:
    """The complete checkpoints of a run, newest first."""
    run = RunStore(workspace).get(name)
    found: list[Checkpoint] = []
    for folder in reversed(complete_checkpoints(run.folder)):
        try:
            found.append(Checkpoint(folder.name, checkpoint_step(folder) or 0, folder_bytes(folder), folder.stat().st_mtime))
        except FileNotFoundError:  # an older one makes room for the next
            continue
    return found


def configuration(name: str, *, workspace: Workspace, asked: bool = False) -> str:
    """The configuration of a run as YAML: whole, or as it was asked for.

    Raises:
        RunError: the run is unknown, or its file cannot be read.
    """
    run = RunStore(workspace).get(name)
    path = run.asked if asked else run.resolved
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise RunError(
            f"{str(path)!r} cannot be read ({reason})", "expected what Codex wrote there", "Put the file back, or delete the run."
        ) from error


def stop(name: str, *, workspace: Workspace, wait_s: float = 60.0, force: bool = False) -> RunSummary:
    """Ask a run to save and end, and wait up to `wait_s` for it; with `force`, end it at once without saving.

    Raises:
        RunError: it is unknown, does not run, or runs on another machine.
    """
    store = RunStore(workspace)
    return summary_of(store.stop(store.get(name), wait_s, force=force))


def rename(name: str, title: str, *, workspace: Workspace) -> Run:
    """Give a run another title.

    Raises:
        RunError: it is unknown, the title cannot be used, or the folder cannot be written.
    """
    store = RunStore(workspace)
    return store.rename(store.get(name), title)


def preview_delete(name: str, *, workspace: Workspace) -> Deletion:
    """What deleting a run would free.

    Raises:
        RunError: it is unknown, or it runs.
    """
    store = RunStore(workspace)
    run = store.get(name)
    if store.view(run).active:
        raise RunError(f"run {run.id!r} runs", "expected one that does not", f"Stop it first: `codex-ml runs stop {run.id}`.")
    return store.preview_delete(run)


def delete(name: str, *, workspace: Workspace) -> int:
    """Remove a run and all its files; returns the bytes that were freed.

    Raises:
        RunError: it is unknown, it runs, or its folder cannot be removed.
    """
    store = RunStore(workspace)
    return store.delete(store.get(name))


def loading_code(run: Run) -> str | None:
    """Plain Python that loads what a run trained, without Codex; None while it has trained nothing.

    Where that is damaged, a comment that says so.
    """
    found = result_of(run)
    return None if found is None else found.code

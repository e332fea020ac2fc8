"""The runs of a workspace: make, find, launch, stop, rename and delete them."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from codex.core.errors import RunError
from codex.core.files import folder_bytes
from codex.core.paths import Workspace
from codex.runs import folders
from codex.runs.attempts import LOCK_PATIENCE_SECONDS, ask_stop
from codex.runs.checkpoints import complete_checkpoints
from codex.runs.launching import start_supervisor
from codex.runs.locks import RunLock
from codex.runs.processes import send_signal
from codex.runs.record import Run, checked_title, read_run, run_name, write_run
from codex.runs.status import ProcessId, host_name
from codex.runs.views import RunView, view_run

WORKER_PATIENCE_SECONDS = 30.0
POLL_SECONDS = 0.05
SHOWN = 8


@dataclass(frozen=True)
class Deletion:
    """What deleting a run frees.

    Args:
        run: the run.
        bytes: what its files hold.
        checkpoints: how many complete checkpoints are among them.
        adapter: whether its trained weights are among them.
    """

    run: Run
    bytes: int
    checkpoints: int
    adapter: bool


class RunStore:
    """The runs of one workspace; any number of processes may use them at once.

    Args:
        workspace: its `runs/` folder holds one folder a run.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._folder = workspace.runs

    def create(self, kind: str, title: str, files: Mapping[str, str]) -> Run:
        """Make a run, with `files` (name to text) in its folder; it appears whole or not at all.

        Raises:
            RunError: the title cannot be used, or the folder cannot be written.
            WorkspaceError: the workspace cannot be written.
        """
        title = checked_title(title)
        for name in files:
            if not name or name.startswith(".") or "/" in name or name in ("run.json", "status.json"):
                raise ValueError(f"{name!r} is no name for a file of a new run")
        self.workspace.create()
        try:
            folders.sweep(self._folder)
            return folders.make(self._folder, kind, title, files)
        except OSError as error:
            raise RunError(
                f"a run titled {title!r} cannot be made in {str(self._folder)!r} ({error.strerror or error})",
                "expected a folder that you may write, on a disk with room",
                "Make room, or name another workspace: `--workspace DIR`.",
            ) from error

    def list(self) -> list[RunView]:
        """All runs as they stand, in the order in which they were made; damaged ones say what is wrong with them."""
        views: list[RunView] = []
        for folder in folders.run_folders(self._folder):
            with contextlib.suppress(RunError):  # deleted while we looked
                views.append(view_run(folder))
        return views

    def view(self, run: Run) -> RunView:
        """How `run` stands now.

        Raises:
            RunError: it was deleted.
        """
        return view_run(run.folder)

    def get(self, name: str) -> Run:
        """The run called `name`: an id (`r-0001`), its number (`1`), `last`, a title, or an unambiguous beginning of an id or title.

        Raises:
            RunError: there is none, or more than one; the message names the nearest or the candidates.
        """
        found = folders.run_folders(self._folder)
        asked = name.strip()
        by_id = {folder.name: folder for folder in found}
        numbered = run_name(int(asked)) if asked.isdecimal() and asked.isascii() and len(asked) < 10 else asked
        if numbered in by_id:
            return read_run(by_id[numbered])
        whole = [folder for folder in found if (folder / "run.json").is_file()]  # a stray folder must not hide every run before it
        if asked == "last" and whole:
            return read_run(whole[-1])
        return self._by_title(asked, [view.run for view in self.list()])

    def _by_title(self, asked: str, runs: Sequence[Run]) -> Run:
        wanted = asked.casefold()
        exact = [run for run in runs if run.title.casefold() == wanted]
        begun = [run for run in runs if run.title.casefold().startswith(wanted) or run.id.startswith(wanted)]
        for candidates in (exact, begun if wanted else []):
            if len(candidates) == 1:
                return read_run(candidates[0].folder)
            if candidates:
                shown = ", ".join(f"{run.id} ({run.title})" for run in candidates[-SHOWN:])
                raise RunError(f"{asked!r} names {len(candidates)} runs: {shown}", "expected one", f"Use its id: `{candidates[-1].id}`.")
        raise _unknown(asked, runs)

    def launch(self, run: Run, environment: Mapping[str, str] | None = None) -> None:
        """Start `run`, or resume it, in the background; it outlives this process.

        Args:
            run: one that does not run and has not finished.
            environment: variables for the worker on top of this process's; by default it is offline.

        Raises:
            RunError: it was not started; the message says why.
        """
        start_supervisor(run, environment or {})

    def start(self, *, kind: str, title: str, files: Mapping[str, str]) -> Run:
        """Make a run and launch it; when it cannot be launched, nothing of it is left.

        Raises:
            RunError: it was not started; the message says why.
            WorkspaceError: it cannot be written.
        """
        run = self.create(kind=kind, title=title, files=files)
        try:
            self.launch(run)
        except RunError as error:
            if self.view(run).status.attempt:  # it did begin, and says itself how it ended
                raise
            with contextlib.suppress(OSError):
                folders.withdraw(self._folder, run.folder)
            (problem,) = error.problems
            raise RunError(problem.what, problem.expected, "Mend that and give the command again: nothing was left behind.") from error
        return run

    def stop(self, run: Run, wait_s: float = 0.0, *, force: bool = False) -> RunView:
        """Ask `run` to save and end; with `force`, end it at once and lose what came after its last checkpoint.

        Args:
            run: one that runs.
            wait_s: how long to wait for its end.
            force: do not let it save.

        Returns:
            How it stands then: still `stopping` where it takes longer than `wait_s`.

        Raises:
            RunError: it does not run, or on another machine.
        """
        view = self._running(run)
        with contextlib.suppress(OSError):  # a full disk must not keep anyone from stopping a run; its ending is then told less well
            ask_stop(run.folder, view.status.attempt, force=force)
        if force:
            self._end(run)
        elif not any(send_signal(process, signal.SIGTERM) for process in view.status.processes()):
            raise _out_of_reach(view)
        return self.wait(run, wait_s)

    def _running(self, run: Run) -> RunView:
        view = self.view(run)
        if not view.active:
            said = view.problem or f"it is {view.state}"
            raise RunError(f"run {run.id!r} does not run: {said}", "expected a running one", "List the runs: `codex-ml runs list`.")
        if not view.status.anyone_lives():
            raise _out_of_reach(view)
        return view

    def _end(self, run: Run) -> None:
        """Kill the worker, once it is known: without it, to kill its supervisor would only set it free."""
        deadline = time.monotonic() + WORKER_PATIENCE_SECONDS
        while (view := self.view(run)).active:
            worker: ProcessId | None = view.status.worker
            if worker is not None and send_signal(worker, signal.SIGKILL):
                return
            if time.monotonic() >= deadline:
                raise _out_of_reach(view)
            time.sleep(POLL_SECONDS)

    def wait(self, run: Run, seconds: float) -> RunView:
        """How `run` stands once it has ended, or after `seconds`."""
        deadline = time.monotonic() + seconds
        while (view := self.view(run)).active and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        return view

    def rename(self, run: Run, title: str) -> Run:
        """Give `run` another title.

        Raises:
            RunError: the title cannot be used, or the run's folder cannot be written.
        """
        renamed = replace(read_run(run.folder), title=checked_title(title))
        try:
            write_run(renamed)
        except OSError as error:
            raise _unwritable(run, "renamed", error) from error
        return renamed

    def preview_delete(self, run: Run) -> Deletion:
        """What deleting `run` frees."""
        return Deletion(run, folder_bytes(run.folder), len(complete_checkpoints(run.folder)), run.adapter.is_dir())

    def delete(self, run: Run) -> int:
        """Remove `run` and all its files; its id is not used again.

        Returns:
            The bytes that were freed.

        Raises:
            RunError: it runs, is gone already, or its folder cannot be removed.
        """
        try:
            view = self.view(run)
            lock = None if view.active else RunLock.take(run.folder, patience_s=LOCK_PATIENCE_SECONDS)
            if lock is None:
                raise RunError(f"run {run.id!r} runs", "expected one that does not", f"Stop it first: `codex-ml runs stop {run.id}`.")
            with lock:
                freed = folder_bytes(run.folder)
                folders.discard(self._folder, run.folder)
        except OSError as error:
            raise _unwritable(run, "deleted", error) from error
        return freed


def _unknown(asked: str, runs: Sequence[Run]) -> RunError:
    if not runs:
        return RunError(f"run {asked!r} is unknown", "there are no runs yet", "Start one: `codex-ml train`.")
    nearest = get_close_matches(asked, [name for run in runs for name in (run.id, run.title) if name], n=1)
    shown = ", ".join(run.id for run in runs[-SHOWN:])
    fix = f"Did you mean {nearest[0]!r}?" if nearest else "List the runs: `codex-ml runs list`."
    return RunError(f"run {asked!r} is unknown", f"expected an id or a title, or `last`; the latest are {shown}", fix)


def _out_of_reach(view: RunView) -> RunError:
    where = f"on {view.status.host!r}" if view.status.host not in ("", host_name()) else "where its processes cannot be seen from here"
    return RunError(f"run {view.id!r} runs {where}", "expected to be asked where it was started", "Stop it there.")


def _unwritable(run: Run, done: str, error: OSError) -> RunError:
    return RunError(
        f"run {run.id!r} cannot be {done} ({error.strerror or error})",
        "expected a folder that you may change",
        f"Look at {str(run.folder)!r}.",
    )

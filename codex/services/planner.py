"""Plan and start runs from a process that must not load torch: the looking happens in a process beside it, the start here.

A run is started from this process and not from the one beside it, because a run inherits what its starter is, and the process beside is
made to be killed first and to run last.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from codex.core.errors import UserError
from codex.core.paths import Workspace
from codex.runs.store import RunStore
from codex.services import train
from codex.services.child_host import ShouldStop
from codex.services.children import Birth, Child, ChildDied

NAME = "The process that checks plans"
HANDLER = "codex.services.planner:PlanHandler"
IDLE_SECONDS = 1800.0
"""A person thinks long between two changes of a form, and its imports take seconds."""
HUB = "hub:"


@dataclass(frozen=True)
class PlanFacts:
    """What is known of a run that could be started.

    Args:
        model: what is known of the model without loading weights, in sentences.
        data: what was read, how it is split, and what will be trained on, in sentences.
        needed_bytes: room on disk that checkpoints and adapter will take, at least.
        train_examples: how many are trained on.
        heldout_examples: how many are held out.
        resolved_yaml: the whole configuration, as the run will have it.
    """

    model: tuple[str, ...]
    data: tuple[str, ...]
    needed_bytes: int
    train_examples: int
    heldout_examples: int
    resolved_yaml: str


class Planner:
    """Checks, starts and resumes the runs of a workspace. Safe across threads; checks wait for one another.

    Errors are those of `codex.services.train`, word for word; a ChildDied or ChildFailed besides, when the process beside breaks.

    Not covered: `model.confirm_download=true` with a model that is not here fetches it within `check` and `start`, which may take long.

    Args:
        workspace: where runs are.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        # A hub may be reached only for a model that the person named there, and the libraries learn that when they are imported.
        self._offline, self._online = (
            Child(Birth(NAME, HANDLER, workspace, online=online, idle_s=IDLE_SECONDS)) for online in (False, True)
        )

    def __enter__(self) -> Planner:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def warm(self, overrides: Sequence[str] = ()) -> None:
        """Import what a check needs, in the background, and look at the data of these overrides; the first check then takes a moment.

        What goes wrong meanwhile is said by the check that meets it again.
        """
        with contextlib.suppress(ChildDied):
            self._offline.life().ask("warm", overrides=list(overrides))

    def check(self, overrides: Sequence[str]) -> PlanFacts:
        """Check everything about a run that can be checked before weights are loaded; makes nothing.

        Args:
            overrides: `key=value` as typed.

        Raises:
            UserError: with every problem of the configuration, the first of model or data.
        """
        return _facts(self._planned(overrides)["facts"])

    def start(self, overrides: Sequence[str]) -> str:
        """Check, make the run's folder and start its worker; gives the run's id.

        Raises:
            UserError: as `check`; or the workspace cannot be written, or the worker did not start; no half-made run is left.
        """
        planned = self._planned(overrides)
        return train.start_planned(planned["title"], planned["files"], workspace=self._workspace).id

    def resume(self, name: str) -> str:
        """Start a run again from its newest complete checkpoint, or from the beginning where it has none; gives the run's id.

        Raises:
            RunError: it is unknown, it runs, or it is finished.
            DataError: the data is gone, or is not what the run began with.
        """
        run = RunStore(self._workspace).get(name)
        self._offline.call("check_resume", name=run.id)
        return train.relaunch(run.id, workspace=self._workspace).id

    def prompts(self, run_name: str | None, count: int) -> tuple[str, ...]:
        """Short prompts that were held out from a run, or from the default data when None.

        Raises:
            UserError: there is no such run, or its data is gone.
        """
        return tuple(self._offline.call("prompts", run_name=run_name, count=count))

    def check_data(self, path: Path) -> int:
        """How many examples a file of a person's holds.

        Raises:
            UserError: it cannot be trained on as it is; with every problem that is shown of it.
        """
        return self._offline.call("check_data", path=str(path.absolute()))

    def close(self) -> None:
        """End the processes beside this one; there is nothing in them to save."""
        for child in (self._offline, self._online):
            child.close(patience_s=0.2)

    def _planned(self, overrides: Sequence[str]) -> dict[str, Any]:
        from codex.config.compose import compose

        source = compose(overrides=overrides, workspace=self._workspace).config.model.source
        child = self._online if source.startswith(HUB) else self._offline
        return child.call("plan", overrides=list(overrides))


def _facts(told: dict[str, Any]) -> PlanFacts:
    return PlanFacts(**{**told, "model": tuple(told["model"]), "data": tuple(told["data"])})


class PlanHandler:
    """What runs in the process beside.

    Args:
        workspace: where runs are.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def warm(self, should_stop: ShouldStop, *, overrides: list[str]) -> None:
        """Plan a run, which imports everything and keeps what it read."""
        with contextlib.suppress(UserError):  # nobody asked for that run yet
            train.plan(overrides=overrides, workspace=self._workspace)

    def plan(self, should_stop: ShouldStop, *, overrides: list[str]) -> dict[str, Any]:
        """The facts, and what the run's folder would begin with."""
        from codex.services.facts import data_facts, model_facts

        planned = train.plan(overrides=overrides, workspace=self._workspace)
        composed, data = planned.composed, planned.data
        facts = PlanFacts(
            model=tuple(model_facts(planned)),
            data=tuple(data_facts(planned)),
            needed_bytes=planned.needed_bytes,
            train_examples=len(data.train),
            heldout_examples=len(data.heldout),
            resolved_yaml=composed.resolved_yaml(),
        )
        title, files = train.papers(planned)
        return {"facts": asdict(facts), "title": title, "files": files}

    def check_resume(self, should_stop: ShouldStop, *, name: str) -> None:
        """Whether the run can go on."""
        train.check_resume(name, workspace=self._workspace)

    def check_data(self, should_stop: ShouldStop, *, path: str) -> int:
        """How many examples a file holds."""
        from codex.data.jsonl import read_file

        return len(read_file(Path(path)).examples)

    def prompts(self, should_stop: ShouldStop, *, run_name: str | None, count: int) -> list[str]:
        """Held-out prompts of a run, or of the default data."""
        from codex.services.prompts import heldout_prompts

        return list(heldout_prompts(run_name, workspace=self._workspace, count=count))

"""A handler for tests of processes beside this one: it does what handlers do, and what they should not."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from codex.core.errors import ConfigError, DataError, MissingExtra, ModelError, Problem
from codex.core.paths import Workspace
from codex.services.child_host import ShouldStop

FIRST = Problem("`seed` is -1", "expected 0 or more", "Set `seed=42`.", "override `seed=-1`")
SECOND = Problem("`nope` is no setting", "expected one", "Leave it out.")


class OwnError(ModelError):
    """An error of a class that only the child knows."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the model {name!r} is odd", "expected an even one", "Take another.")


class Handler:
    """Each method is an operation."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._log: list[str] = []

    def echo(self, should_stop: ShouldStop, *, value: Any) -> Any:
        """What was given."""
        return value

    def count(self, should_stop: ShouldStop, *, name: str, to: int, pause: float = 0.0) -> Iterator[dict[str, Any]]:
        """Numbers, until told to stop; how far it came is kept."""
        self._log.append(f"{name} begins")
        made = 0
        while made < to and not should_stop():
            yield {"name": name, "number": made}
            made += 1
            time.sleep(pause)
        self._log.append(f"{name} ends at {made}")
        return f"{name} made {made}"

    def told(self, should_stop: ShouldStop) -> list[str]:
        """What was done so far."""
        return self._log

    def babble(self, should_stop: ShouldStop) -> Iterator[dict[str, Any]]:
        """Write on every output what could be taken for a reply, read standard input, and answer all the same."""
        for number in range(3):
            print('{"id": 1, "value": "print"}', flush=True)
            os.write(2, b'{"id": 1, "piece": {"number": 9}}\n')
            yield {"number": number}
        print("x" * 200_000, flush=True)
        return sys.stdin.read()

    def mistake(self, should_stop: ShouldStop, *, kind: str) -> None:
        """Raise an error that a person can mend."""
        made = {
            "config": ConfigError([FIRST, SECOND]),
            "data": DataError.of([FIRST, SECOND]),
            "extra": MissingExtra("mlflow", "tracking", "MLflow tracking"),
            "own": OwnError("m"),
        }
        raise made[kind]

    def break_down(self, should_stop: ShouldStop) -> Iterator[dict[str, Any]]:
        """Raise what nobody can mend, after a piece."""
        yield {"number": 0}
        raise ZeroDivisionError("there is no tenth\nof nothing")

    def unsayable(self, should_stop: ShouldStop) -> object:
        """Return what JSON cannot hold."""
        return object()

    def leave(self, should_stop: ShouldStop, *, code: int) -> None:
        """End the process without a word to whoever asked."""
        print("about to leave", flush=True)
        os._exit(code)

    def hang(self, should_stop: ShouldStop, *, mark: str) -> None:
        """Compute for ever, deaf to everything."""
        Path(mark).write_text(str(os.getpid()))
        while True:
            pass

    def about(self, should_stop: ShouldStop) -> dict[str, Any]:
        """How the process stands."""
        return {
            "pid": os.getpid(),
            "session": os.getsid(0),
            "nice": os.nice(0),
            "oom": int(Path("/proc/self/oom_score_adj").read_text()),
            "environment": dict(os.environ),
            "modules": sorted(sys.modules),
            "stdin": str(Path("/proc/self/fd/0").readlink()),
        }

    def close(self) -> None:
        """Leave a mark of an orderly end."""
        (self._workspace.root / "closed").write_text("\n".join(self._log))


class Talker:
    """Stands for a model on the GPU: it talks until it is stopped, and dies of the seed 13.

    With the seed 14 it loads until the workspace has no file `hold` any more; whom it began to load is in `loads`, whom it began with in
    `begun`.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._folder = workspace.root
        self._opened = 0

    def open(
        self, should_stop: ShouldStop, *, target: str, settings: dict[str, Any], device: str | None, **more: Any
    ) -> dict[str, Any] | None:
        """Begin a conversation."""
        if settings["seed"] == 13:
            print("Segmentation fault", flush=True)
            os._exit(139)
        if settings["seed"] == 14:
            self._note("loads", target)
            while (self._folder / "hold").exists():
                time.sleep(0.01)
        if should_stop():
            return None
        self._opened += 1
        self._note("begun", target)
        return {"id": f"{os.getpid()}-{self._opened}", "sides": ["model"], "name": target, "device": device or "cuda"}

    def _note(self, name: str, line: str) -> None:
        self._folder.mkdir(exist_ok=True)
        with open(self._folder / name, "a") as file:
            file.write(f"{line}\n")

    def ask(self, should_stop: ShouldStop, **question: Any) -> Iterator[dict[str, Any]]:
        """Answer without end."""
        while not should_stop():
            yield {"side": "model", "text": os.environ.get("HF_HUB_OFFLINE", "online")}
            time.sleep(0.01)
        yield {"side": "model", "text": "", "done": True, "finish": "stopped"}

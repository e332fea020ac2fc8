"""`status.json`: how a run goes, rewritten in one step so that every reader sees a whole one."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

from codex.core import clock
from codex.core.files import write_json_atomic
from codex.runs.record import json_object

State = Literal["queued", "starting", "running", "stopping", "finished", "stopped", "failed", "unreadable"]
ReasonKind = Literal["finished", "stopped", "out of memory", "killed", "error", "machine restarted", "lost"]

ACTIVE: frozenset[State] = frozenset({"starting", "running", "stopping"})
"""States in which a process should be at work."""


@dataclass(frozen=True)
class ProcessId:
    """A process, named so that another one with the same pid is not taken for it.

    Args:
        pid: the system's number.
        start: when it started, in the system's own unit (`codex.core.clock.process_start`).
    """

    pid: int
    start: str

    @classmethod
    def own(cls) -> ProcessId:
        """This process."""
        return cls(*clock.own_process())

    def lives(self) -> bool:
        """Whether exactly this process is alive, on this machine and in this boot."""
        return clock.process_start(self.pid) == self.start


@dataclass(frozen=True)
class Reason:
    """Why a run ended.

    Args:
        kind: one of a few, for programs.
        sentence: the same for people.
        lines: what else was seen: the end of a traceback or of the log.
        signal: the signal that ended the worker: `SIGKILL`.
    """

    kind: ReasonKind
    sentence: str
    lines: tuple[str, ...] = ()
    signal: str | None = None


@dataclass(frozen=True)
class Ending:
    """The state in which an attempt ended, why, and when."""

    state: State
    reason: Reason
    ts: float = field(default_factory=clock.now)


@dataclass(frozen=True)
class Status:
    """How a run goes.

    Args:
        state: `starting`, `running` and `stopping` mean that a process is at work.
        attempt: 1 for the first launch, 2 after the first resume; 0 before any.
        step: how far the worker is; None until it says.
        total: how far it will go.
        note: what it is doing, in words.
        numbers: its latest figures; None stands for one that is not finite.
        heartbeat: when the status was last known to be true; seconds since the epoch.
        started: when this attempt started.
        ended: when this attempt ended.
        reason: why it ended.
        supervisor: the process that watches.
        worker: the process that works.
        boot: the boot in which they were started.
        host: the machine on which they were started.
    """

    state: State = "queued"
    attempt: int = 0
    step: int | None = None
    total: int | None = None
    note: str = ""
    numbers: Mapping[str, float | None] = field(default_factory=dict[str, float | None])
    heartbeat: float | None = None
    started: float | None = None
    ended: float | None = None
    reason: Reason | None = None
    supervisor: ProcessId | None = None
    worker: ProcessId | None = None
    boot: str = ""
    host: str = ""

    @property
    def active(self) -> bool:
        """Whether a process should be at work."""
        return self.state in ACTIVE

    def processes(self) -> tuple[ProcessId, ...]:
        """Worker and supervisor, as far as they are known."""
        return tuple(process for process in (self.worker, self.supervisor) if process is not None)

    def anyone_lives(self) -> bool:
        """Whether the worker or its supervisor is alive on this machine."""
        return self.boot == clock.boot_id() and any(process.lives() for process in self.processes())


def host_name() -> str:
    """This machine's name."""
    return os.uname().nodename


def finite(numbers: Mapping[str, float]) -> dict[str, float | None]:
    """`numbers` as JSON can hold them: None for one that is not finite."""
    return {name: float(value) if math.isfinite(value) else None for name, value in numbers.items()}


def status_file(folder: Path) -> Path:
    """`status.json` of a run's folder."""
    return folder / "status.json"


def write_status(folder: Path, status: Status, *, durable: bool = True) -> None:
    """Replace `status.json`; `durable` also survives a power loss, which heartbeats need not."""
    write_json_atomic(status_file(folder), asdict(status), durable=durable)


def read_status(folder: Path) -> Status:
    """The status of the run in `folder`.

    Raises:
        ValueError: `status.json` is missing or damaged; the message says how.
    """
    try:
        return parse_status(status_file(folder).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError("it is missing") from error
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error


def parse_status(text: str) -> Status:
    """The status that `text` holds; keys that are not known are passed over.

    Raises:
        ValueError: the text is damaged; the message says how.
    """
    fields = json_object(text)
    return Status(
        state=_choice(fields, "state", get_args(State)),
        attempt=_take(fields, "attempt", int, 0),
        step=_take(fields, "step", int, None),
        total=_take(fields, "total", int, None),
        note=_take(fields, "note", str, ""),
        numbers={name: _take(fields["numbers"], name, float, None) for name in _take(fields, "numbers", dict, cast(dict[str, Any], {}))},
        heartbeat=_take(fields, "heartbeat", float, None),
        started=_take(fields, "started", float, None),
        ended=_take(fields, "ended", float, None),
        reason=_reason(_take(fields, "reason", dict, None)),
        supervisor=_process(_take(fields, "supervisor", dict, None)),
        worker=_process(_take(fields, "worker", dict, None)),
        boot=_take(fields, "boot", str, ""),
        host=_take(fields, "host", str, ""),
    )


def ending_json(ending: Ending, attempt: int) -> dict[str, Any]:
    """`ending`, of one attempt, as JSON values."""
    return {"attempt": attempt, **asdict(ending)}


def parse_ending(text: str, attempt: int) -> Ending | None:
    """The ending that `text` holds; None when it is of another attempt than `attempt`.

    Raises:
        ValueError: the text is damaged; the message says how.
    """
    fields = json_object(text)
    if fields.get("attempt") != attempt:
        return None
    reason = _reason(_take(fields, "reason", dict, None))
    if reason is None:
        raise ValueError("`reason` is missing")
    return Ending(_choice(fields, "state", get_args(State)), reason, _take(fields, "ts", float, 0.0))


def _take(fields: dict[str, Any], name: str, kind: type, default: Any) -> Any:
    value = fields.get(name)
    if value is None:
        return default
    if kind is float and isinstance(value, int) and abs(value) < 2**53:
        value = float(value)
    if not isinstance(value, kind) or isinstance(value, bool) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"`{name}` is {value!r}")
    return value


def _choice(fields: dict[str, Any], name: str, choices: tuple[Any, ...]) -> Any:
    value = fields.get(name)
    if value not in choices:
        raise ValueError(f"`{name}` is {value!r}")
    return value


def _process(fields: dict[str, Any] | None) -> ProcessId | None:
    if fields is None:
        return None
    pid, start = _take(fields, "pid", int, 0), _take(fields, "start", str, "")
    if pid <= 0:  # 0 and negative numbers name groups of processes: never to be signalled
        raise ValueError(f"`pid` is {pid!r}")
    return ProcessId(pid, start)


def _reason(fields: dict[str, Any] | None) -> Reason | None:
    if fields is None:
        return None
    lines = tuple(str(line) for line in _take(fields, "lines", list, cast(list[Any], [])))
    kind = _choice(fields, "kind", get_args(ReasonKind))
    return Reason(kind, _take(fields, "sentence", str, ""), lines, _take(fields, "signal", str, None))

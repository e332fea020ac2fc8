"""Workspaces as a browser test finds them: a run in every state, with steps, checkpoints, verdicts and hostile names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from codex.config.compose import compose
from codex.core import clock
from codex.core.events import Event
from codex.core.paths import Workspace
from codex.runs.record import Run
from codex.runs.status import Reason
from codex.services import queries
from codex.services.metrics import session_of
from codex.sessionlog import SessionLog
from tests.made import Made

HOSTILE = (
    "<script>alert(1)</script> 🚀 \"quoted\" & 'a very long title that goes on and on so that it has to wrap or be cut somewhere sensible'"
)


def configured(run: Run, *overrides: str) -> Run:
    """`run` with the whole configuration that these overrides give."""
    composed = compose(overrides=list(overrides), environ={})
    run.resolved.write_text(composed.resolved_yaml())
    run.asked.write_text(composed.asked_yaml())
    return run


def log_steps(workspace: Workspace, run: Run, steps: range, heldout_every: int = 20) -> None:
    """Log a plausible series of steps."""
    with SessionLog.open(workspace) as log, log.session("training", run.title, id=session_of(run), run_id=run.id) as session:
        for step in steps:
            numbers: dict[str, Any] = {
                "split": "train",
                "learning_rate": 2e-3 * math.cos(step / 150),
                "grad_norm": 1 + math.sin(step),
                "tokens": step * 900,
                "tokens_per_s": 1900.0 + 40 * math.sin(step / 3),
                "memory_gib": 1.1,
            }
            loss = 2.2 + 2.4 * math.exp(-step / 30) + 0.1 * math.sin(step * 7)
            session.append("info", attributes=numbers, step=step, loss=loss)
            if step % heldout_every == 0:
                session.append("info", attributes={"split": "heldout"}, step=step, loss=loss + 0.2)


def _checkpoint(run: Run, step: int) -> None:
    folder = run.checkpoints / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(bytes(4096))


CALL: dict[str, Any] = {"arguments": {"path": "codex/data", "branch": True}}
GAPS = "Three gaps carry most of the risk. " * 150
AGENT: tuple[dict[str, Any], ...] = (
    {"role": "system", "content": "You find functions that no test reaches."},
    {"role": "user", "content": HOSTILE, "tokens_in": 38},
    {"role": "tool", "content": '{"files": 14, "percent": 91.9}', "tool": "coverage.run", "attributes": CALL, "latency_ms": 8200.0},
    {"role": "tool", "content": "def read(path):\n    ...", "tool": "files.read", "attributes": {"arguments": "a.py"}, "latency_ms": 12.0},
    {"role": "warning", "content": "The file holds a key: [redacted:aws-key].", "redacted": 1},
    {
        "role": "assistant",
        "content": GAPS,
        "model": "codex-tiny",
        "tokens_out": 402,
        "latency_ms": 1.9e3,
    },
)
"""What an agent did, four seconds apart."""


def _ingested(log: SessionLog, title: str, events: Sequence[dict[str, Any]]) -> str:
    """A session that took its time, an hour ago, as another program would have written it; gives its id."""
    marks = ({"session_event": "opened"}, {"session_event": "ended", "outcome": "finished"})
    rows = [
        {"role": "info", "content": title, "attributes": marks[0]}, *events, {"role": "info", "attributes": marks[1]},
    ]  # fmt: skip
    began = clock.now() - 3600
    log.ingest(Event(session="agent-1", seq=seq, ts=began + 4.2 * seq, kind="agent", **row) for seq, row in enumerate(rows))
    return "agent-1"


def log_talks(workspace: Workspace) -> dict[str, str]:
    """Log a chat, an agent's work with tools, a session that failed and one that is long, and keep a query; gives the id of each."""
    with SessionLog.open(workspace) as log:
        with log.session("chat", "Explain contextlib.suppress", id="chat-1") as chat:
            chat.append("user", "What does contextlib.suppress do?", tokens_in=9)
            answer = "It swallows the exceptions that are named:\n\n    with suppress(FileNotFoundError):\n        path.unlink()"
            for side, words in (("base", "It is a function."), ("adapter", answer)):
                figures: dict[str, Any] = {"tokens_in": 41, "tokens_out": len(words.split()), "latency_ms": 40.0 * len(words)}
                chat.append("assistant", words, model="codex-tiny", attributes={"side": side, "seed": 7, "finish": "stop"}, **figures)
        agent = _ingested(log, "Coverage gaps in codex/data", AGENT)
        with suppress(ValueError), log.session("serving", "A request that failed", id="serving-1") as failing:
            failing.append("user", "x" * 300, tokens_in=300)
            raise ValueError("the context holds 256 tokens, the request 300")
        with log.session("agent", "Long work", id="agent-2") as long:
            for number in range(1, 430):
                long.append("info", f"step {number} of the zebra walk")
        log.annotate(agent, 6, rating=1)
        log.annotate(chat.id, 3, rating=1, note="Right, and with an example.")
        log.annotate(chat.id, 2, rating=-1, edit="It gives a context manager that swallows the exceptions named.")
    queries.save(queries.Query("events", "Events of each kind", "select kind, count(*) from events group by kind"), workspace=workspace)
    return {"chat": chat.id, "agent": agent, "broken": failing.id, "long": long.id}


def full_workspace(workspace: Workspace) -> dict[str, str]:
    """Fill a workspace; gives the id of the run in each state."""
    made = Made(workspace)
    now = clock.now()
    finished = configured(made.finished("Rank 16"))
    log_steps(workspace, finished, range(4, 101))
    other = configured(made.finished("Rank 64"), "method.rank=64", "training.learning_rate=1e-3")
    log_steps(workspace, other, range(4, 101))
    lines = ("RuntimeError: [enforce fail at alloc_cpu.cpp:117]", "you tried to allocate 13421772800 bytes")
    reason = Reason("out of memory", "Out of memory at step 37 of 600.", lines)
    failed = configured(made.run("Too large", state="failed", reason=reason, step=37, total=600, started=now - 95, ended=now - 60))
    _checkpoint(failed, 30)
    log_steps(workspace, failed, range(1, 38))
    reason = Reason("stopped", "Stopped.")
    stopped = configured(made.run(HOSTILE[:200], state="stopped", reason=reason, step=44, total=200, started=now - 30, ended=now - 5))
    _checkpoint(stopped, 44)
    log_steps(workspace, stopped, range(1, 45))
    damaged = made.run("Damaged", state="finished", reason=Reason("finished", "Finished."), step=1, total=1, started=now - 9, ended=now - 3)
    damaged.report.write_text('{"run": ')
    (damaged.folder / "status.json").write_text("{")
    running = configured(made.running("At work", step=120, total=200, numbers={"loss": 2.31}))
    log_steps(workspace, running, range(1, 121))
    log_talks(workspace)
    runs = {"finished": finished, "other": other, "failed": failed, "stopped": stopped, "damaged": damaged, "running": running}
    return {state: run.id for state, run in runs.items()}

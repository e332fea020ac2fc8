"""A run in words: its state, why it ended, what came out, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from codex.cli.options import Place
from codex.cli.terminal import Painted, Part, Tone, one_line, out
from codex.core import numbers

if TYPE_CHECKING:
    from codex.services.runs import RunSummary

TONES: dict[str, Tone] = {
    "queued": "dim", "starting": "live", "running": "live", "stopping": "live",
    "finished": "good", "stopped": "warn", "failed": "bad", "unreadable": "bad",
}  # fmt: skip
MOST_ITEMS = 3
TALK = {"adapter": "talk to base and adapter side by side", "model": "talk to it"}
"""What a chat is with each kind of result; full training leaves a model, whose base is another one."""


def state(summary: RunSummary) -> Painted:
    """The state as one word, with its colour."""
    return Painted(summary.status.state, TONES.get(summary.status.state, "dim"))


def steps(summary: RunSummary) -> str:
    """How far it is: "37/100"."""
    status = summary.status
    if status.total is None:
        return numbers.count(status.step)
    return f"{numbers.count(status.step or 0)}/{numbers.count(status.total)}"


def show_end(summary: RunSummary, place: Place) -> None:
    """How a run ended, for whoever watched it."""
    status, run = summary.status, summary.run
    seconds = summary.seconds
    after = f" after {numbers.duration(seconds)}" if seconds is not None else ""
    out(Painted(run.id, "bold"), " ", state(summary), f"{after}, step {steps(summary)}")
    show_reason(summary)
    if status.state == "finished":
        show_verdict(summary)
        show_adapter(summary)
    out()
    for words in next_commands(summary):
        out("Next: ", Painted(f"{place.command(*words[:-1])}", "bold"), f"  {words[-1]}")


def show_reason(summary: RunSummary) -> None:
    """What of it cannot be read, and why it ended, with what was seen last; nothing for one that finished."""
    if summary.problem is not None:
        out(Painted(one_line(summary.problem), "bad"))
    reason = summary.status.reason
    if reason is None or reason.kind == "finished":
        return
    out(Painted(one_line(reason.sentence), TONES.get(summary.status.state, "dim")))
    for line in reason.lines:
        out("  ", line)


def show_verdict(summary: RunSummary) -> None:
    """The verdict's sentence, and for each metric its figures, wins and losses."""
    verdict: Any = (summary.report or {}).get("verdict")
    if verdict is None and summary.verdict is not None:
        out(summary.verdict)  # the report is there and cannot be read
        return
    if verdict is None:
        out("No verdict: the run was not judged.")
        return
    word, colon, rest = one_line(str(verdict["sentence"])).partition(":")
    tone: Tone = "good" if word == "Better" else "bad" if word == "Worse" else "bold"
    out(Painted(word, tone), colon, rest)
    for row in verdict.get("metrics", ()):
        out("  ", _metric(row))


def _metric(row: dict[str, Any]) -> str:
    """One metric: base, adapter, their difference, wins and losses by item."""
    change, decimals = row["difference"], max(2, int(row["decimals"]))
    ends = [change[end] for end in ("low", "high")]
    interval = "" if None in ends else f" [{', '.join(numbers.signed(end, decimals) for end in ends)}]"
    said = f"{one_line(row['title'])} {numbers.fixed(row['base'], decimals)} → {numbers.fixed(row['adapter'], decimals)}"
    tally = f"{numbers.count(row['wins'])} better, {numbers.count(row['losses'])} worse, {numbers.count(row['ties'])} the same"
    return f"{said}, {numbers.signed(change['value'], decimals)}{interval}; {tally}"


def show_items(summary: RunSummary) -> None:
    """The held-out items that gained and lost most, by answer loss."""
    verdict: Any = (summary.report or {}).get("verdict") or {}
    rows = [row for row in verdict.get("rows", ()) if row["base_loss"] is not None and row["adapter_loss"] is not None]
    ranked = sorted(rows, key=lambda row: row["adapter_loss"] - row["base_loss"])
    wins = [row for row in ranked if row["adapter_loss"] < row["base_loss"]][:MOST_ITEMS]
    losses = [row for row in reversed(ranked) if row["adapter_loss"] > row["base_loss"]][:MOST_ITEMS]
    for title, chosen in ((Painted("Largest wins", "good"), wins), (Painted("Largest losses", "bad"), losses)):
        if chosen:
            out(title)
        for row in chosen:
            change = numbers.signed(row["adapter_loss"] - row["base_loss"], 2)
            out(f"  {one_line(row['origin'])}  {numbers.fixed(row['base_loss'], 2)} → {numbers.fixed(row['adapter_loss'], 2)}, {change}")


def show_adapter(summary: RunSummary) -> None:
    """Where the trained weights are, and the plain lines that load them."""
    from codex.core.files import folder_bytes
    from codex.services.results import result_of

    found = result_of(summary.run)
    if found is None:
        return
    size = f"  {numbers.size(folder_bytes(found.folder))}"
    if found.kind == "damaged":
        out(Painted(f"Damaged result: {found.folder}", "bad"), size)
        out("  ", one_line(str(found.problem)))
        return
    out(Painted(f"{found.kind.capitalize()}: {found.folder}", "bold"), size)
    for line in found.code.splitlines():
        out("  ", line)


def next_commands(summary: RunSummary) -> list[tuple[str, ...]]:
    """What a person may want to do now: the command's words, then what it does."""
    from codex.services.results import result_of

    run = summary.run
    show = ("runs", "show", run.id, "everything about it")
    if summary.status.state == "finished":
        found = result_of(run)
        about = TALK.get(found.kind) if found is not None else None
        return [("chat", run.id, about), show] if about is not None else [show]
    if summary.status.state in ("failed", "stopped", "unreadable"):  # a resume writes a status that can be read
        saved = run.checkpoints.is_dir() and any(path.name.startswith("checkpoint-") for path in run.checkpoints.iterdir())
        anew = "begin again, once the cause is mended" if summary.status.state == "failed" else "begin again from the start"
        about = "go on from the newest complete checkpoint" if saved else anew
        return [("runs", "resume", run.id, about), show]
    return [show]


def facts(pairs: list[tuple[str, Part]]) -> None:
    """Names and values, aligned."""
    longest = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        out(Painted(f"{name:<{longest}}  ", "dim"), value)

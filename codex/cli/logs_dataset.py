"""`codex-ml logs dataset`: from sessions and answers of the log to a file to train on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from codex.cli.logs_options import Chosen, choosing
from codex.cli.options import JsonOption, Place, WorkspaceOption, one_of, place, whole_number
from codex.cli.tables import table
from codex.cli.terminal import Painted, Tone, document, note, one_line, out
from codex.core import numbers
from codex.core.errors import UserError

if TYPE_CHECKING:
    from codex.services.log_data import Choice, Counts, Preview, WantedSide, Written

RATED = {"good": 1, "not-bad": 0, "any": -1}
SIDES = ("judged", "base", "adapter")
RATINGS = {1: "rated good", -1: "rated bad"}
TONES: dict[str, Tone] = {"user": "bold", "assistant": "live", "chosen": "good", "rejected": "bad"}


@choosing
def dataset(  # noqa: PLR0913 - each parameter is an option that a person sees
    ctx: typer.Context,
    chosen: Chosen,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Of the new file in `datasets`.", show_default=False)] = None,
    preview: Annotated[bool, typer.Option("--preview", help="Show what it would hold, and write nothing.")] = False,
    preference: Annotated[bool, typer.Option("--preference", help="Pairs of a chosen and a rejected answer.")] = False,
    rated: Annotated[
        str, typer.Option("--rated", metavar="good|not-bad|any", help="Answers that it ends with; good takes edits too.")
    ] = "not-bad",
    event: Annotated[
        list[str] | None, typer.Option("--event", metavar="ID:N", help="The answer N of session ID, by hand; may be given again.")
    ] = None,
    side: Annotated[
        str, typer.Option("--side", metavar="SIDE", help="Of both: judged (rated or edited, else the adapter's), base, adapter.")
    ] = "judged",
    tools: Annotated[bool, typer.Option("--tools", help="Keep turns with tools, which cannot be trained on yet.")] = False,
    redacted: Annotated[bool, typer.Option("--redacted", help="Keep what has `[redacted:…]` in it.")] = False,
    show: Annotated[str, typer.Option("--show", metavar="N", help="Examples that a preview shows.")] = "3",
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a data set of good answers, each with where it came from.

    For example:  codex-ml logs dataset good --kind chat --rated good --since 7d
    """
    from codex.services import log_data

    where = place(ctx, workspace)
    choice = log_data.Choice(
        selection=None if event and chosen == Chosen() else chosen.selection(),
        events=tuple(map(_event, event or ())),
        kind="preference" if preference else "chat",
        min_rating=RATED[one_of("--rated", rated, tuple(RATED))],
        side=cast("WantedSide", one_of("--side", side, SIDES)),
        include_tools=tools,
        include_redacted=redacted,
    )
    most = whole_number("--show", show, 0, 10_000)
    if preview:
        _show_preview(log_data.choose(where.workspace, choice, shown=most), as_json=as_json)
    else:
        _say_written(log_data.write(where.workspace, choice, _named(name)), choice, where, as_json=as_json)
    _say_damage(where)


def _event(typed: str) -> tuple[str, int]:
    """An answer as "session:seq".

    Raises:
        UserError: it is none.
    """
    session, _, seq = typed.rpartition(":")
    if not session or not seq.isdecimal() or len(seq) > 18:
        raise UserError(
            f"`--event` is {typed[:60]!r}", "expected a session's id, `:` and an event's number", "For example `--event last:2`."
        )
    return session, int(seq)


def _named(name: str | None) -> str:
    if name is None:
        raise UserError("NAME is missing", "expected a name for the data set, or `--preview`", "For example `codex-ml logs dataset good`.")
    return name


def _show_preview(preview: Preview, *, as_json: bool) -> None:
    if as_json:
        from dataclasses import asdict

        examples = list(preview.examples)
        document({"counts": asdict(preview.counts), "skipped": preview.skipped, "notes": preview.notes, "examples": examples})
        return
    table(["would hold", "count"], [[label, numbers.count(count)] for label, count in _held(preview.counts)], right=[1])
    if preview.skipped:
        out()
        table(["left out", "count"], [[why, numbers.count(count)] for why, count in preview.skipped.items()], right=[1])
    for number, row in enumerate(preview.examples, 1):
        out()
        _show_row(number, row)
    _say_notes(preview.notes)
    note("Preview: nothing was written.")


def _held(counts: Counts) -> list[tuple[str, int]]:
    """What a data set has, in the order in which people ask."""
    return [
        ("examples", counts.examples),
        ("answers in them", counts.answers),
        ("of these rated good", counts.good),
        ("of these edited", counts.edited),
        ("duplicates dropped", counts.duplicates),
        ("sessions looked at", counts.sessions),
    ]


def _show_row(number: int, row: Mapping[str, Any]) -> None:
    """One example: where it came from, then who says what."""
    origin = row["origin"]
    facts = [f"events {origin['seqs'][0]} to {origin['seqs'][1]}", *([origin["side"]] if origin["side"] else [])]
    facts += [RATINGS[origin["rating"]]] if origin["rating"] in RATINGS else []
    facts += ["edited"] if origin["edited"] else []
    out(Painted(f"{number}  {one_line(origin['session'])}", "bold"), f"  {', '.join(facts)}")
    _show_messages(row.get("messages", row.get("prompt", ())))
    for which in ("chosen", "rejected"):
        _show_messages([{**message, "role": which} for message in row.get(which, ())])


def _show_messages(messages: Sequence[Mapping[str, Any]]) -> None:
    for message in messages:
        calls = [f"calls {call['function']['name']}" for call in message.get("tool_calls", ())]
        said = one_line("  ".join([*([message["content"]] if message["content"] else []), *calls]))
        out(Painted(f"   {message['role']:<9}", TONES.get(message["role"], "dim")), f"  {said}")


def _say_written(written: Written, choice: Choice, where: Place, *, as_json: bool) -> None:
    if as_json:
        from dataclasses import asdict

        document({**asdict(written), "path": str(written.path), "examples": written.examples})
        return
    out(str(written.path))
    counts = written.counts
    held = f"{numbers.plural(counts.examples, 'example')} with {numbers.plural(counts.answers, 'answer')}"
    note(f"{held}; {numbers.count(counts.good)} rated good, {numbers.count(counts.edited)} edited.")
    if written.skipped or counts.duplicates:
        left = [*written.skipped.items(), *([("duplicate example", counts.duplicates)] if counts.duplicates else [])]
        note(f"Left out: {'; '.join(f'{why}: {numbers.count(count)}' for why, count in left)}.")
    _say_notes(written.notes)
    if choice.kind == "chat" and not written.notes:
        note(f"Train on it: `{where.command('train', 'recipe=qlora-chat', f'data.source={written.source}')}`.")


def _say_notes(notes: Sequence[str]) -> None:
    for each in notes:
        note(each)


def _say_damage(where: Place) -> None:
    from codex.services import logs as service

    if damage := service.damage_seen(service.open_log(where.workspace)):
        note(f"The session log is damaged: {one_line(damage)}. See `codex-ml logs doctor`.")

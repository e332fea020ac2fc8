"""What the commands of `codex-ml logs` take alike, first of all which sessions or events are meant."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from codex.cli.options import one_of
from codex.core.errors import UserError

if TYPE_CHECKING:
    from codex.services.logs import Selection

RATINGS = {"good": 1, "bad": -1}
WHEN = 'WHEN is 2026-11-25, "2026-11-25 14:00", today, yesterday, 3d, 2h or 30min; local time.'

_LAST = ("workspace", "as_json", "as_csv")
"""Options that stand at the end of every command's help."""

CsvOption = Annotated[bool, typer.Option("--csv", help="Write CSV on stdout, every value whole.")]
SessionName = Annotated[str, typer.Argument(metavar="ID", help="A session's id, its beginning or end, or `last`.")]
LimitOption = Annotated[str, typer.Option("--limit", metavar="N", help="How many at most.")]
SinceOption = Annotated[str | None, typer.Option("--since", metavar="WHEN", help=f"Not before. {WHEN}")]
UntilOption = Annotated[str | None, typer.Option("--until", metavar="WHEN", help="Not after; a day counts in full.")]


@dataclass(frozen=True)
class Chosen:
    """Which sessions or events are meant, as typed; the fields' types are the options."""

    kind: Annotated[list[str] | None, typer.Option("--kind", metavar="KIND", help="chat, training, agent, …; may be given again.")] = None
    role: Annotated[list[str] | None, typer.Option("--role", metavar="ROLE", help="user, assistant, tool, …; may be given again.")] = None
    tool: Annotated[list[str] | None, typer.Option("--tool", metavar="TOOL", help="By this tool; may be given again.")] = None
    model: Annotated[list[str] | None, typer.Option("--model", metavar="MODEL", help="By this model; may be given again.")] = None
    session: Annotated[list[str] | None, typer.Option("--session", metavar="ID", help="Of this session; may be given again.")] = None
    run: Annotated[str | None, typer.Option("--run", metavar="RUN", help="Of the run with this id (r-0007).")] = None
    rating: Annotated[str | None, typer.Option("--rating", metavar="good|bad", help="Rated so.")] = None
    since: SinceOption = None
    until: UntilOption = None
    where: Annotated[str | None, typer.Option("--where", metavar="SQL", help="A condition over columns of the view `{view}`.")] = None

    def selection(self) -> Selection:
        """What was typed as a selection.

        Raises:
            UserError: a value is none.
        """
        from codex.core.events import Role
        from codex.services.logs import Selection

        since, until = period(self.since, self.until)
        roles = tuple(one_of("--role", each, get_args(Role)) for each in self.role or ())
        rating = None if self.rating is None else RATINGS[one_of("--rating", self.rating, tuple(RATINGS))]
        if self.where is not None and not self.where.strip():
            raise UserError(f"`--where` is {self.where!r}", "expected a condition in SQL", 'For example `--where "errors > 0"`.')
        return Selection(
            since=since,
            until=until,
            kinds=tuple(self.kind or ()),
            roles=roles,
            tools=tuple(self.tool or ()),
            models=tuple(self.model or ()),
            sessions=tuple(self.session or ()),
            run_id=self.run,
            rating=rating,
            where=self.where or "",
        )


def period(since: str | None, until: str | None) -> tuple[float | None, float | None]:
    """From when until when, in seconds since the epoch.

    Raises:
        UserError: one of them is no time, or the second is not after the first.
    """
    from codex.services import log_times

    begin = None if since is None else log_times.since("--since", since)
    end = None if until is None else log_times.until("--until", until)
    if begin is not None and end is not None and end <= begin:
        raise UserError(f"`--until` is {until!r}, which is before `--since` {since!r}", "expected a later time", "Exchange the two.")
    return begin, end


def choosing(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options by which sessions are chosen; it takes them as one parameter, `chosen`."""
    return _with_options(command, "sessions")


def choosing_events(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options by which events are chosen; it takes them as one parameter, `chosen`."""
    return _with_options(command, "events")


def _with_options(command: Callable[..., None], view: str) -> Callable[..., None]:
    signature = inspect.signature(command, eval_str=True)
    options = [_about(parameter, view) for parameter in inspect.signature(Chosen, eval_str=True).parameters.values()]

    @functools.wraps(command)
    def with_options(**values: Any) -> None:
        typed = {parameter.name: values.pop(parameter.name) for parameter in options}
        command(**values, chosen=Chosen(**typed))

    own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in signature.parameters.values()]
    before = [parameter for parameter in own if parameter.name not in (*_LAST, "chosen")]
    after = [parameter for parameter in own if parameter.name in _LAST]
    with_options.__signature__ = signature.replace(parameters=[*before, *options, *after])  # type: ignore[attr-defined]
    return with_options


def _about(parameter: inspect.Parameter, view: str) -> inspect.Parameter:
    """The parameter of an option, its help about `view`."""
    kind, option = get_args(parameter.annotation)
    said = copy.copy(option)
    said.help = said.help.format(view=view)
    return parameter.replace(annotation=Annotated[kind, said], kind=inspect.Parameter.KEYWORD_ONLY)


def one_form(as_json: bool, as_csv: bool) -> None:
    """Refuse two forms of output at once.

    Raises:
        UserError: both are wanted.
    """
    if as_json and as_csv:
        raise UserError("`--json` and `--csv` are both given", "expected one of them", "Leave one out.")

"""`codex-ml chat`: talk to a base, an adapter, or both with the same seed."""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated, cast

import typer

from codex.cli.following import INTERRUPTED
from codex.cli.options import JsonOption, WorkspaceOption, number, one_of, place, whole_number
from codex.cli.terminal import Painted, is_terminal, note, one_line, out, record
from codex.core import numbers
from codex.core.errors import UserError

if TYPE_CHECKING:
    from codex.services.chat import Chat, Piece, Side

SIDES = ("base", "adapter", "both")
ENDINGS = {"length": "cut at --max-new-tokens", "context": "the model's context is full", "stopped": "stopped"}


class Interrupt:
    """Whether Ctrl-C was pressed while an answer was being made."""

    pressed = False


def chat(  # noqa: PLR0913 - each parameter is an option that a person sees
    ctx: typer.Context,
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="TARGET", help="A run, or a model: codex-tiny, a folder, hub:owner/name. Without: the newest run with an adapter."
        ),
    ] = None,
    prompt: Annotated[
        str | None, typer.Argument(metavar="PROMPT", help="What to say, in quotes; `-` reads stdin. Without it, a conversation.")
    ] = None,
    side: Annotated[
        str | None, typer.Option("--side", metavar="base|adapter|both", help="Who answers; both by default.", show_default=False)
    ] = None,
    seed: Annotated[str, typer.Option("--seed", metavar="N", help="Of the sampling; both sides get the same.")] = "42",
    temperature: Annotated[str, typer.Option("--temperature", metavar="T", help="0 takes the likeliest token each time.")] = "0",
    max_new_tokens: Annotated[str, typer.Option("--max-new-tokens", metavar="N", help="Longest answer.")] = "128",
    confirm_download: Annotated[
        bool,
        typer.Option("--confirm-download", help="Fetch a hub model that is not on this machine; without it, the error names the size."),
    ] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Talk to a base, an adapter, or both in turn.

    Every chat is kept in the session log.

    For example:  codex-ml chat last "def add(a, b): return a + b"
    """
    where = place(ctx, workspace)
    chosen = cast("Side | None", one_of("--side", side, SIDES) if side is not None else None)
    numbers_ = (
        whole_number("--max-new-tokens", max_new_tokens, 1, 1_000_000),
        number("--temperature", temperature, 0.0, 10.0),
        whole_number("--seed", seed, 0, 2**31 - 1),
    )
    text = _prompt(prompt)
    # What libraries tell their own developers is no part of an answer.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|peft|torch)\b")
    from codex.services import chat as service

    aim = target if target is not None else service.default_target(where.workspace)
    if is_terminal(sys.stderr):
        note(f"Loading {one_line(aim)}.")
    settings = service.ChatSettings(*numbers_)
    opened = service.open_chat(aim, chosen, workspace=where.workspace, settings=settings, confirm_download=confirm_download)
    with opened as conversation:
        interrupted = _converse(conversation, as_json=as_json) if text is None else _answer(conversation, text, as_json=as_json)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def _prompt(typed: str | None) -> str | None:
    """What to say; None when a person will type it.

    Raises:
        UserError: there is nothing to say.
    """
    if typed is None and is_terminal(sys.stdin) and is_terminal(sys.stdout):
        return None
    if typed is not None and typed != "-":
        origin, text = "PROMPT", typed
    else:
        origin, text = "the prompt from stdin", _stdin()
    if not text.strip():
        raise UserError(f"{origin} is {text[:20]!r}", "expected some text", 'Write it in quotes: `codex-ml chat last "Why?"`.')
    return text


def _stdin() -> str:
    if sys.stdin is None:
        return ""
    try:
        return sys.stdin.read().rstrip("\n")
    except UnicodeDecodeError as error:
        raise UserError(
            f"the prompt from stdin holds the byte 0x{error.object[error.start]:02x}", "expected UTF-8", "Convert it: `iconv -t UTF-8`."
        ) from error


def _converse(conversation: Chat, *, as_json: bool) -> bool:
    """Ask and answer until an empty line, Ctrl-D or Ctrl-C at the prompt; none of them is an interruption."""
    import readline  # noqa: F401 - importing it gives input() history and line editing

    note("An empty line or Ctrl-D ends the conversation; Ctrl-C stops an answer.")
    while True:
        try:
            text = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            note()
            return False
        if not text:
            return False
        _answer(conversation, text, as_json=as_json)


def _answer(conversation: Chat, text: str, *, as_json: bool) -> bool:
    """Show the answers as they are made; whether Ctrl-C stopped them."""
    with _interruptible() as interrupt:
        show = _Objects() if as_json else _Words(labels=len(conversation.sides) > 1)
        for piece in conversation.ask(text, should_stop=lambda: interrupt.pressed):
            show.take(piece)
    return interrupt.pressed


@contextmanager
def _interruptible() -> Iterator[Interrupt]:
    """Let the first Ctrl-C end the answer after its next token, and a second one end the program."""
    interrupt = Interrupt()

    def press(number: int, frame: FrameType | None) -> None:
        if interrupt.pressed:
            raise KeyboardInterrupt
        interrupt.pressed = True

    before = signal.signal(signal.SIGINT, press)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)


class _Words:
    """Answers as text, one side after the other under its name."""

    def __init__(self, *, labels: bool) -> None:
        self._labels = labels
        self._side: str | None = None

    def take(self, piece: Piece) -> None:
        """Show a piece."""
        if piece.side != self._side and self._labels:
            out(Painted(piece.side, "bold"))
        self._side = piece.side
        if not piece.done:
            out(piece.text, end="")
            return
        out()
        if is_terminal(sys.stderr):
            ending = ENDINGS.get(piece.finish or "")
            note(Painted(f"{numbers.count(piece.tokens_per_s)} tokens/s{f', {ending}' if ending else ''}", "dim"))
        elif piece.finish in ENDINGS:
            note(f"The answer is not whole: {ENDINGS[piece.finish]}.")
        if self._labels:
            out()


class _Objects:
    """Each piece as a JSON object on a line, and each whole answer."""

    def __init__(self) -> None:
        self._text = ""

    def take(self, piece: Piece) -> None:
        """Show a piece."""
        if not piece.done:
            self._text += piece.text
            record({"event": "piece", "side": piece.side, "text": piece.text})
            return
        record({"event": "answer", "side": piece.side, "text": self._text, "finish": piece.finish, "tokens_per_s": piece.tokens_per_s})
        self._text = ""

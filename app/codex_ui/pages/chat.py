"""Chat: base and adapter side by side, the same prompt and seed; each chat is a session in the log."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from markupsafe import escape

from codex.core import numbers
from codex.core.errors import CodexError, Problem, UserError
from codex.services.chat import ChatSettings, Piece
from codex.services.chats import Conversation, Opening
from codex_ui.context import AppContext
from codex_ui.page import Page
from codex_ui.pages_build import static
from codex_ui.render import render

BOTH = ("base", "adapter")
BUSY = (gr.update(interactive=False), gr.update(visible=True), gr.update(interactive=False))
"""Send, Stop and New conversation while an answer is made."""
IDLE = (gr.update(interactive=True), gr.update(visible=False), gr.update(interactive=True))
AS_IT_IS = (gr.skip(),) * (4 + 3 * len(BOTH))
"""Of the conversation, what the page holds of it, and its columns."""
MOST_TOKENS = 2048
PROMPTS = 3
TINY = "codex-tiny"
ENDS = {"end": "", "length": "cut at the limit", "context": "the context is full", "stopped": "stopped"}
REMEMBERED = "(...given) => given.with(-2, sessionStorage.getItem('codex.chat') ?? '')"
REMEMBER = "session => { sessionStorage.setItem('codex.chat', session); }"
"""The session in the log of what stands on the page: the browser keeps it, for a page that is loaded anew and an app that was restarted."""
MOVE = """
(moved, typed) => moved?.take === undefined ? (typed.trim() ? typed : moved?.give ?? typed)
  : typed.startsWith(moved.take) ? typed.slice(moved.take.length) : typed
"""
"""The message's field after a message was taken from it or given back to it; what was typed meanwhile is the person's own and stays."""


@dataclass
class Talk:
    """One browser's conversation.

    Args:
        target: whom it is with.
        device: where the model was loaded.
        sides: who answers: the columns that are shown.
        alone: whether each message stands alone.
        before: the session of what stood on the page before; "" for nothing.
        opening: while its model is loaded.
        conversation: as the chats know it; None until then.
        said: what each column shows.
        notes: what stands above each column.
        moves: how often a message was taken from its field or given back.
        busy: whether a message is being answered.
    """

    target: str = ""
    device: str = ""
    sides: tuple[str, ...] = BOTH
    alone: bool = False
    before: str = ""
    opening: Opening | None = None
    conversation: Conversation | None = None
    said: list[list[dict[str, str]]] = field(default_factory=lambda: [[] for _ in BOTH])
    notes: list[str] = field(default_factory=lambda: [""] * len(BOTH))
    moves: int = 0
    busy: bool = False

    @property
    def shown(self) -> range:
        """The places of the columns that are shown."""
        return range(len(self.sides))

    def add(self, role: str, text: str) -> None:
        """Somebody speaks, in every column."""
        for place in self.shown:
            self.said[place].append({"role": role, "content": text})
            self.notes[place] = ""

    def take_back(self) -> None:
        """Forget the message that was not answered; an answer that has begun stays, and what it answers."""
        for column in self.said:
            if column and column[-1] == {"role": "assistant", "content": ""}:
                column.pop()
            if column and column[-1]["role"] == "user":
                column.pop()

    def moved(self, how: str, text: str) -> dict[str, Any]:
        """That a message was taken from its field ("take") or is given back ("give"); each time another value, so that it is heard of."""
        self.moves += 1
        return {how: text, "number": self.moves}


def _settings(tokens: str, temperature: str, seed: str) -> ChatSettings:
    """What was typed as settings.

    Raises:
        UserError: one of them is no number that is taken.
    """
    return ChatSettings(
        max_new_tokens=int(_number("Answer tokens", tokens, 1, MOST_TOKENS, whole=True, usual=128)),
        temperature=_number("Temperature", temperature, 0, 5, whole=False, usual=0.7),
        seed=int(_number("Seed", seed, 0, 2**31 - 1, whole=True, usual=42)),
    )


def _number(name: str, typed: str, low: float, high: float, *, whole: bool, usual: float) -> float:
    expected = f"expected {'a whole number' if whole else 'a number'}, {low:,g} to {high:,.0f}"
    if not typed.strip():
        raise UserError(f"{name} is empty", expected, f"For example {usual:g}.")
    try:
        value: float = int(typed) if whole else float(typed)
    except ValueError:
        raise UserError(f"{name} is {typed!r}", expected, f"For example {usual:g}.") from None
    if math.isnan(value):
        raise UserError(f"{name} is {typed}", expected, f"For example {usual:g}.")
    if not low <= value <= high:
        raise UserError(f"{name} is {typed}", expected, f"Set {low if value < low else high:.0f}.")
    return value


def _columns(talk: Talk) -> list[Any]:
    """The updates of the session that the page holds, of the words and tabs above the columns, and of both columns.

    Of a column: whether it is shown at all, heading and conversation.
    """
    name = talk.conversation.name if talk.conversation else talk.target
    about = render("chat-about.html", both=len(talk.sides) > 1, name=name, alone=talk.alone, before=talk.before)
    session = talk.conversation.id if talk.conversation else gr.skip()
    updates: list[Any] = [session, about, gr.update(visible=len(talk.sides) > 1)]
    for place, usual in enumerate(BOTH):
        side = talk.sides[place] if place in talk.shown else usual
        head = render("chat-side.html", side=side, name=name, note=talk.notes[place])
        updates += [gr.update(visible=place in talk.shown), head, _as_said(talk.said[place])]
    return updates


def _as_said(said: list[dict[str, str]]) -> list[dict[str, Any]]:
    """What was said, so that it is shown letter for letter.

    Gradio shows text as HTML even where it is told that it is no Markdown: a picture in it would be fetched, and HTML has no carriage
    return. And it takes the indentation off a message that is a string, but not off a part of one that says it is text.
    """
    return [{"role": each["role"], "content": [{"type": "text", "text": _html(each["content"])}]} for each in said]


def _html(text: str) -> str:
    return str(escape(text)).replace("\r", "&#13;")


def _take(talk: Talk, piece: Piece) -> None:
    """Put a piece of an answer where it belongs."""
    assert talk.conversation is not None, "pieces come from a conversation"
    place = talk.conversation.sides.index(piece.side)
    if not piece.done:
        talk.said[place][-1]["content"] += piece.text
        return
    speed = f"{numbers.count(piece.tokens_per_s)} tokens/s" if piece.tokens_per_s else ""
    talk.notes[place] = " · ".join(part for part in (speed, ENDS.get(piece.finish or "", piece.finish or "")) if part)
    if not talk.said[place][-1]["content"]:
        talk.said[place][-1]["content"] = "(stopped before its first word)" if piece.finish == "stopped" else "(an empty answer)"


def _problems(error: CodexError) -> str:
    problems = error.problems if isinstance(error, UserError) else [Problem(str(error), "expected an answer", "Send it again.")]
    return render("problems.html", title="No answer", problems=problems)


class _Chatting:
    """What the page does; one for the app, the state is each browser's own."""

    def __init__(self, context: AppContext) -> None:
        self._chats = context.chats
        self._planner = context.planner

    def choices(self, session: str, talk: Talk | None, request: gr.Request) -> list[Any]:
        """Whom one can talk to now, a word where the address names somebody else, and the columns."""
        chosen, asked = self._asked(request), request.query_params.get("run")
        word = (
            "" if asked in (None, "", chosen) else render("note.html", text=f"{asked!r} cannot be talked to; {chosen} is chosen instead.")
        )
        choices = gr.update(choices=[(target.label, target.value) for target in self._chats.targets()], value=chosen)
        if talk is not None:  # a fast typist has sent before
            return [choices, word, *AS_IT_IS]
        fresh = self._fresh(chosen, before=session)
        return [choices, word, fresh, session, *_columns(fresh)[1:]]

    def chosen(self, target: str | None, session: str, talk: Talk | None) -> list[Any]:
        """The columns of whom one talks to now; what was said to another is in the log. An answer that is being made stays."""
        if talk is not None and (talk.busy or talk.target == target):
            return list(AS_IT_IS)
        self.forget(talk)
        fresh = self._fresh(target or TINY, before=session, moves=talk.moves if talk else 0)
        return [fresh, *_columns(fresh)]

    def _fresh(self, target: str, device: str = "", *, before: str, moves: int = 0) -> Talk:
        """Nothing said yet."""
        return Talk(target, device, self._sides(target), self._chats.alone(target), before, moves=moves)

    def _asked(self, request: gr.Request) -> str:
        """Whom the address names; else the newest run, else codex-tiny."""
        values = [target.value for target in self._chats.targets()]
        asked = request.query_params.get("run") or ""
        return asked if asked in values else values[0]

    def prompts(self, target: str | None) -> list[Any]:
        """Buttons with prompts that the run was not trained on; hidden where there are none, such as for plain text."""
        try:
            found = self._planner.prompts(None if target in (None, TINY) else target, PROMPTS)
        except CodexError:  # a suggestion; what is wrong with the data is said where it is used
            found = ()
        buttons = [gr.update(value=prompt, visible=True) for prompt in found]
        return [*buttons, *[gr.update(visible=False)] * (PROMPTS - len(buttons)), gr.update(visible=bool(found))]

    def send(  # noqa: PLR0913 - Gradio gives each input as an argument
        self, text: str, target: str | None, device: str, tokens: str, temperature: str, seed: str, session: str, talk: Talk | None,
        request: gr.Request,
    ) -> Iterator[list[Any]]:  # fmt: skip
        """Answer a message piece by piece; one that could not be answered is given back to its field."""
        target = target or self._asked(request)  # a fast typist sends before the choices are there
        talk = talk or self._fresh(target, before=session)
        if not text.strip():
            yield [talk, gr.skip(), gr.skip(), *_columns(talk), *IDLE]
            return
        try:
            settings = _settings(tokens, temperature, seed)
        except UserError as error:  # what was said so far stands
            yield [talk, gr.skip(), _problems(error), *_columns(talk), *IDLE]
            return
        if talk.conversation is None or (talk.target, talk.device) != (target, device):
            self.forget(talk)
            talk = self._fresh(target, device, before=session, moves=talk.moves)
        talk.add("user", text)
        talk.busy = True
        try:
            yield from self._opened(text, settings, talk)
            if talk.conversation is not None:
                yield from self._answer(text, settings, talk)
        except CodexError as error:
            if talk.conversation is not None and not self._chats.is_open(talk.conversation):
                talk.conversation = None
            talk.take_back()
            yield [talk, talk.moved("give", text), _problems(error), *_columns(talk), *IDLE]
        finally:
            talk.busy = False

    def _sides(self, target: str) -> tuple[str, ...]:
        """Who will answer, as far as can be known before the model is loaded."""
        found = next((each.sides for each in self._chats.targets() if each.value == target), ())
        return tuple(side for side in found if side != "both") or ("model",)

    def _opened(self, text: str, settings: ChatSettings, talk: Talk) -> Iterator[list[Any]]:
        """The message as it was sent, at once; then the conversation that it belongs to, once its model is loaded, or why there is none."""
        if talk.conversation is not None:
            yield [talk, talk.moved("take", text), "", *_columns(talk), *BUSY]
            return
        loading = f"{talk.target} is being loaded; the first answer takes some seconds. Stop ends the waiting."
        talk.opening = self._chats.opening(talk.target, None, settings, "cpu" if talk.device == "CPU" else "auto")
        yield [talk, talk.moved("take", text), render("note.html", text=loading), *_columns(talk), *BUSY]
        try:
            talk.conversation = talk.opening.wait()
        finally:
            talk.opening = None
        if talk.conversation is None:
            talk.add("assistant", "(stopped before it was asked)")
            stopped = f"Stopped. {talk.target} goes on being loaded, so that the next message waits less."
            yield [talk, talk.moved("give", text), render("note.html", text=stopped), *_columns(talk), *IDLE]
        else:
            talk.sides = talk.conversation.sides

    def _answer(self, text: str, settings: ChatSettings, talk: Talk) -> Iterator[list[Any]]:
        """The answer as it comes."""
        assert talk.conversation is not None, "it was just opened"
        talk.add("assistant", "")
        yield [talk, gr.skip(), "", *_columns(talk), *BUSY]
        for piece in self._chats.ask(talk.conversation, text, settings):
            _take(talk, piece)
            yield [talk, gr.skip(), gr.skip(), *_columns(talk), *BUSY]
        yield [talk, gr.skip(), gr.skip(), *_columns(talk), *IDLE]

    def stop(self, talk: Talk | None) -> None:
        """End the waiting for the model, or the answer after its next token; what was said stays, and the message's own event shows it."""
        if talk is not None and talk.opening is not None:
            talk.opening.leave()
        elif talk is not None and talk.conversation is not None:
            with contextlib.suppress(UserError):  # it has just ended by itself
                self._chats.stop(talk.conversation)

    def forget(self, talk: Talk | None) -> None:
        """A browser is gone: its conversation ends."""
        self.stop(talk)
        if talk is not None and talk.conversation is not None:
            self._chats.close_conversation(talk.conversation)

    def begin_again(self, target: str | None, talk: Talk | None) -> list[Any]:
        """A new conversation with the same model; who asks for it knows that the last one is over."""
        self.forget(talk)
        fresh = self._fresh(target or TINY, before="", moves=talk.moves if talk else 0)
        return [fresh, "", *_columns(fresh)[1:], ""]


def _build(context: AppContext, blocks: gr.Blocks) -> None:
    chatting = _Chatting(context)
    talk = gr.State(None, delete_callback=chatting.forget)
    static(render("chat.html"))
    with gr.Row(elem_classes="cx-chatbar"):
        target = gr.Dropdown([], label="Talk to", interactive=True, elem_id="chat-target", scale=3, min_width=200)
        device = gr.Radio(["Auto", "CPU"], value="Auto", label="Device", interactive=True, elem_classes="cx-seg", scale=1, min_width=120)
        tokens = gr.Textbox("128", label="Answer tokens", max_lines=1, interactive=True, scale=1, min_width=90)
        temperature = gr.Textbox("0", label="Temperature", max_lines=1, interactive=True, scale=1, min_width=90)
        seed = gr.Textbox("42", label="Seed", max_lines=1, interactive=True, scale=1, min_width=90)
        fresh = gr.Button("New conversation", scale=1, min_width=140)
    said = static("", elem_id="chat-said")
    session = gr.Textbox(visible="hidden", elem_id="chat-session")
    about = static(render("chat-about.html", both=None, name="", alone=False, before=""), elem_id="chat-about")
    tabs = gr.Radio(  # on a phone only, where static/narrow.css shows one column
        [side.capitalize() for side in BOTH], value="Base", show_label=False, label="Answers", container=False, interactive=True,
        elem_classes="cx-seg cx-sides",
    )  # fmt: skip
    columns: list[Any] = [session, about, tabs]
    with gr.Row(elem_classes="cx-talk"):
        for side in ("base", "adapter"):
            with gr.Column(min_width=280) as column:
                head = static(render("chat-side.html", side=side, name="", note=""))
                box = gr.Chatbot(
                    [], label=side.capitalize(), show_label=False, height=360, layout="panel", render_markdown=False, buttons=[],
                    latex_delimiters=[], feedback_options=None, elem_classes="cx-chat", placeholder="Nothing said yet.",
                )  # fmt: skip
            columns += [column, head, box]
    with gr.Row(elem_classes="cx-msgrow"):
        message = gr.Textbox(
            label="Message", show_label=False, container=False, lines=1, max_lines=8, interactive=True, scale=8,
            placeholder="A function without its docstring, or anything. Enter sends, Shift+Enter makes a line.",
            elem_classes="cx-msg", elem_id="chat-message",
        )  # fmt: skip
        stop = gr.Button("Stop", visible=False, scale=0, min_width=90, elem_id="chat-stop")
        send = gr.Button("Send", variant="primary", scale=0, min_width=90, elem_id="chat-send")
    with gr.Column(visible=False, elem_classes="cx-prompts") as suggested:
        static('<p class="cx"><span class="sub">Held out, so new to the run. Press one to put it into the message.</span></p>')
        prompts = [gr.Button("", visible=False, size="sm", elem_classes="cx-prompt") for _ in range(PROMPTS)]
    moved = gr.JSON(visible="hidden", elem_id="chat-moved")
    asked = [message, target, device, tokens, temperature, seed, session, talk]
    shown = [talk, moved, said, *columns, send, stop, fresh]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    gr.on([send.click, message.submit], chatting.send, asked, shown, js=REMEMBERED, concurrency_limit=8, **quiet)
    moved.change(None, [moved, message], message, js=MOVE, **quiet)
    session.change(None, session, None, js=REMEMBER, **quiet)
    stop.click(chatting.stop, talk, None, **quiet)
    fresh.click(chatting.begin_again, [target, talk], [talk, *columns, said], **quiet)
    for prompt in prompts:
        prompt.click(lambda text: text, prompt, message, **quiet)
    blocks.load(chatting.choices, [session, talk], [target, said, talk, *columns], js=REMEMBERED, **quiet)
    target.change(chatting.chosen, [target, session, talk], [talk, *columns], js=REMEMBERED, **quiet)
    target.change(chatting.prompts, target, [*prompts, suggested], **quiet)


PAGE = Page("Chat", "/chat", 40, _build, group="Judge", icon="chat")

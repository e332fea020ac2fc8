"""Train: a form made from the schema, and beside it what will run."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import gradio as gr

from codex.core.errors import CodexError, DataError, ModelError, Problem, UserError
from codex.services import configure, opening, setup
from codex.services.setup import Draft, FormField
from codex_ui.context import AppContext
from codex_ui.form import Names, choice_input, element_id, field_input, showing, texts_of, unheld, usable, with_other
from codex_ui.page import Page
from codex_ui.pages_build import static
from codex_ui.render import render

DEFAULT_RECIPE = "qlora-docstrings"
HUB = "hub:"
LONGEST_ADDRESS = 8000
"""Characters of what a form's address asks for; the app answers none that is much longer, see `guard.py`."""
GROUPS = frozenset(section.name for section in setup.sections())
"""A problem with a group's option stands beside that option."""
ADVANCED = "v => { document.body.classList.toggle('cx-adv', v === 'Advanced'); localStorage.setItem('codex.form', v); }"
REMEMBERED = """() => {
    const v = localStorage.getItem('codex.form') ?? 'Simple';
    document.body.classList.toggle('cx-adv', v === 'Advanced');
    return v;
}"""
FILES = ("data.source", "data.heldout", "model.source")
"""Settings that name a file or folder."""
SOURCES = {DataError: ("data.source",), ModelError: ("model.source",)}
"""What an error is about that names no setting and no file."""
GO = "url => { if (url) location.href = url; else window.codex.free('run'); }"
PLACE = "address => { if (address) history.replaceState(history.state, '', address); }"
"""What is typed is in the page's address, so that a reload, the way back, and an app that was started again show it as it was."""
FREE = "() => {{ (window.codexCame ??= new Set()).add('{what}'); window.codex?.free?.('{what}'); }}"
"""What the page waited for has come: static/form.js lets go of what it held, or, when it is not there yet, holds nothing."""


@dataclass(frozen=True)
class Told:
    """A problem as the page shows it: its words, and the fields that it stands beside."""

    text: str
    fields: tuple[str, ...]

    @property
    def ids(self) -> list[str]:
        """The ids of the fields' inputs."""
        return [element_id(f"option.{name}" if name in GROUPS else name) for name in self.fields]


@dataclass
class Asked:
    """What one browser's form asks for now.

    Args:
        overrides: as typed on a command line; None while something is wrong.
    """

    overrides: list[str] | None = None


@dataclass(frozen=True)
class Began:
    """What a form began with.

    Args:
        recipe: its name.
        options: the option of each group.
        texts: each setting that exists with these.
    """

    recipe: str = ""
    options: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    texts: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])

    def to_json(self) -> str:
        """As the page holds it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, held: str) -> Began:
        """As it was before the page held it."""
        return cls(**json.loads(held or "{}"))


class Form:
    """The form of one app: which inputs it has, and what they mean together.

    Args:
        context: gives workspace and planner.
    """

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._workspace = context.workspace
        self.fields: tuple[FormField, ...] = tuple(field for field in setup.fields() if field.choice is None)
        self.options = setup.options(context.workspace)
        self.groups = tuple(self.options)
        self.names = Names(setup.data_names(context.workspace), setup.model_names(context.workspace))
        self._known = {field.name for field in self.fields}

    def recipes(self) -> list[str]:
        """The recipes that can be used, shipped ones first."""
        return [recipe.name for recipe in setup.recipes(self._workspace) if recipe.problem is None]

    def draft(self, recipe: str, *values: Any) -> Draft:
        """What the inputs say together."""
        *inputs, kept = values
        chosen, typed = inputs[: len(self.groups)], inputs[len(self.groups) :]
        choices = {group: str(option) for group, option in zip(self.groups, chosen, strict=True) if option}
        return Draft(recipe, choices, texts_of(self.fields, typed, json.loads(kept or "{}")))

    def shown(self, draft: Draft) -> list[Any]:
        """What every input shows for a draft: the recipe, each group's option, each setting, hidden where there is none.

        Then come what no switch can hold, and what each setting began with, so that what was typed can be told from it. The page holds
        both and sends them along with what the inputs hold: kept here, they would be of another moment, for one choice may be told twice.
        """
        beginning = opening.begun(draft.recipe, draft.choices, self._workspace)
        began = Began(draft.recipe, dict(beginning.options), {name: held.text for name, held in beginning.held.items()})
        texts = {name: draft.texts.get(name, text) for name, text in began.texts.items()}
        recipe = gr.update(choices=with_other(self.recipes(), draft.recipe), value=draft.recipe)
        options = [self._option_shown(group, beginning.options.get(group)) for group in self.groups]
        inputs = [showing(field, texts.get(field.name, ""), field.name in texts) for field in self.fields]
        return [recipe, *options, *inputs, json.dumps(unheld(self.fields, texts)), began.to_json()]

    def _option_shown(self, group: str, option: str | None) -> Any:
        return gr.update(choices=with_other(usable(self.options[group]), option), value=option)

    # ---- what happens on the page

    def opened(self, request: gr.Request) -> list[Any]:
        """The form as the address asks for it: a recipe, or a run to do again, with settings changed."""
        query = request.query_params
        asked = {"recipe": query.get("recipe") or "", "run": query.get("from") or ""}
        found = opening.opened(self._workspace, **asked, changes=query.getlist("set"))
        title = f"The form starts from the recipe {found.draft.recipe}" if found.instead else "Not all that was asked for is in the form"
        said = render("problems.html", title=title, problems=found.problems) if found.problems else ""
        return [*self.shown(found.draft), said]

    def recipe_chosen(self, held: str, recipe: str) -> list[Any]:
        """Every field as the recipe has it; as it is when that was not changed, for Gradio says so too when the focus merely passes."""
        if Began.from_json(held).recipe == recipe:
            return self._as_it_is()
        try:
            return self.shown(Draft(recipe))
        except UserError:  # broken since it was listed; what would run says so
            return self._as_it_is()

    def option_chosen(self, held: str, recipe: str, *values: Any) -> list[Any]:
        """The fields as the options have them; what was typed is kept, and what stays as it is is not touched: it may be typed into."""
        began, draft = Began.from_json(held), self.draft(recipe, *values)
        if draft.choices == {group: option for group, option in began.options.items() if option}:
            return self._as_it_is()
        typed = {name: text for name, text in draft.texts.items() if name in began.texts and text != began.texts[name]}
        try:
            recipe_shown, *shown, unheld_now, now_held = self.shown(Draft(recipe, draft.choices, typed))
        except UserError:  # broken since it was listed; what would run says so
            return self._as_it_is()
        now = Began.from_json(now_held).texts
        kept = [name in began.texts and name in now and typed.get(name, now[name]) == text for name, text in draft.texts.items()]
        options, inputs = shown[: len(self.groups)], shown[len(self.groups) :]
        settings = [gr.skip() if same else new for same, new in zip(kept, inputs, strict=True)]
        return [recipe_shown, *options, *settings, unheld_now, now_held]

    def _as_it_is(self) -> list[Any]:
        return [gr.skip()] * (len(self.groups) + len(self.fields) + 3)

    def proposed(self, asked: Asked, recipe: str, *values: Any) -> list[Any]:
        """What would run now: the panel, and whether it can start."""
        draft = self.draft(recipe, *values)
        proposal = setup.propose(draft, self._workspace)
        address, too_long = _address(proposal.overrides)
        running = next((run.run.id for run in self._context.now.runs() if run.status.active), None)
        panel = render(
            "will-run.html",
            problems=[Told(str(each.problem), each.fields) for each in proposal.problems],
            command=proposal.command,
            lines=proposal.yaml_lines,
            changes=None if proposal.problems else len(proposal.changes),
            running=running,
            too_long=too_long,
        )
        right = not proposal.problems
        asked.overrides = list(proposal.overrides) if right else None
        facts = render("facts.html", checking=right, problems=[], facts=None)
        kept = json.dumps(unheld(self.fields, draft.texts))  # without what a press of its switch has mended
        return [panel, facts, gr.update(interactive=right), address, gr.skip() if kept == values[-1] else kept]

    def checked(self, asked: Asked) -> list[Any]:
        """What model and data are, found out without loading weights; nothing when something else is asked for by then."""
        overrides = asked.overrides
        told = [gr.skip(), gr.skip()] if overrides is None else self._checked(overrides)
        return told if asked.overrides is overrides else [gr.skip(), gr.skip()]

    def _checked(self, overrides: list[str]) -> list[Any]:
        model = configure.compose(overrides, workspace=self._workspace).config.model
        if model.confirm_download and model.source.startswith(HUB):  # checking would fetch it, and nothing was started yet
            text = "The model is fetched from the hub when the run is started, and checked then."
            return [render("note.html", text=text), gr.update(interactive=True)]
        try:
            facts = self._context.planner.check(overrides)
        except UserError as error:
            told = [Told(str(problem), self._fields_of(problem, error, overrides)) for problem in error.problems]
            return [render("facts.html", checking=False, problems=told, facts=None), gr.update(interactive=False)]
        except CodexError as error:
            return [render("facts.html", checking=False, problems=[Told(str(error), ())], facts=None), gr.skip()]
        return [render("facts.html", checking=False, problems=[], facts=facts), gr.update(interactive=True)]

    def _fields_of(self, problem: Problem, error: CodexError, overrides: Sequence[str]) -> tuple[str, ...]:
        """The settings that a problem of model or data stands beside.

        Those that its words and its fix name; else those whose file or folder it names; else the one that gave the data or the model.
        """
        named = re.findall(r"`([a-z_.]+)(?:=[^`]*)?`", f"{problem.what} {problem.fix}")
        known = tuple(dict.fromkeys(name for name in named if name in self._known))
        if known:
            return known
        asked = (override.partition("=") for override in overrides)
        about = f"{problem.what} {problem.where or ''}"
        of_file = tuple(name for name, _, text in asked if name in FILES and text and Path(text).name in about)
        if not of_file and problem.what.startswith("dataset format"):  # as the registry calls it
            return ("data.format",)
        return of_file or next((names for kind, names in SOURCES.items() if isinstance(error, kind)), ())

    def started(self, recipe: str, *values: Any) -> list[Any]:
        """Start what the inputs hold now, whatever the panel says; gives where to go, and what stood in the way."""
        proposal = setup.propose(self.draft(recipe, *values), self._workspace)
        told = [Told(str(each.problem), each.fields) for each in proposal.problems]
        if not told:
            try:
                run_id = self._context.planner.start(proposal.overrides)
                self._context.now.forget()
                return [f"/run?id={run_id}", gr.skip(), gr.skip()]
            except CodexError as error:
                problems = error.problems if isinstance(error, UserError) else ()
                found = [Told(str(each), self._fields_of(each, error, proposal.overrides)) for each in problems]
                told = found or [Told(str(error), ())]
        return ["", render("facts.html", checking=False, problems=told, facts=None), gr.update(interactive=True, value="Start run")]

    def saved(self, name: str, recipe: str, *values: Any) -> list[Any]:
        """Save the form as a recipe of the workspace, and go on from it."""
        try:
            path = setup.save_recipe(self.draft(recipe, *values), name, self._workspace)
        except UserError as error:
            return [render("problems.html", title="Not saved", problems=error.problems), gr.skip()]
        text = f"Saved as {path}. Use it: `codex-ml train recipe={name.strip()}`."
        return [render("note.html", text=text), gr.update(choices=self.recipes())]

    def added(self, path: str) -> list[Any]:
        """Take a file into the workspace, and train on it; one that cannot be trained on is not taken."""
        try:
            self._context.planner.check_data(Path(path))
            source = setup.add_data(Path(path), Path(path).name, self._workspace)
        except CodexError as error:
            again = Problem(str(error), "expected the file to be read", "Add it again.")
            problems = error.problems if isinstance(error, UserError) else [again]
            return [gr.skip(), render("problems.html", title="Not added", problems=problems)]
        return [gr.update(choices=setup.data_names(self._workspace), value=source), ""]


def _address(overrides: Sequence[str]) -> tuple[str, list[str]]:
    """The address that opens the form as these overrides have it, see `Form.opened`; and the settings that would make it too long."""
    recipe, *changes = overrides
    words = [urlencode({"recipe": recipe.removeprefix("recipe=")})] if recipe != f"recipe={DEFAULT_RECIPE}" else []
    left_out: list[str] = []
    for change in changes:
        word = urlencode({"set": change})
        if len("&".join([*words, word])) > LONGEST_ADDRESS:
            left_out.append(change.partition("=")[0])
        else:
            words.append(word)
    return f"/train?{'&'.join(words)}" if words else "/train", left_out


def _form_column(form: Form) -> tuple[Any, Mapping[str, Any], list[Any], Any]:
    """The inputs: the recipe, each group's option by group, each setting, and the button that takes a file."""
    recipe = gr.Dropdown(
        form.recipes(), value=DEFAULT_RECIPE, label="Recipe", interactive=True, elem_id="f-recipe", elem_classes="cx-field",
        info="A named starting point; every field below is a change to it. `recipe`",
    )  # fmt: skip
    choices: dict[str, Any] = {}
    inputs: dict[str, Any] = {}
    upload = None
    for section in setup.sections():
        members = [field for field in form.fields if field.section == section.name]
        simple = section.name == "method" or any(field.basic for field in members)
        title = "Run" if section.name == "run" else section.title
        static(render("section.html", title=title, about=section.help, advanced=not simple))
        if section.name in form.options:
            choices[section.name] = choice_input(section.name, form.options[section.name])
        for field in members:
            inputs[field.name] = field_input(field, form.names)
            if field.name == "data.source":
                upload = gr.UploadButton("Add a file…", file_types=[".jsonl"], size="sm", elem_id="add-data", elem_classes="cx-upload")
    return recipe, choices, [inputs[field.name] for field in form.fields], (inputs["data.source"], upload)


def _build(context: AppContext, blocks: gr.Blocks) -> None:
    form = Form(context)
    asked, began, kept, go = gr.State(Asked()), *(gr.Textbox(visible=False) for _ in range(3))
    address = gr.Textbox(visible="hidden", elem_id="train-address")
    with gr.Row(elem_classes="cx-head"):
        static(render("train.html"), scale=1)
        mode = gr.Radio(
            ["Simple", "Advanced"], value="Simple", show_label=False, label="Fields", container=False, interactive=True,
            elem_classes="cx-seg cx-actions", elem_id="mode",
        )  # fmt: skip
    said = static("", elem_id="train-said")
    with gr.Row(elem_classes="cx-split"):
        with gr.Column(scale=3, min_width=320, elem_classes="cx-form"):
            recipe, choices, inputs, (data, upload) = _form_column(form)
        with gr.Column(scale=2, min_width=320, elem_classes="cx-side"):
            with gr.Row(elem_classes="cx-startbar"):
                start = gr.Button("Start run", variant="primary", elem_id="start", interactive=False)
            panel = static("", elem_id="will")
            facts = static("", elem_id="facts")
            with gr.Accordion("Save this form as a recipe", open=False, elem_classes="cx-save"):
                name = gr.Textbox(label="Recipe name", max_lines=1, interactive=True, elem_id="recipe-name")
                save = gr.Button("Save recipe", elem_id="save-recipe")
                saved = static("", elem_id="saved")
    options = [choices[group] for group in form.groups]
    everything = [recipe, *options, *inputs, kept]
    proposal = [panel, facts, start, address, kept]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    looks: dict[str, Any] = {**quiet, "concurrency_id": "form", "concurrency_limit": 1}  # in the order in which they were asked for:
    checks: dict[str, Any] = {**quiet, "concurrency_id": "facts", "concurrency_limit": 1}  # the last answer is to the last question

    def propose(trigger: Any) -> Any:
        """After `trigger`: what would run, then what model and data are; gives the first of the two."""
        shown = trigger(form.proposed, [asked, *everything], proposal, **looks)
        shown.then(form.checked, asked, [facts, start], **checks)
        return shown

    filled = [*everything, began]
    opened = blocks.load(form.opened, None, [*filled, said], **looks)
    opened.then(None, None, None, js=FREE.format(what="form"))
    propose(opened.then)
    propose(recipe.input(form.recipe_chosen, [began, recipe], filled, **looks).then)
    propose(gr.on([choice.input for choice in options], form.option_chosen, [began, *everything], filled, **looks).then)
    typed = gr.on([each.input for each in inputs], form.proposed, [asked, *everything], proposal, trigger_mode="always_last", **looks)
    typed.then(form.checked, asked, [facts, start], trigger_mode="always_last", **checks)
    propose(upload.upload(form.added, upload, [data, said], **quiet).then).then(None, None, None, js=FREE.format(what="file"))
    start.click(form.started, everything, [go, facts, start], **quiet).then(None, go, None, js=GO)
    save.click(form.saved, [name, *everything], [saved, recipe], **quiet)
    address.change(None, address, None, js=PLACE)
    mode.change(None, mode, None, js=ADVANCED)
    blocks.load(None, None, mode, js=REMEMBERED)


PAGE = Page("Train", "/train", 20, _build, group="Build", icon="train")

"""The form as Gradio builds it: each setting of the schema has exactly one input, and each input one setting."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.datastructures import QueryParams

from codex.services import setup
from codex.services.setup import FormField
from codex_ui.context import AppContext

# Gradio's own, while it builds: what it calls is deprecated, and it lets go of event loops without closing them.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.usefixtures("gradio_leftovers"),
]


@pytest.fixture
def components(context: AppContext) -> list[dict[str, Any]]:
    from codex_ui.pages_build import build_pages

    return build_pages(context).get_config_file()["components"]


def _id(name: str) -> str:
    return f"f-{name.replace('.', '-')}"


def test_every_setting_has_one_input_and_every_input_one_setting(components: list[dict[str, Any]]) -> None:
    inputs = Counter(id_ for each in components if (id_ := str(each["props"].get("elem_id") or "")).startswith("f-"))
    fields = setup.fields()
    by_choice = {field.choice for field in fields if field.choice}
    expected = [_id(field.name) for field in fields if field.choice is None]
    expected += ["f-recipe", *(_id(f"option.{group}") for group in setup.options())]
    assert len(fields) >= 55
    assert by_choice == {"recipe", "method"}
    assert inputs == Counter(expected)


def test_input_says_title_help_unit_and_key_of_its_setting(components: list[dict[str, Any]]) -> None:
    props = {str(each["props"].get("elem_id")): each["props"] for each in components}
    for field in setup.fields():
        if field.choice is None:
            shown = props[_id(field.name)]
            assert shown["label"].startswith(field.help.title)
            assert shown["info"] == f"{field.help.help} `{field.name}`"
            assert field.help.unit is None or field.help.unit in shown["label"].lower() or field.help.unit in shown["label"]
            assert ("cx-adv-only" in shown["elem_classes"]) == (not field.basic)


def _changed(field: FormField, text: str) -> str:
    """Another text for a field."""
    if field.help.type == "true or false":
        return "false" if text == "true" else "true"
    others = [choice for choice in field.help.choices if choice != text]
    return others[0] if others and not field.help.lists else f"{text}1"


@pytest.mark.parametrize("recipe", ["qlora-docstrings", "lora-docstrings", "pretrain-tiny"])
def test_whatever_is_typed_into_an_input_is_asked_for(context: AppContext, recipe: str) -> None:
    from codex_ui.form import from_text
    from codex_ui.pages.train import Began, Form

    form = Form(context)
    held = setup.beginning(recipe, {}, context.workspace)
    began = {name: setting.text for name, setting in held.held.items()}
    options = [held.options.get(group) for group in form.groups]
    values = [from_text(field, began.get(field.name, "")) for field in form.fields]
    assert setup.overrides_of(form.draft(recipe, *options, *values, ""), context.workspace) == [f"recipe={recipe}"]
    tried = 0
    for place, field in enumerate(form.fields):
        if field.name in began:
            text = _changed(field, began[field.name])
            typed = [*values[:place], from_text(field, text), *values[place + 1 :]]
            assert f"{field.name}={text}" in setup.overrides_of(form.draft(recipe, *options, *typed, ""), context.workspace)
            tried += 1
    assert tried >= 40
    assert Began.from_json(form.shown(form.draft(recipe, *options, *values, ""))[-1]).texts == began


def test_choice_that_is_told_twice_changes_nothing_the_second_time(context: AppContext) -> None:
    from codex_ui.form import from_text
    from codex_ui.pages.train import Began, Form

    form = Form(context)
    held = setup.beginning("qlora-docstrings", {}, context.workspace)
    began = Began("qlora-docstrings", dict(held.options), {name: setting.text for name, setting in held.held.items()}).to_json()
    options = [held.options.get(group) for group in form.groups]
    values = [from_text(field, held.held[field.name].text if field.name in held.held else "") for field in form.fields]
    skipped = form.option_chosen(began, "qlora-docstrings", *options, *values, "")
    assert all(update == {"__type__": "update"} for update in skipped)
    options[form.groups.index("model")] = "codex-tiny-scratch"
    shown = form.option_chosen(began, "qlora-docstrings", *options, *values, "")
    by_name = dict(zip([field.name for field in form.fields], shown[1 + len(form.groups) : -2], strict=True))
    assert by_name["model.scratch.heads"]["value"] == "4"
    assert by_name["model.scratch.heads"]["visible"] is True
    assert by_name["training.steps"] == {"__type__": "update"}
    assert json.loads(shown[-1])["options"]["model"] == "codex-tiny-scratch"


def test_late_answer_about_what_is_no_longer_asked_changes_nothing(context: AppContext) -> None:
    from codex_ui.pages.train import Asked, Form

    asked = Asked(["recipe=qlora-docstrings"])
    form = Form(context)

    class Slow:
        """Answers after the form has changed."""

        def check(self, overrides: list[str]) -> Any:
            asked.overrides = None

        def close(self) -> None:
            """Nothing to end."""

    context.planner = Slow()  # pyright: ignore[reportAttributeAccessIssue]
    assert form.checked(asked) == [{"__type__": "update"}] * 2


class Opened:
    """The form as an address opens it: what its inputs hold, what it says, and what would run."""

    def __init__(self, context: AppContext, query: str) -> None:
        from codex_ui.pages.train import Form

        self.form = Form(context)
        shown = self.form.opened(cast(Any, SimpleNamespace(query_params=QueryParams(query))))
        updates, self.said = shown[:-2], str(shown[-1])
        self.recipe, *self.values = [each["value"] if isinstance(each, dict) else each for each in updates]
        self.choices = {self.field_at(place): each.get("choices", ()) for place, each in enumerate(updates) if isinstance(each, dict)}
        self.panel, self.may_start, self.address = "", False, ""
        self.look()

    def field_at(self, place: int) -> str:
        """The setting or group of an input, in the order in which they are shown."""
        return ["recipe", *self.form.groups, *(field.name for field in self.form.fields)][place]

    def __getitem__(self, name: str) -> Any:
        return self.values[[*self.form.groups, *(field.name for field in self.form.fields)].index(name)]

    def look(self) -> None:
        """What would run, as the inputs are now."""
        from codex_ui.pages.train import Asked

        panel, _, start, self.address, kept = self.form.proposed(Asked(), self.recipe, *self.values)
        self.panel, self.may_start = str(panel), start["interactive"]
        if isinstance(kept, str):
            self.values[-1] = kept

    def press(self, name: str, value: Any) -> None:
        """Choose or press what an input offers."""
        self.values[[*self.form.groups, *(field.name for field in self.form.fields)].index(name)] = value
        self.look()


@pytest.mark.parametrize(("text", "on"), [("1", True), ("True", True), ("yes", True), ("on", True), ("0", False), ("Off", False)])
def test_switch_shows_what_the_command_line_makes_of_its_value(
    context: AppContext, monkeypatch: pytest.MonkeyPatch, text: str, on: bool
) -> None:
    from_address = Opened(context, f"set=evaluation.judge={text}&set=method.rank_stabilised={text}")
    said = "set=method.rank_stabilised%3Dtrue" if on else "set=evaluation.judge%3Dfalse"
    assert (from_address["evaluation.judge"], from_address["method.rank_stabilised"]) == (on, on)
    assert (from_address.address, from_address.may_start) == (f"/train?{said}", True)
    monkeypatch.setenv("CODEX_EVALUATION__JUDGE", text)
    from_variable = Opened(context, "")
    assert (from_variable["evaluation.judge"], from_variable.may_start) == (on, True)
    assert from_variable.address == ("/train" if on else "/train?set=evaluation.judge%3Dfalse")


def test_switch_of_a_recipe_that_says_1_is_on(context: AppContext) -> None:
    context.workspace.recipes.mkdir(exist_ok=True)
    (context.workspace.recipes / "ones.yaml").write_text("defaults: [qlora-docstrings, _self_]\nevaluation: {judge: 1}\n")
    opened = Opened(context, "recipe=ones")
    assert (opened["evaluation.judge"], opened.may_start, opened.address) == (True, True, "/train?recipe=ones")


def test_switch_that_cannot_hold_its_value_is_told_and_blocks_start_until_it_is_pressed(
    context: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODEX_EVALUATION__JUDGE", "maybe")
    opened = Opened(context, "")
    assert not opened.may_start
    assert "(variable CODEX_EVALUATION__JUDGE); expected true or false" in opened.panel
    assert 'data-fields="f-evaluation-judge"' in opened.panel
    opened.press("training.steps", "7")
    assert not opened.may_start
    assert "evaluation.judge%3Dmaybe" in opened.address
    for on, said in ((True, "true"), (False, "false")):
        opened.press("evaluation.judge", on)
        assert opened.may_start
        assert f"evaluation.judge={said}" in opened.panel


def test_choice_that_is_not_offered_opens_the_form_and_is_told_until_another_is_chosen(
    context: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_address = Opened(context, "set=model.dtype=bogus&set=training.steps=7")
    assert (by_address["model.dtype"], by_address["training.steps"], by_address.may_start) == ("bogus", "7", False)
    assert "bogus" in by_address.choices["model.dtype"]
    assert "is &#39;bogus&#39;; expected one of" in by_address.panel
    monkeypatch.setenv("CODEX_MODEL__DTYPE", "fp16")
    by_variable = Opened(context, "")
    assert "is &#39;fp16&#39; (variable CODEX_MODEL__DTYPE); expected one of" in by_variable.panel
    for opened in (by_address, by_variable):
        opened.press("model.dtype", "float32")
        assert opened.may_start


def test_recipe_with_a_wrong_choice_is_told_with_its_file_and_line(context: AppContext) -> None:
    context.workspace.recipes.mkdir(exist_ok=True)
    path = context.workspace.recipes / "mine2.yaml"
    path.write_text("defaults: [qlora-docstrings, _self_]\nmodel:\n  dtype: half\n")
    opened = Opened(context, "recipe=mine2")
    assert (opened.recipe, opened["model.dtype"], opened.may_start) == ("mine2", "half", False)
    assert "mine2" in opened.choices["recipe"]
    assert f"{path}:3" in opened.panel.replace("~", str(Path.home()))


def test_what_is_wrong_in_an_address_is_told_and_the_rest_kept(context: AppContext) -> None:
    opened = Opened(context, "set=nonsense.key=4&set=training.steps=7")
    assert "<code>nonsense.key</code> is no setting (override <code>nonsense.key=4</code>); expected the dotted name" in opened.said
    assert (opened["training.steps"], opened.may_start) == ("7", True)
    opened = Opened(context, "recipe=nope&set=training.steps=7&set=model=none&set=tracking=none")
    assert "recipe &#39;nope&#39; is unknown" in opened.said
    assert "model &#39;none&#39; is unknown" in opened.said
    assert (opened.recipe, opened["training.steps"]) == ("qlora-docstrings", "7")
    opened = Opened(context, "from=r-0099&set=training.steps=7&set=steps")
    assert "r-0099" in opened.said
    assert "&#39;steps&#39; is no override" in opened.said
    assert opened["training.steps"] == "7"


def test_variable_with_an_unknown_method_is_told_and_the_form_opens(context: AppContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_METHOD__NAME", "magic")
    opened = Opened(context, "")
    assert "method &#39;magic&#39; is unknown (variable CODEX_METHOD__NAME)" in opened.said
    assert opened["method"] == "qlora"


def test_recipe_that_broke_since_it_was_listed_is_told_in_the_panel(context: AppContext) -> None:
    opened = Opened(context, "")
    opened.recipe = "gone"
    assert opened.form.recipe_chosen("", "gone") == opened.form.option_chosen("", "gone", *opened.values)
    opened.look()
    assert "recipe &#39;gone&#39; is unknown" in opened.panel
    assert not opened.may_start


def test_what_makes_the_address_too_long_is_not_in_it(context: AppContext) -> None:
    opened = Opened(context, f"set=data.source={'é' * 9000}&set=training.steps=7")
    assert opened.address == "/train?set=training.steps%3D7"
    assert "A reload loses data.source: too long" in opened.panel
    assert len(opened["data.source"]) == 9000

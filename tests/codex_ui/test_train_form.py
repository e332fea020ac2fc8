"""The form as Gradio builds it: each setting of the schema has exactly one input, and each input one setting."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

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
    assert setup.overrides_of(form.draft(recipe, *options, *values), context.workspace) == [f"recipe={recipe}"]
    tried = 0
    for place, field in enumerate(form.fields):
        if field.name in began:
            text = _changed(field, began[field.name])
            typed = [*values[:place], from_text(field, text), *values[place + 1 :]]
            assert f"{field.name}={text}" in setup.overrides_of(form.draft(recipe, *options, *typed), context.workspace)
            tried += 1
    assert tried >= 40
    assert Began.from_json(form.shown(form.draft(recipe, *options, *values))[-1]).texts == began


def test_choice_that_is_told_twice_changes_nothing_the_second_time(context: AppContext) -> None:
    from codex_ui.form import from_text
    from codex_ui.pages.train import Began, Form

    form = Form(context)
    held = setup.beginning("qlora-docstrings", {}, context.workspace)
    began = Began("qlora-docstrings", dict(held.options), {name: setting.text for name, setting in held.held.items()}).to_json()
    options = [held.options.get(group) for group in form.groups]
    values = [from_text(field, held.held[field.name].text if field.name in held.held else "") for field in form.fields]
    skipped = form.option_chosen(began, "qlora-docstrings", *options, *values)
    assert all(update == {"__type__": "update"} for update in skipped)
    options[form.groups.index("model")] = "codex-tiny-scratch"
    shown = form.option_chosen(began, "qlora-docstrings", *options, *values)
    by_name = dict(zip([field.name for field in form.fields], shown[1 + len(form.groups) : -1], strict=True))
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

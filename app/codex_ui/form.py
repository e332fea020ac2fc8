"""The run form: one input for each setting of the schema, made from its title, help, unit and bounds, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from codex.services.setup import FormField, Option

FEW_CHOICES = 3
HELP = {
    "method": "`qlora` keeps the base in 4 bits and trains an adapter, `lora` trains one beside the base as it is, `full` every weight.",
    "model": "Which file the fields below start from.",
    "data": "Which file the fields below start from.",
    "training": "Which file the fields below start from: `quick-cpu` for a processor, `gpu-24gb` for one GPU.",
    "evaluation": "Which file the fields below start from.",
    "tracking": "Which file the fields below start from.",
}


def element_id(name: str) -> str:
    """The id of a setting's input on the page: "f-training-steps"."""
    return f"f-{name.replace('.', '-')}"


@dataclass(frozen=True)
class Names:
    """What can be chosen by name for settings that also take a path."""

    data: Sequence[str]
    models: Sequence[str]


def field_input(field: FormField, names: Names) -> Any:
    """The input of one setting; numbers are typed as text, so that what is wrong stays as it was typed and is said beside it."""
    about = field.help
    settings: dict[str, Any] = {
        "label": about.title if about.unit is None or about.unit in about.title.lower() else f"{about.title} ({about.unit})",
        "info": f"{about.help} `{about.name}`",
        "elem_id": element_id(about.name),
        "elem_classes": ["cx-field"] if field.basic else ["cx-field", "cx-adv-only"],
        "interactive": True,
    }
    if about.type == "true or false":
        return gr.Checkbox(False, **settings)
    by_name = {"data.source": names.data, "model.source": names.models}.get(about.name)
    if by_name is not None:
        return gr.Dropdown(list(by_name), allow_custom_value=True, **settings)
    if about.choices and not about.lists and not about.optional:
        return _few_or_many(about.choices, settings)
    return gr.Textbox("", max_lines=1, **settings)


def _few_or_many(choices: Sequence[str], settings: dict[str, Any]) -> Any:
    if len(choices) <= FEW_CHOICES:
        return gr.Radio(list(choices), **{**settings, "elem_classes": [*settings["elem_classes"], "cx-seg"]})
    return gr.Dropdown(list(choices), **settings)


def choice_input(group: str, options: Sequence[Option]) -> Any:
    """The input of a group's option: which file its values start from."""
    names = [option.name for option in options if not option.problem]
    settings: dict[str, Any] = {
        "label": "Method" if group == "method" else f"Start {group} from",
        "info": f"{HELP[group]} `{group}`",
        "elem_id": element_id(f"option.{group}"),
        "elem_classes": ["cx-field"] if group == "method" else ["cx-field", "cx-adv-only"],
        "interactive": True,
    }
    return gr.Dropdown(names, **settings)


def to_text(value: Any) -> str:
    """What an input holds, as a person would type it on the command line."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def from_text(field: FormField, text: str) -> Any:
    """What an input shows for a setting's text; an input of choices shows none where nothing is said."""
    if field.help.type == "true or false":
        return text == "true"
    return None if text == "" and field.help.choices else text


def texts_of(fields: Sequence[FormField], values: Sequence[Any]) -> Mapping[str, str]:
    """Each setting's text, from the values of the inputs in the same order."""
    return {field.name: to_text(value) for field, value in zip(fields, values, strict=True)}

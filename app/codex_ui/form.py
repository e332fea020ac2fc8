"""The run form: one input for each setting of the schema, made from its title, help, unit and bounds, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from codex.services.setup import FormField, Option, switch_of

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
    if about.switch:
        return gr.Checkbox(False, **settings)
    by_name = {"data.source": names.data, "model.source": names.models}.get(about.name)
    if by_name is not None:
        return gr.Dropdown(list(by_name), allow_custom_value=True, **settings)
    if about.chosen:
        return _few_or_many(about.choices, settings)
    return gr.Textbox("", max_lines=1, **settings)


def _few_or_many(choices: Sequence[str], settings: dict[str, Any]) -> Any:
    if len(choices) <= FEW_CHOICES:
        return gr.Radio(list(choices), **{**settings, "elem_classes": [*settings["elem_classes"], "cx-seg"]})
    return gr.Dropdown(list(choices), **settings)


def choice_input(group: str, options: Sequence[Option]) -> Any:
    """The input of a group's option: which file its values start from."""
    settings: dict[str, Any] = {
        "label": "Method" if group == "method" else f"Start {group} from",
        "info": f"{HELP[group]} `{group}`",
        "elem_id": element_id(f"option.{group}"),
        "elem_classes": ["cx-field"] if group == "method" else ["cx-field", "cx-adv-only"],
        "interactive": True,
    }
    return gr.Dropdown(usable(options), **settings)


def usable(options: Sequence[Option]) -> list[str]:
    """The names of the options that can be used."""
    return [option.name for option in options if not option.problem]


def to_text(value: Any) -> str:
    """What an input holds, as a person would type it on the command line."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def from_text(field: FormField, text: str) -> Any:
    """What an input shows for a setting's text; an input of choices shows none where nothing is said.

    A switch is off for what no switch takes; such a text is kept beside it, see `unheld`.
    """
    if field.help.switch:
        return bool(switch_of(text))
    return None if text == "" and field.help.choices else text


def showing(field: FormField, text: str, visible: bool) -> Any:
    """The update that shows a setting's text; a value that is no choice is one more, so that it is seen, and told beside the field."""
    value = from_text(field, text)
    if not field.help.chosen:
        return gr.update(value=value, visible=visible)
    return gr.update(value=value, visible=visible, choices=with_other(field.help.choices, value))


def with_other(choices: Sequence[str], value: str | None) -> list[str]:
    """The choices, and `value` where it is none of them."""
    return [*choices, *([value] if value and value not in choices else ())]


def unheld(fields: Sequence[FormField], texts: Mapping[str, str]) -> dict[str, str]:
    """The texts that no switch takes, by its setting: what they ask for is told, and holds until the switch is pressed."""
    return {field.name: texts[field.name] for field in fields if field.help.switch and switch_of(texts.get(field.name, "no")) is None}


def texts_of(fields: Sequence[FormField], values: Sequence[Any], kept: Mapping[str, str]) -> Mapping[str, str]:
    """Each setting's text, from the values of the inputs in the same order; of a switch that is off, the text that it could not hold."""
    typed = {field.name: to_text(value) for field, value in zip(fields, values, strict=True)}
    return {**typed, **{name: text for name, text in kept.items() if typed.get(name) == "false"}}

"""What every group of settings shares: unknown keys are errors, and settings that are right each may be wrong together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError


def unit(text: str) -> dict[str, Any]:
    """`json_schema_extra` that carries a field's unit to every face."""
    return {"unit": text}


def basic() -> dict[str, Any]:
    """`json_schema_extra` of a field that a form shows to everyone, and not only to those who ask for all; goes with `| unit(...)`."""
    return {"basic": True}


def secret() -> dict[str, Any]:
    """`json_schema_extra` of a field that is never written to a file or shown."""
    return {"secret": True}


@dataclass(frozen=True)
class Conflict:
    """Settings that are right each, and wrong together.

    Args:
        fields: their names, from the section that knows it, dotted where they lie deeper.
        expected: what would be right: "expected ...".
        fix: what to set; `{at}` stands for the dotted place of the section, with its dot.
    """

    fields: tuple[str, ...]
    expected: str
    fix: str


class Section(BaseModel):
    """A group of settings; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        annotation = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and bool not in (annotation, *get_args(annotation)):
            raise PydanticCustomError("bool_for_other", "expected something other than true or false")
        return value

    def conflicts(self) -> Iterator[Conflict]:
        """What these settings, each one right, get wrong together."""
        yield from ()

    @model_validator(mode="after")
    def _agree(self) -> Self:
        found = tuple(self.conflicts())
        if found:
            said = "; ".join(f"{' and '.join(one.fields)}: {one.expected}" for one in found)
            raise PydanticCustomError("conflicts", "{said}", {"said": said, "conflicts": found})
        return self

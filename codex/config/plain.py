"""What unquoted text means, in recipes, overrides and variables alike; and YAML that is written so that it reads back the same.

YAML 1.1's own rules are full of traps (`no` is false, `1:30` is 90, `010` is 8, `2e-4` is text), so plain values keep the text that they
were written with until the setting that they are for is known.
"""
# PyYAML's stubs leave most of its base classes untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import re
from typing import Any, cast

import yaml
from yaml.composer import ComposerError
from yaml.events import AliasEvent

NULLS = ("", "~", "null", "Null", "NULL")
PLAIN = "tag:codex,plain"
TEXT = "tag:yaml.org,2002:str"
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_INTEGER = re.compile(r"[-+]?[0-9][0-9_]*")
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|[-+]?\.?(?:inf|nan)", re.IGNORECASE)
_SIMPLE = re.compile(r"[\w./:-][\w ./:,=()-]*")


def plain(text: str) -> Any:
    """What unquoted text means: null, true or false, a number, or itself.

    Numbers are decimal, as people write them: `010` is 10, `2e-4` is 0.0002, and `1:30` is text.
    """
    text = text.strip()
    if text in NULLS:
        return None
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        if _INTEGER.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:  # underscores in odd places, or thousands of digits
        return text
    return text


class _Loader(yaml.SafeLoader):
    """Marks each plain scalar instead of guessing its type, and takes no aliases: they let a small file become endless."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(AliasEvent):
            raise ComposerError(None, None, "an alias (`*name`) stands where a value is expected", self.peek_event().start_mark)
        return super().compose_node(parent, index)

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        if kind is yaml.ScalarNode:
            return PLAIN if implicit[0] else TEXT
        return super().resolve(kind, value, implicit)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    """Text that stands without quotes only where every reader takes it for text."""
    readable = _SIMPLE.fullmatch(value) is not None and plain(value) == value
    return dumper.represent_scalar(TEXT, value, style=None if readable else '"')


_Dumper.add_representer(str, _represent_text)


def compose_yaml(text: str) -> yaml.Node | None:
    """The nodes of a YAML document, each with its line; None when there is none.

    Raises:
        yaml.YAMLError: it is no YAML.
    """
    return cast("yaml.Node | None", yaml.compose(text, Loader=_Loader))


def children(node: yaml.Node) -> list[yaml.Node]:
    """The entries of a list."""
    return node.value


def pairs(node: yaml.Node) -> list[tuple[yaml.Node, yaml.Node]]:
    """Keys and values of a mapping."""
    return node.value


def value_of(node: yaml.Node) -> Any:
    """What a node and all below it hold, by the rules of `plain`."""
    if isinstance(node, yaml.ScalarNode):
        return plain(node.value) if node.tag == PLAIN else node.value
    if isinstance(node, yaml.SequenceNode):
        return [value_of(child) for child in children(node)]
    return {str(key.value): value_of(child) for key, child in pairs(node)}


def load(text: str) -> Any:
    """What a YAML document holds, by the rules of `plain`; None when it is empty.

    Raises:
        yaml.YAMLError: it is no YAML.
    """
    root = compose_yaml(text)
    return None if root is None else value_of(root)


def dump_inline(value: Any) -> str:
    """`value` on one line, as it is typed: `[q_proj, v_proj]`; `load` reads it back to the same."""
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=float("inf"), default_flow_style=True)
    return text.removesuffix("...\n").strip()  # what YAML ends a document of one plain value with


def dump(value: Any) -> str:
    """`value` as YAML that `load` reads back to the same; keys keep their order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000, default_flow_style=False)

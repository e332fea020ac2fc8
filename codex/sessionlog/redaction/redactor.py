"""Takes secrets out of text and values before they reach the disk."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from codex.core.errors import UserError
from codex.sessionlog.redaction.names import MIN_SIZE, Name, looks_drawn, named, named_spans
from codex.sessionlog.redaction.rules import FILE, RedactionRules, read_rules
from codex.sessionlog.redaction.shapes import Shape, Span, compiled, known_spans

_MARKER: Final = re.compile(r"\[redacted:[a-z][a-z0-9-]*\]")
_MAX_DEPTH: Final = 200
_MAX_NAME: Final = 64
_WORD: Final = re.compile(r".{0,15}|[a-z_]{0,40}", re.DOTALL)
_VALUES: Final = ("value", "default")
"""Keys under which the value of something stands whose name is beside it, or above."""
_LEAST: Final = 10 ** (MIN_SIZE - 1)
_PLAIN: Final = frozenset((type(None), bool, int, float))


def load_redactor(folder: Path) -> Redactor:
    """The redactor of the workspace in `folder`, by its `redaction.yaml` when it has one.

    Raises:
        ConfigError: the file cannot be read or a value in it cannot be used; it says all problems at once.
    """
    return Redactor(read_rules(folder / FILE))


@dataclass(frozen=True)
class Redactor:
    """Replaces secrets by `[redacted:kind]` and counts them by kind.

    It never changes, so threads may share one. Text without secrets comes back as the same object, and text that was
    redacted stays as it is.
    """

    rules: RedactionRules = field(default_factory=RedactionRules)

    def redact(self, text: str) -> tuple[str, dict[str, int]]:
        """`text` without its secrets, and how many of each kind were in it."""
        return self._redact(text, None)

    def redact_value(self, value: Any) -> tuple[Any, dict[str, int]]:
        """`value`, anything that JSON can hold, without its secrets, and how many of each kind were in it.

        A text under a key such as `password` or `api_key`, however deep, or after such an option in a list of arguments, is judged
        by that name. A whole number of 8 digits or more under the name of a password or secret is one.

        Raises:
            UserError: it nests too deeply to be searched.
        """
        if not self.rules.enabled:
            return value, {}
        counts: Counter[str] = Counter()
        return self._walk(value, None, 0, counts), dict(counts)

    def _redact(self, text: str, name: Name | None) -> tuple[str, dict[str, int]]:
        if not self.rules.enabled or (len(text) < MIN_SIZE and not self.rules.extra):
            return text, {}
        spans = self._spans(text, name)
        if not spans:
            return text, {}
        counts: Counter[str] = Counter()
        while spans:  # again, for what stood beside a secret may be one on its own; each pass leaves less that is no marker
            parts: list[str] = []
            end = 0
            for span in spans:
                parts += text[end : span.start], f"[redacted:{span.kind}]"
                end = span.end
                counts[span.kind] += 1
            text = "".join(parts) + text[end:]
            spans = self._spans(text, name)
        return text, dict(counts)

    def _spans(self, text: str, name: Name | None) -> list[Span]:
        """What to replace in `text`, in order and apart."""
        lower = text.lower()
        if len(lower) != len(text):  # İ is the one letter that becomes two
            lower = text.replace("İ", "I").lower()
        found = [*known_spans(text, lower), *named_spans(text, lower)]
        if name is not None and looks_drawn(text, name, quoted=True) and not any(map(str.isspace, text)):
            found.append(Span(0, len(text), name.kind))
        if self.rules.extra:
            found = [*self._extra(text), *found]
        if not found:
            return found
        return [span for span in _apart(found, _markers(text)) if self._wanted(text, span)]

    def _extra(self, text: str) -> Iterator[Span]:
        for kind, pattern in self.rules.extra.items():
            shape = Shape(kind, (), pattern)
            for match in compiled(pattern).finditer(text):
                span = shape.span(match)
                if span is not None:
                    yield span

    def _wanted(self, text: str, span: Span) -> bool:
        if span.kind in self.rules.off:
            return False
        return not any(compiled(pattern).search(text[span.start : span.end]) for pattern in self.rules.keep)

    def _walk(self, value: Any, name: Name | None, depth: int, counts: Counter[str]) -> Any:
        if type(value) in _PLAIN:
            return self._number(value, name, counts) if _is_long(value) else value
        if depth > _MAX_DEPTH:
            raise UserError("attributes nest too deeply to be read back", f"expected fewer than {_MAX_DEPTH} levels", "Flatten them.")
        if isinstance(value, str):
            text, found = self._redact(value, name)
            counts.update(found)
            return text
        if isinstance(value, dict):
            return self._walk_items(cast("dict[Any, Any]", value), name, depth, counts)
        if isinstance(value, list | tuple):
            return self._walk_list(cast("list[Any]", value), name, depth, counts)
        return self._walk_other(value, name, depth, counts)

    def _number(self, value: int, name: Name | None, counts: Counter[str]) -> Any:
        """A number is a secret where a person chose it: tokens and keys are numbers when they are counted."""
        if name is None or not name.sure or name.kind not in ("password", "secret"):
            return value
        text = str(value)
        if not self._wanted(text, Span(0, len(text), name.kind)):
            return value
        counts[name.kind] += 1
        return f"[redacted:{name.kind}]"

    def _walk_items(self, value: dict[Any, Any], above: Name | None, depth: int, counts: Counter[str]) -> dict[Any, Any]:
        pairs: list[tuple[Any, Any]] = []
        changed = False
        label = value.get("name", value.get("key"))
        for key, item in value.items():
            new_key = key if not isinstance(key, str) or self._is_word(key) else self._walk(key, None, depth + 1, counts)
            if type(item) in _PLAIN and not _is_long(item):
                new_item = item
            else:
                name = _named(label if key in _VALUES else key) or (above if key in _VALUES else _weaker(above))
                new_item = self._walk(item, name, depth + 1, counts)
            changed = changed or new_key is not key or new_item is not item
            pairs.append((new_key, new_item))
        if not changed:
            return value
        taken = Counter(key for key, _ in pairs)
        return {_own(key, number, taken): item for number, (key, item) in enumerate(pairs)}

    def _is_word(self, key: str) -> bool:
        """Whether a key is no secret: too short for a known shape, or a word."""
        return not self.rules.extra and _WORD.fullmatch(key) is not None

    def _walk_list(self, value: Any, name: Name | None, depth: int, counts: Counter[str]) -> Any:
        items: list[Any] = []
        before: Name | None = None
        for item in value:
            items.append(self._walk(item, before or name, depth + 1, counts))
            before = _names_next(item, len(value))
        return value if all(map(_is, items, value)) else items

    def _walk_other(self, value: Any, name: Name | None, depth: int, counts: Counter[str]) -> Any:
        """Anything else is searched as it will stand in JSON."""
        from pydantic_core import PydanticSerializationError, to_jsonable_python

        try:
            plain = to_jsonable_python(value)
        except PydanticSerializationError:
            return value  # the log says what is wrong with it: JSON has no form for it
        return self._walk(plain, name, depth + 1, counts)


def _named(label: object) -> Name | None:
    """What the name of a value says of it."""
    return named(label) if isinstance(label, str) and len(label) < _MAX_NAME else None


def _weaker(name: Name | None) -> Name | None:
    """What the name of a whole says of a part that has a name of its own: that it may be a secret, no more."""
    return None if name is None else Name(name.kind, False)


def _is_long(value: object) -> bool:
    """Whether it is a whole number with as many digits as a secret has characters."""
    return type(value) is int and abs(value) >= _LEAST


def _names_next(item: object, size: int) -> Name | None:
    """What an item says of the next one: an option in a list of arguments, or the first of a pair, as headers are."""
    return _named(item) if isinstance(item, str) and (item.startswith("-") or size == 2) else None


def _is(one: object, two: object) -> bool:
    return one is two


def _own(key: Any, number: int, taken: Counter[Any]) -> Any:
    """`key`, with a number when two keys became the same marker, for no value may be lost."""
    return key if taken[key] < 2 else f"{key} {number + 1}"


def _markers(text: str) -> list[Span]:
    return [Span(*match.span(), "") for match in _MARKER.finditer(text)] if "[redacted:" in text else []


def _apart(spans: list[Span], markers: list[Span]) -> Iterator[Span]:
    """Overlapping spans as one, of the kind of the longest of them; what consists of markers alone is no secret any more."""
    cluster: list[Span] = []
    end = -1
    for span in sorted([*spans, *markers], key=lambda span: span.start):
        if span.start >= end:
            yield from _joined(cluster, end)
            cluster, end = [], span.end
        cluster.append(span)
        end = max(end, span.end)
    yield from _joined(cluster, end)


def _joined(cluster: list[Span], end: int) -> Iterator[Span]:
    real = [span for span in cluster if span.kind]
    if not real:
        return
    start = cluster[0].start
    if end - start > sum(span.end - span.start for span in cluster if not span.kind):
        yield Span(start, end, max(real, key=lambda span: span.end - span.start).kind)

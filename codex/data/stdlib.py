"""The running Python's standard library as data: its text, and its functions with their first docstring sentence.

One function, `split_of`, decides for both which side a module is on, so that what is judged was in neither.
"""

from __future__ import annotations

import ast
import hashlib
import os
import sysconfig
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

Split = Literal["train", "heldout"]

# Held out: one top-level name in six, by hash. Changing the salt or the share makes codex-tiny's held-out numbers void,
# for it would then have been trained on modules that are judged.
SALT = "codex-stdlib-1"
ONE_IN = 6

# Tests are not library code; tables and topics are data in Python's clothes; the rest is installed beside the library.
LEFT_OUT = frozenset({"test", "tests", "idlelib", "lib2to3", "turtledemo", "encodings", "pydoc_data"}) | frozenset(
    {"site-packages", "dist-packages", "ensurepip", "lib-dynload", "__pycache__"}
)
LONGEST_PROMPT = 500
LONGEST_ANSWER = 200
FEWEST_WORDS = 3


@dataclass(frozen=True)
class SourceFile:
    """One file of the standard library: its module's dotted name, its text, its side of the split."""

    module: str
    text: str
    split: Split


@dataclass(frozen=True)
class Docstring:
    """One function without its docstring, and that docstring's first sentence.

    `module` is the top-level name that the split goes by; `name` is the function's dotted name.
    """

    module: str
    name: str
    source: str
    sentence: str


def family(module: str) -> str:
    """The name that decides a module's side: its top-level name without the marks of a twin.

    `_pydecimal`, `_decimal` and `decimal` hold the same docstrings, so they go together.
    """
    name = module.partition(".")[0].lstrip("_")
    return name[2:] if name.startswith("py") and name[2:] in {"decimal", "io", "datetime", "long", "abc"} else name


def split_of(module: str) -> Split:
    """The side that `module` is on, the same in every version of Python."""
    digest = hashlib.sha256(f"{SALT}:{family(module)}".encode()).digest()
    return "heldout" if int.from_bytes(digest[:8], "big") % ONE_IN == 0 else "train"


def source_files(root: Path | None = None) -> Iterator[SourceFile]:
    """The library's files in the order of their names, both sides.

    Args:
        root: the library's folder; the running Python's when None.
    """
    library = str(root or sysconfig.get_paths()["stdlib"])
    for name in sorted(_names(library)):
        parts = name.removesuffix(".py").split("/")
        if LEFT_OUT.intersection(parts) or parts[0].startswith(("config-", "_sysconfigdata")):
            continue
        try:
            text = Path(library, name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a handful of files are in other encodings, on purpose
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if text.strip():
            yield SourceFile(module, text, split_of(module))


def _names(library: str) -> Iterator[str]:
    """The paths of Python files below `library`, without the folders left out, of which one may hold all that is installed."""
    for folder, folders, names in os.walk(library):
        folders[:] = [name for name in folders if name not in LEFT_OUT]
        inside = os.path.relpath(folder, library).replace(os.sep, "/")
        yield from (name if inside == "." else f"{inside}/{name}" for name in names if name.endswith(".py"))


def first_sentence(docstring: str) -> str | None:
    """The first sentence of a docstring on one line; None when it says too little or too much."""
    paragraph = " ".join(docstring.strip().split("\n\n")[0].split())
    head, stop, _ = paragraph.partition(". ")
    sentence = head + "." if stop else head
    fits = len(sentence) <= LONGEST_ANSWER and len(sentence.split()) >= FEWEST_WORDS
    return sentence if fits and sentence.isprintable() else None


def _without_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> str | None:
    """The function's own lines, dedented, without its docstring, cut after whole lines at LONGEST_PROMPT characters."""
    doc = node.body[0]
    if len(node.body) < 2 or doc.lineno <= node.lineno:
        return None
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    kept = lines[first - 1 : doc.lineno - 1] + lines[(doc.end_lineno or doc.lineno) : node.end_lineno]
    source = textwrap.dedent("\n".join(kept))
    if len(source) <= LONGEST_PROMPT:
        return source
    return source[:LONGEST_PROMPT].rpartition("\n")[0] or None


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """What stands below a statement and may hold a function: no expression does, and they are most of a tree."""
    for name in ("body", "handlers", "orelse", "finalbody", "cases"):
        yield from getattr(node, name, ())


def docstrings_of(file: SourceFile) -> Iterator[Docstring]:
    """The functions of one file that have a docstring whose first sentence says something."""
    tree = ast.parse(file.text)
    lines = file.text.splitlines()

    def walk(node: ast.AST, prefix: str) -> Iterator[Docstring]:
        for child in _statements(node):
            if isinstance(child, ast.ClassDef):
                yield from walk(child, f"{prefix}.{child.name}")
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{prefix}.{child.name}"
                docstring = ast.get_docstring(child)
                sentence = first_sentence(docstring) if docstring else None
                source = _without_docstring(child, lines) if sentence else None
                if sentence and source:
                    yield Docstring(family(file.module), name, source, sentence)
                yield from walk(child, name)
            else:
                yield from walk(child, prefix)

    yield from walk(tree, file.module)


def _flat(text: str) -> str:
    return " ".join(text.split())


@lru_cache(maxsize=1)
def docstrings() -> tuple[tuple[Docstring, ...], tuple[Docstring, ...]]:
    """(train, held-out) pairs of the running Python, each pair once.

    A held-out pair is left out when its sentence, or its function's text, stands anywhere in the training side's files:
    copied helpers and stock phrases would let memory pass for skill.
    """
    files = list(source_files())
    seen: set[tuple[str, str]] = set()
    sides: dict[Split, list[Docstring]] = {"train": [], "heldout": []}
    for file in files:
        for pair in docstrings_of(file):
            if (pair.source, pair.sentence) not in seen:
                seen.add((pair.source, pair.sentence))
                sides[file.split].append(pair)
    trained_text = _flat("\n".join(file.text for file in files if file.split == "train"))
    trained_sources = {pair.source for pair in sides["train"]}
    fresh = (pair for pair in sides["heldout"] if pair.sentence.rstrip(".") not in trained_text and pair.source not in trained_sources)
    return tuple(sides["train"]), tuple(fresh)

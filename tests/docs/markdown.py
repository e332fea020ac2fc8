"""The project's pages, taken apart: fenced blocks with their marks, tables, links and headings."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted((ROOT / "docs").rglob("*.md"))
FENCE = "```"
_MARK = re.compile(r"<!-- (run|file: (?P<file>\S+)) -->")
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*=.*")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Args:
        page: the file's name from the project's root.
        line: of its opening fence.
        language: what stands behind the fence.
        text: what is in it.
        run: whether the mark before it says that it is run.
        file: where the mark before it says that it is written to.
    """

    page: str
    line: int
    language: str
    text: str
    run: bool
    file: str

    @property
    def place(self) -> str:
        """As an editor takes it: `README.md:17`."""
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A command line: the variables before it, and its words; `output` is what a `console` block says that it writes."""

    variables: tuple[tuple[str, str], ...]
    words: tuple[str, ...]
    output: str = ""

    @classmethod
    def of(cls, line: str, output: str = "") -> Command:
        """The command of one line; a comment at its end is left out."""
        words = shlex.split(line, comments=True)
        count = next((number for number, word in enumerate(words) if not _VARIABLE.fullmatch(word)), len(words))
        variables = tuple((name, value) for name, _, value in (word.partition("=") for word in words[:count]))
        return cls(variables, tuple(words[count:]), output)


def read(page: str) -> str:
    """The text of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks() -> list[Block]:
    """Every fenced block of every page."""
    return [block for page in PAGES for block in _blocks_of(page)]


def _blocks_of(page: Path) -> Iterator[Block]:
    lines = page.read_text(encoding="utf-8").splitlines()
    opened: int | None = None
    for number, line in enumerate(lines):
        if not line.startswith(FENCE):
            continue
        if opened is None:
            opened = number
            continue
        mark = _MARK.fullmatch(lines[opened - 1].strip()) if opened else None
        text = "\n".join(lines[opened + 1 : number]) + "\n"
        is_run = mark is not None and mark["file"] is None
        file = (mark["file"] or "") if mark else ""
        yield Block(str(page.relative_to(ROOT)), opened + 1, lines[opened][len(FENCE) :].strip(), text, is_run, file)
        opened = None
    assert opened is None, f"{page}:{opened} is never closed"


def typed(block: Block) -> list[Command]:
    """The commands of a `bash` block, one a line, or of a `console` block, each behind `$ ` and before its output."""
    if block.language == "bash":
        return [Command.of(line) for line in block.text.splitlines() if line.strip() and not line.startswith("#")]
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]
    return [Command.of(line, output) for line, _, output in (part.partition("\n") for part in parts)]


def section(page: str, heading: str) -> str:
    """What stands under `heading` of a page, down to the next heading."""
    found = re.search(rf"^#+ {re.escape(heading)}$(.*?)(?=^#+ |\Z)", read(page), re.MULTILINE | re.DOTALL)
    assert found, f"{page} has no heading {heading!r}"
    return found[1]


def rows(page: str, first_heading: str) -> list[list[str]]:
    """The rows of the table of `page` whose header begins with `first_heading`, as cells without their marks."""
    lines = read(page).splitlines()
    start = next((number for number, line in enumerate(lines) if line.startswith(f"| {first_heading} |")), None)
    assert start is not None, f"{page} has no table that begins with {first_heading!r}"
    found: list[list[str]] = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def code(cell: str) -> list[str]:
    """The names between backticks."""
    return re.findall(r"`([^`]+)`", cell)


def named(page: str, first_heading: str, column: int = 0) -> list[str]:
    """The names between backticks in one column of a table, row after row."""
    return [name for row in rows(page, first_heading) for name in code(row[column])]


def links(page: Path) -> list[str]:
    """Where the page's links go."""
    return _LINK.findall(_without_blocks(page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    headings = re.findall(r"^#+ (.+)$", _without_blocks(page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _without_blocks(text: str) -> str:
    return re.sub(rf"^{FENCE}.*?^{FENCE}$", "", text, flags=re.MULTILINE | re.DOTALL)

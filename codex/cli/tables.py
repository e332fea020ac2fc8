"""Rows and columns for a window, or whole for a pipe."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from codex.cli.terminal import Painted, Part, cells, clipped, is_terminal, one_line, out, width

GAP = "  "
NARROWEST = 8


def table(headings: Sequence[str], rows: Sequence[Sequence[Part]], *, right: Sequence[int] = ()) -> None:
    """Write rows under headings; on a terminal the widest columns give way until a row fits the window.

    Args:
        headings: of the columns.
        rows: a cell a heading.
        right: numbers of the columns that are aligned to the right.
    """
    texts = [[one_line(_text(cell)) for cell in row] for row in rows]
    widths = [max(cells(text) for text in column) for column in zip(headings, *texts, strict=True)]
    if is_terminal(sys.stdout):
        _narrow(widths, width() - len(GAP) * (len(widths) - 1))
    _write([Painted(heading, "dim") for heading in headings], list(headings), widths, right)
    for row, shown in zip(rows, texts, strict=True):
        _write(row, shown, widths, right)


def _text(cell: Part) -> str:
    return cell.text if isinstance(cell, Painted) else cell


def _narrow(widths: list[int], room: int) -> None:
    while sum(widths) > room and max(widths) > NARROWEST:
        widths[widths.index(max(widths))] -= 1


def _write(row: Sequence[Part], texts: Sequence[str], widths: Sequence[int], right: Sequence[int]) -> None:
    parts: list[Part] = []
    last = len(texts) - 1
    for number, (cell, text) in enumerate(zip(row, texts, strict=True)):
        shown = clipped(text, widths[number])
        blanks = " " * (widths[number] - cells(shown))
        before, after = (blanks, "") if number in right else ("", blanks if number < last else "")
        parts += [before, Painted(shown, cell.tone) if isinstance(cell, Painted) else shown, after, GAP if number < last else ""]
    out(*parts)

"""Rows for people: what containers' owners have chosen may not move the reader's cursor, nor turn the text around."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def printable(text: str) -> str:
    """The text with control and format characters (C1, U+202E ...) and what is no character as escapes."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def show_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns of equal width."""
    table = [[printable(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    for row in table:
        print("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

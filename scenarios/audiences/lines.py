"""A line of text that may hold Chinese: two columns a character, no spaces between words, and its own places to break.

rich breaks at spaces alone, and folds what has none in the middle of a word. Here a line may break before and after
each wide character, but not before a mark that closes, nor after one that opens; W3C, "Requirements for Chinese Text
Layout", 3.1.3 Prohibition rules for line start and line end, https://www.w3.org/TR/clreq/.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions, JustifyMethod, OverflowMethod
from rich.containers import Lines
from rich.measure import Measurement
from rich.style import StyleType
from rich.text import Text

_OPENING, _CLOSING = "（「『《〈【", "，。、：；？！」』）》〉】…"
_WIDE = "\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\uffe0-\uffe6"
_HAS_WIDE = re.compile(f"[{_WIDE}]")
# Opening marks, a wide character or a word of narrow ones, closing marks, spaces; after each a line may break.
_UNIT = re.compile(rf"\s*[{_OPENING}]*(?:[{_WIDE}]|[^\s{_WIDE}…]+)?[{_CLOSING},.:;!?)\]}}%]*\s*")


class Line(Text):
    """rich's Text, with places to break in Chinese."""

    @classmethod
    def assemble(cls, *parts: str | Text | tuple[str, StyleType], **settings: Any) -> Line:
        assembled = super().assemble(*parts, **settings)
        assert isinstance(assembled, Line)
        return assembled

    def wrap(
        self,
        console: Console,
        width: int,
        *,
        justify: JustifyMethod | None = None,
        overflow: OverflowMethod | None = None,
        tab_size: int = 8,
        no_wrap: bool | None = None,
    ) -> Lines:
        whole = self.no_wrap if no_wrap is None else no_wrap
        if whole or overflow == "ignore" or not _HAS_WIDE.search(self.plain):
            return super().wrap(console, width, justify=justify, overflow=overflow, tab_size=tab_size, no_wrap=no_wrap)
        pieces = [
            piece for line in self.split(allow_blank=True) for piece in line.divide([*_breaks(line.plain, width)])
        ]
        for piece in pieces:
            piece.rstrip_end(width)
        return Lines(pieces)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        measured = super().__rich_measure__(console, options)
        if not _HAS_WIDE.search(self.plain):
            return measured
        return Measurement(max(cell_len(unit.strip()) for unit in units(self.plain)), measured.maximum)


def units(text: str) -> Iterator[str]:
    """The parts between which a line may break; together they are the text."""
    at = 0
    while at < len(text):
        found = _UNIT.match(text, at)
        assert found
        unit = found[0] or text[at]
        at += len(unit)
        yield unit


def _breaks(text: str, width: int) -> Iterator[int]:
    """Where the lines after the first begin, as indices into the text."""
    at = column = 0
    for unit in units(text):
        needed = cell_len(unit.rstrip())
        if column and column + needed > width:
            yield at
            column = 0
        if needed > width:  # a word that fits on no line is cut
            *full, _ = chop_cells(unit.rstrip(), width)
            place = at
            for piece in full:
                place += len(piece)
                yield place
            column = cell_len(unit) - sum(map(cell_len, full))
        else:
            column += cell_len(unit)
        at += len(unit)

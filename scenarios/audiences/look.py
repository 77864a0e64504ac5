"""How an audience wants its beats drawn: how wide, how much of each, in which language, and with which marks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from scenarios.performance.beats import FAILED, HELD, UNKNOWN
from scenarios.performance.text import Text, Translate, in_english

# No yellow: it cannot be read on a light background.
STYLES = {HELD: "green", FAILED: "bold red", UNKNOWN: "magenta"}
MARKS: Mapping[str, str] = {
    HELD: "✔", FAILED: "✘", UNKNOWN: "?",
    "dot": "·", "set": "●", "unset": "○", "branch": "└ ", "more": "…", "socket": "┄┄",
}  # fmt: skip
ASCII: Mapping[str, str] = {
    HELD: "ok", FAILED: "FAILED", UNKNOWN: "?",
    "dot": "-", "set": "*", "unset": "o", "branch": "`-", "more": "...", "socket": "..",
}  # fmt: skip
LARGE = 70  # columns; a screen with fewer shows a large font
Detail = Literal["brief", "short", "full"]


@dataclass(frozen=True)
class Look:
    """How an audience wants its beats drawn.

    width      columns
    plain      for a screen reader and for ASCII terminals: ASCII marks, trees as sentences
    detail     brief: what leads into a step, and its verdicts, a line each; cards. short: also commands, and records,
               rules and outputs by their telling parts. full: all of them whole
    translate  gives a message in the audience's language
    """

    width: int = 80
    plain: bool = False
    detail: Detail = "short"
    translate: Translate = in_english

    @property
    def marks(self) -> Mapping[str, str]:
        return ASCII if self.plain else MARKS

    @property
    def large(self) -> bool:
        return self.width < LARGE

    def words(self, text: Text | str) -> str:
        """The sentence in the audience's language."""
        return Text.of(text).told(self.translate)

"""Steps as HTML, for the page and for the report alike: every text is escaped, and shown as what it is."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lab.identity import UNSET
from scenarios.audiences.look import MARKS, Look
from scenarios.audiences.page.board import HOST, Board, Step
from scenarios.audiences.page.records import NAMING, card, differing
from scenarios.audiences.page.trees import Mark, mark_of, tree
from scenarios.languages.choice import ENGLISH, Language
from scenarios.performance.beats import Contrast, Evidence, Lineage, Opening, Output
from scenarios.performance.text import Argument, Text

ASSETS = Path(__file__).parent / "assets"
SIGNS: Mapping[Mark, str] = {"own": MARKS["set"], "none": MARKS["unset"], "other": "◆", "unknown": "?"}
SHOWN = 6000  # characters of an output, or of a record; the recording has them all
# What would not be seen: control characters, and those that turn the direction of what stands around them.
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def visible(value: object) -> object:
    """A text with what cannot be seen as \\u escapes, and cut where it is longer than any step can show."""
    if type(value) is not str:
        return value
    cut = value if len(value) <= SHOWN else f"{value[:SHOWN]} {MARKS['more']}"
    return _INVISIBLE.sub(lambda found: f"\\u{ord(found[0]):04x}", cut)


class Renderer:
    """Draws steps, and whole documents, in one language."""

    def __init__(self, look: Look, language: Language = ENGLISH) -> None:
        self.look, self.language = look, language
        self._environment = Environment(
            loader=FileSystemLoader(ASSETS),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=visible,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals.update(
            words=look.words, tree=tree, card=card, differing=differing, mark_of=mark_of, cell_mark=cell_mark,
            signs=SIGNS, marks=MARKS, UNSET=UNSET, HOST=HOST, minutes=minutes, kind_of=kind_of,
            said=self.said, digest=digest,
        )  # fmt: skip
        self._step = self._environment.get_template("step.html")

    def said(self, message: str, **arguments: Argument) -> str:
        """A sentence of the page's own, in its language."""
        return self.look.words(Text.of(message, **arguments))

    def step(self, board: Board, step: Step, *, level: int = 2) -> str:
        """One step; level is that of its smaller headings."""
        module = self._step.make_module({"board": board, "opening": board.opening})
        return str(module.draw(step, level))  # type: ignore[attr-defined]

    def document(self, name: str, **values: object) -> str:
        """The template of that name, filled in."""
        return self._environment.get_template(name).render(**values)


def minutes(seconds: float) -> str:
    """03:07"""
    return f"{int(seconds) // 60:02}:{int(seconds) % 60:02}"


def digest(script: str) -> str:
    """For script-src of a Content-Security-Policy."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def kind_of(beat: Output | Lineage | Evidence) -> str:
    """What a piece of evidence is, for the template."""
    return beat.kind


def cell_mark(contrast: Contrast, row: int, column: int, opening: Opening) -> Mark | None:
    """Whose loginuid or session a cell of a card shows; None where it shows something else."""
    if column == 0:
        return None
    cell = str(contrast.rows[row][column])
    if cell in ("unset", str(UNSET)):
        return "none"
    telling = {str(contrast.rows[row][0]), contrast.rows[row][0].message} & {*contrast.telling}
    if cell in (opening.user, str(opening.loginuid), *([str(opening.session)] if telling else [])):
        return "own"
    names_somebody = {contrast.rows[row][0].message, contrast.columns[column].message} & {*NAMING}
    return "other" if names_somebody and " " not in cell else None

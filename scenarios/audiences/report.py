"""A performance as one HTML file: it needs no network and no script, prints well, and can be handed in."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from scenarios.audiences.look import Look
from scenarios.audiences.page.board import Board, Step
from scenarios.audiences.page.rendering import ASSETS, Renderer
from scenarios.performance.beats import Moment

LARGEST = 950_000  # bytes of all steps together: the file stays below 1 MB


def report(moments: Iterable[Moment], look: Look, language: str = "en") -> str:
    """The document, in the language of that tag. What would make it larger than LARGEST is left out, and it says so."""
    board = Board()
    for moment in moments:
        board.take(moment)
    renderer = Renderer(look)
    drawn, left_out = _drawn(renderer, board)
    styles, script = ("\n".join((ASSETS / name).read_text() for name in names) for names in (STYLES, SCRIPTS))
    return renderer.document(
        "report.html",
        language=language,
        opening=board.opening,
        stories=_stories(drawn),
        left_out=left_out,
        counts=board.counts,
        written=time.strftime("%Y-%m-%d"),
        styles=styles,
        script=script,
    )


STYLES, SCRIPTS = ("steps.css", "report.css"), ("whole.js", "report.js")


def _drawn(renderer: Renderer, board: Board) -> tuple[list[tuple[Step, str]], int]:
    room, drawn = LARGEST, []
    for step in board.steps:
        html = renderer.step(board, step, level=3)
        room -= len(html.encode())
        if room < 0:
            break
        drawn.append((step, html))
    return drawn, len(board.steps) - len(drawn)


def _stories(drawn: Sequence[tuple[Step, str]]) -> list[tuple[Step, list[str]]]:
    """The steps by story; what belongs to none, as the opening, is a group of its own. Each has its first step."""
    groups: list[tuple[Step, list[str]]] = []
    for step, html in drawn:
        if not groups or groups[-1][0].story is not step.story:
            groups.append((step, []))
        groups[-1][1].append(html)
    return groups

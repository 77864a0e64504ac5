"""`lab talk --rehearse`: tells the stories unattended, and says what would go wrong and how long each takes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from scenarios.audiences import talk_screen
from scenarios.audiences.drawing import Look
from scenarios.audiences.talk_notes import notes_of
from scenarios.audiences.talk_reel import Reel, Shipped, View
from scenarios.demo import status
from scenarios.performance.beats import HELD, Moment, Verdict
from scenarios.performance.performance import Performance
from scenarios.playing import Cast, conclude, on_stage, tell
from scenarios.stage.report import Report
from scenarios.stage.stage import Story

FRAME = 4  # lines of the screen around a step
SCREENS = ((80, 24), (60, 20))  # columns and lines


class Watcher:
    """An audience that keeps what would stand on the screen, and whether a story's verdicts held."""

    def __init__(self) -> None:
        self.reel = Reel()
        self.wrong: list[Verdict] = []

    def take(self, moment: Moment) -> None:
        self.reel.take(moment)
        if isinstance(moment.beat, Verdict) and moment.beat.verdict != HELD:
            self.wrong.append(moment.beat)


def rehearse(cast: Cast, stories: Sequence[Story], *, lenient: bool) -> int:
    """Tell them all; the exit status is that of `lab demo`."""
    console, watcher = Console(highlight=False), Watcher()
    performance = Performance([watcher])
    reports: list[Report] = []
    seconds: list[float] = []
    with on_stage(cast, stories, performance) as stage:
        for story in stories:
            began = time.monotonic()
            with console.status(f"{len(reports) + 1} of {len(stories)}: {story.NAME}"):
                reports.append(tell(stage, story))
            seconds.append(time.monotonic() - began)
        closing = conclude(reports, performance)
    console.print(_table(reports, seconds, watcher.reel.views))
    for line in [*_troubles(watcher), *_too_long(watcher.reel.views), *_unprepared(reports)]:
        console.print(line, markup=False)
    console.print(f"{len(reports)} stories, {sum(seconds):.0f} s of waiting in all; what you say comes on top.")
    return status(closing, reports, lenient=lenient)


def _table(reports: Sequence[Report], seconds: Sequence[float], views: Sequence[View]) -> Table:
    table = Table("story", "verdict", "steps", "seconds", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for report, took in zip(reports, seconds, strict=True):
        steps = max((view.step for view in views if view.story and view.story.name == report.name), default=0)
        table.add_row(report.name, report.verdict, str(steps), f"{took:.1f}")
    return table


def _troubles(watcher: Watcher) -> Iterator[str]:
    for view in watcher.reel.views:
        if view.trouble and view.story:
            told = talk_screen.trouble(view.trouble, Look()).plain.strip()
            remedy = f"\n    {view.trouble.remedy}" if view.trouble.remedy else ""
            yield f"{view.story.name}, step {view.step}: {told}{remedy}"


def _too_long(views: Sequence[View]) -> Iterator[str]:
    """The steps that are to be scrolled on a small screen."""
    for view in views:
        for width, height in SCREENS:
            look = Look(width - 2)
            needs = talk_screen.lines(talk_screen.fitting(view, look, height - FRAME), look.width) + FRAME
            if needs > height and view.story:
                yield f"{view.story.name}, step {view.step}: {needs} lines, to be scrolled at {width}x{height}"


def _unprepared(reports: Sequence[Report]) -> Iterator[str]:
    """The stories without what helps on stage."""
    shipped = Shipped()
    if missing := [report.name for report in reports if not shipped.steps(report.name)]:
        yield f"no recorded run to fall back on: {', '.join(missing)}"
    if missing := [report.name for report in reports if not notes_of(report.name)]:
        yield f"no speaker's notes: {', '.join(missing)}"

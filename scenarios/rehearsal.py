"""`lab talk --rehearse`: tells the stories unattended, and says what would go wrong and how long each takes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from scenarios.audiences import talk_screen
from scenarios.audiences.look import Look
from scenarios.audiences.talk_notes import notes_of
from scenarios.audiences.talk_reel import Reel, Shipped, View
from scenarios.demo import status
from scenarios.languages.choice import Language
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


def rehearse(cast: Cast, stories: Sequence[Story], language: Language, *, lenient: bool) -> int:
    """Tell them all; the exit status is that of `lab demo`."""
    told = language.told
    console, watcher = Console(highlight=False), Watcher()
    performance = Performance([watcher])
    reports: list[Report] = []
    seconds: list[float] = []
    with on_stage(cast, stories, performance) as stage:
        for story in stories:
            began = time.monotonic()
            with console.status(f"{len(reports) + 1}/{len(stories)} {story.NAME}"):
                reports.append(tell(stage, story))
            seconds.append(time.monotonic() - began)
        closing = conclude(reports, performance)
    console.print(_table(reports, seconds, watcher.reel.views, language))
    views = watcher.reel.views
    for line in [*_troubles(watcher, language), *_too_long(views, language), *_unprepared(reports, language)]:
        console.print(line, markup=False)
    said = "{count} stories, {seconds} s of waiting in all; what you say comes on top."
    console.print(told(said, count=len(reports), seconds=f"{sum(seconds):.0f}"))
    return status(closing, reports, lenient=lenient)


def _table(reports: Sequence[Report], seconds: Sequence[float], views: Sequence[View], language: Language) -> Table:
    told = language.told
    heads = told("story"), told("verdict"), told("steps"), told("seconds")
    table = Table(*heads, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for report, took in zip(reports, seconds, strict=True):
        steps = max((view.step for view in views if view.story and view.story.name == report.name), default=0)
        table.add_row(report.name, told(report.verdict), str(steps), f"{took:.1f}")
    return table


def _troubles(watcher: Watcher, language: Language) -> Iterator[str]:
    look = Look(translate=language.translate)
    for view in watcher.reel.views:
        if view.trouble and view.story:
            trouble = talk_screen.trouble(view.trouble, look).plain.strip()
            remedy = f"\n    {look.words(view.trouble.remedy)}" if view.trouble.remedy else ""
            yield language.told("{story}, step {step}", story=view.story.name, step=view.step) + f": {trouble}{remedy}"


def _too_long(views: Sequence[View], language: Language) -> Iterator[str]:
    """The steps that are to be scrolled on a small screen."""
    for view in views:
        for width, height in SCREENS:
            look = Look(width - 2, translate=language.translate)
            needs = talk_screen.lines(talk_screen.fitting(view, look, height - FRAME), look.width) + FRAME
            if needs > height and view.story:
                place = language.told("{story}, step {step}", story=view.story.name, step=view.step)
                said = language.told("{lines} lines, to be scrolled at {size}", lines=needs, size=f"{width}x{height}")
                yield f"{place}: {said}"


def _unprepared(reports: Sequence[Report], language: Language) -> Iterator[str]:
    """The stories without what helps on stage."""
    shipped = Shipped()
    if missing := [report.name for report in reports if not shipped.steps(report.name)]:
        yield language.told("no recorded run to fall back on: {stories}", stories=", ".join(missing))
    if missing := [report.name for report in reports if not notes_of(report.name, language.code)]:
        yield language.told("no speaker's notes: {stories}", stories=", ".join(missing))

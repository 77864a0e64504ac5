"""What the speaker's screen has seen so far, as views: what stood there at each stop, so that one can go back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import InvalidArgument
from scenarios.performance import recording
from scenarios.performance.beats import (
    FAILED,
    UNKNOWN,
    Beat,
    Command,
    Contrast,
    Heading,
    Moment,
    Opening,
    Stop,
    Verdict,
    pages,
)
from scenarios.performance.text import Text

RECORDINGS = Path(__file__).parent.parent / "recordings"


@dataclass(frozen=True)
class View:
    """The beats of a step up to a stop.

    story   the heading of the story, None outside of stories
    step    its number in the story, from 1 on
    asked   how many beats of the step stood there at the stop before: those were shown already
    """

    beats: tuple[Beat, ...]
    story: Heading | None = None
    step: int = 0
    asked: int = 0

    @property
    def pending(self) -> bool:
        """Whether it ends with a command that has not run yet."""
        return bool(self.beats) and isinstance(self.beats[-1], Command)

    @property
    def command(self) -> str:
        """The last command line; "" if there is none."""
        return next((beat.line for beat in reversed(self.beats) if isinstance(beat, Command)), "")

    @property
    def trouble(self) -> Verdict | None:
        """The first new verdict that did not hold, a failed one before others."""
        found = [beat for beat in self.beats[self.asked :] if isinstance(beat, Verdict)]
        wrong = [beat for word in (FAILED, UNKNOWN) for beat in found if beat.verdict == word]
        return wrong[0] if wrong else None


class Reel:
    """Takes the moments of a talk. Its last view grows until the next stop."""

    def __init__(self) -> None:
        self._past: list[View] = []
        self._page: list[Beat] = []
        self._story: Heading | None = None
        self._step = self._asked = 0
        self.opening: Opening | None = None

    def take(self, moment: Moment) -> None:
        beat = moment.beat
        if isinstance(beat, Stop):
            self._cut()
            if beat.before == "command":
                self._asked = len(self._page)
            else:
                self._turn(beat.before)
            return
        if isinstance(beat, Opening):  # also when the stage is set anew in the middle of a story
            self._cut()
            self._turn("summary")
            self.opening = beat
        elif isinstance(beat, Heading):
            self._story, self._step = beat, 1
        self._page.append(beat)

    def _turn(self, before: str) -> None:
        """A new page."""
        self._page, self._asked = [], 0
        self._step += 1
        if before == "summary":
            self._story, self._step = None, 1

    def _cut(self) -> None:
        if len(self._page) > self._asked:
            self._past.append(self._now())

    def _now(self) -> View:
        return View(tuple(self._page), self._story, self._step, self._asked)

    @property
    def views(self) -> Sequence[View]:
        """All so far, the last of them as it is now; there is at least one."""
        fresh = len(self._page) > self._asked
        return [*self._past, self._now()] if fresh or not self._past else self._past


class Shipped:
    """The recordings that the lab ships with: a run of each story, to be shown where the live run fails.

    Where there is none of a story, it has no pages.
    """

    def __init__(self, folder: Path = RECORDINGS) -> None:
        self._folder = folder
        self._views: dict[str, list[View]] = {}
        self._openings: dict[str, Opening] = {}

    def views(self, story: str) -> list[View]:
        """A view for each step of the story, the step whole."""
        if story not in self._views:
            try:
                self._views[story] = [*self._read(story)]
            except InvalidArgument:
                self._views[story] = []
        return self._views[story]

    def _read(self, story: str) -> Iterator[View]:
        moments = list(recording.read(self._folder / f"{story}.jsonl"))
        heading: Heading | None = None
        step = 0
        for page in pages(moments):
            beats = tuple(moment.beat for moment in page)
            if isinstance(beats[0], Opening):
                self._openings[story] = beats[0]
            elif isinstance(beats[0], Heading):
                heading, step = beats[0], 1
            else:
                step += 1
            if beats[0].kind in ("summary", "article", "closing"):
                return
            if heading and heading.name == story:
                yield View(tuple(beat for beat in beats if not isinstance(beat, Stop)), heading, step)

    def opening(self, story: str) -> Opening | None:
        """Who played where in the recording of the story; None if there is no recording."""
        self.views(story)
        return self._openings.get(story)

    def label(self, story: str) -> Text:
        """What tells that it is a recording: its day and its kernel."""
        opening = self.opening(story)
        if not opening:
            return Text("a recorded run")
        return Text("recorded on {day}, Linux {kernel}", {"day": opening.began[:10], "kernel": opening.kernel})

    def steps(self, story: str) -> int:
        """How many steps the story has; 0 if there is no recording."""
        return len(self.views(story))


def card(views: Sequence[View]) -> View | None:
    """The last of them that holds a contrast card."""
    return next((view for view in reversed(views) if any(isinstance(beat, Contrast) for beat in view.beats)), None)

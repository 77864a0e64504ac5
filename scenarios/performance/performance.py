"""A performance: numbers the beats of a run, puts the stops between them, and hands each to every audience."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from scenarios.performance.beats import (
    Article,
    Beat,
    Busy,
    Closing,
    Command,
    Contrast,
    Evidence,
    Heading,
    Lineage,
    Moment,
    Output,
    Predict,
    Rules,
    Say,
    Stop,
    Summary,
    Verdict,
)

OPENING_A_STEP = (Say, Predict, Rules, Command)
CLOSING_A_STEP = (Verdict, Contrast)
EVIDENCE = (Output, Lineage, Evidence)
ANSWERS = (*EVIDENCE, Verdict)


class Leave(BaseException):
    """An audience raises it at a Stop to leave the story that is being told: what the story set up is taken back."""


class Audience(Protocol):
    """Takes the beats of one performance, in their order. At a Stop it may wait, and may raise Leave."""

    def take(self, moment: Moment) -> None: ...


class Performance:
    """What a stage performs on. `evidence` holds the numbers of the beats of this step that a verdict may rest on."""

    def __init__(self, audiences: Sequence[Audience], clock: Callable[[], float] = time.monotonic) -> None:
        self._audiences, self._clock, self._began = audiences, clock, clock()
        self._number = 0
        self._last: Beat | None = None
        self._asked = False  # whether a question stands there to which no command has run, and nothing was shown
        self.evidence: list[int] = []

    def perform(self, beat: Beat) -> int:
        """Hand a beat to the audiences, behind the stop that belongs before it; returns the beat's number."""
        if stop := self._stop_before(beat):
            self._hand(Stop(stop))
            self.evidence = []
        if self._asked and isinstance(beat, ANSWERS):
            self._hand(Stop("command"))
        self._asked = isinstance(beat, Predict) or (self._asked and not isinstance(beat, (Command, *ANSWERS)))
        number = self._hand(beat)
        if isinstance(beat, EVIDENCE):
            self.evidence.append(number)
        if not isinstance(beat, Busy):
            self._last = beat
        if isinstance(beat, Command):
            self._hand(Stop("command"))
        return number

    def _stop_before(self, beat: Beat) -> Literal["step", "story", "summary", ""]:
        """A step ends when the next one asks; a card and the summary have a step to themselves."""
        if self._last is None or isinstance(self._last, Heading):
            return ""
        if isinstance(beat, Heading):
            return "story"
        if isinstance(beat, Summary):
            return "summary"
        own = isinstance(beat, (Contrast, Article, Closing))
        return "step" if own or (isinstance(beat, OPENING_A_STEP) and isinstance(self._last, CLOSING_A_STEP)) else ""

    def _hand(self, beat: Beat) -> int:
        moment = Moment(self._number, round(self._clock() - self._began, 3), beat)
        self._number += 1
        for audience in self._audiences:
            audience.take(moment)
        return moment.number

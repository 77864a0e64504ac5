"""Beats become steps: what is on the page together, with a lane for each way in which a process was started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lab.audit.records import RecordError
from lab.identity import UNSET
from scenarios import claims as article
from scenarios.audiences.page.commands import Started, started
from scenarios.performance.beats import (
    HELD,
    NOTHING,
    Article,
    Beat,
    Busy,
    Closing,
    Command,
    Contrast,
    Evidence,
    Heading,
    Judged,
    Lineage,
    Moment,
    Opening,
    Output,
    Predict,
    Process,
    Rules,
    Say,
    Stop,
    Summary,
    Verdict,
)
from scenarios.performance.text import Text

HOST = "host"  # the key of the lane for what no engine starts
LANES = 2  # side by side
NOBODY = Opening("", "", "", "", UNSET, UNSET, "", (), (), ())


@dataclass
class Run:
    """A command, and what it showed; the numbers are those of the beats."""

    number: int
    line: str
    parts: Started
    outputs: list[tuple[int, Output]] = field(default_factory=list)
    records: list[tuple[int, Evidence]] = field(default_factory=list)
    lineage: Lineage | None = None
    printed: int | None = None  # its own loginuid, as it printed it, and as a verdict has read it

    @property
    def has_run(self) -> bool:
        """Whether anything has come of it yet."""
        return bool(self.outputs or self.records or self.lineage)

    def witness(self) -> Process | None:
        """The process whose system call the last record is of."""
        for _, evidence in reversed(self.records):
            try:
                fields = evidence.event.records[0].fields if evidence.event.records[0].name == "SYSCALL" else {}
                return Process(
                    evidence.event.comm or "?",
                    *(int(fields[name]) for name in ("pid", "uid", "auid", "ses")),
                )
            except (RecordError, KeyError, ValueError):  # another kind of record, or none of a kernel
                continue
        return None


@dataclass
class Lane:
    """What one engine ran in a step, or the login without an engine: key is HOST, or the engine's name."""

    key: str
    runs: list[Run] = field(default_factory=list)

    @property
    def run(self) -> Run:
        """The run whose tree is drawn: the last that makes a container, else the last."""
        return next((run for run in reversed(self.runs) if run.parts.container), self.runs[-1])


@dataclass
class Step:
    """What is on the page together.

    story     the heading of the story that is being told
    within    the number of this step in its story, from 1 on
    at        seconds since the run began
    lanes     those to draw, the older one first
    own       of these, what this step has put there
    records   those that no command of this step has left
    evidence  the numbers of the beats that a verdict may rest on
    claims    of the article: on a story's card those of the story, in the summary all that were judged until now
    waiting   what the performance waits before; "" while it goes on
    """

    number: int
    story: Heading | None = None
    within: int = 0
    at: float = 0
    opening: Opening | None = None
    says: list[Text] = field(default_factory=list)
    question: Predict | None = None
    rules: Rules | None = None
    command: Run | None = None
    lanes: list[Lane] = field(default_factory=list)
    own: dict[str, Lane] = field(default_factory=dict)
    records: list[tuple[int, Evidence]] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    evidence: list[int] = field(default_factory=list)
    contrast: Contrast | None = None
    summary: Summary | None = None
    claims: Sequence[Judged] = ()
    closing: Closing | None = None
    busy: Text = NOTHING
    waiting: str = ""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to see yet."""
        return not (self.opening or self.story or self.says or self.summary or self.claims or self.closing)


class Board:
    """Takes the moments of a performance, and keeps its steps; the last is the one that changes."""

    def __init__(self) -> None:
        self.steps = [Step(0)]
        self.opening = NOBODY
        self.beats: dict[int, Beat] = {}  # what a verdict may rest on
        self.counts: dict[str, int] = {}
        self._claims: list[Judged] = []
        self._story, self._verdicts = "", list[Verdict]()  # of the story that is being told

    def take(self, moment: Moment) -> Step:
        """The step that this moment has changed or begun."""
        beat = moment.beat
        if isinstance(beat, Stop):
            return self._stop(beat)
        if self.steps[-1].waiting not in ("", "command") or isinstance(beat, (Opening, Heading)):
            self._begin(beat)
        step = self.steps[-1]
        step.at, step.busy, step.waiting = moment.at, NOTHING, ""
        self._put(step, moment.number, beat)
        return step

    def _stop(self, stop: Stop) -> Step:
        step = self.steps[-1]
        step.waiting, step.busy = stop.before, NOTHING
        return step

    def _begin(self, beat: Beat) -> None:
        """A new step; in the same story it goes on from the lanes of the step before."""
        last = self.steps[-1]
        if last.empty:
            self.steps.pop()
        step = Step(len(self.steps), story=last.story, within=last.within + 1)
        if isinstance(beat, Heading):
            step.story, step.within = beat, 1
        elif isinstance(beat, (Opening, Summary, Article, Closing)):
            step.story = None
        if step.story is last.story:
            step.lanes = last.lanes
        self.steps.append(step)

    def _put(self, step: Step, number: int, beat: Beat) -> None:
        match beat:
            case Opening():
                beat.introduce()
                self.opening = step.opening = beat
                step.lanes = [_preview(engine) for engine in beat.engines[:LANES]]
                step.own = {lane.key: lane for lane in step.lanes}
            case Say():
                step.says.append(beat.text)
            case Predict():
                step.question = beat
            case Rules():
                step.rules = beat
            case Busy():
                step.busy = beat.text
            case Command():
                self._run(step, number, beat.line)
            case Output() | Lineage() | Evidence():
                self.beats[number] = beat
                step.evidence.append(number)
                _show(step, number, beat)
            case Verdict():
                self._judge(step, beat)
            case Contrast():
                step.contrast = beat
                step.claims = article.shown(self._story, self._verdicts)
            case Summary():
                step.summary = beat
            case Article():
                self._claims += beat.claims
                step.claims = tuple(self._claims)
            case Closing():
                step.closing = beat
            case Heading():
                self._story, self._verdicts = beat.name, []
            case Stop():
                pass

    def _run(self, step: Step, number: int, line: str) -> None:
        run = Run(number, line, started(line))
        key = run.parts.engine or HOST
        lane = step.own.setdefault(key, Lane(key))
        lane.runs.append(run)
        step.command = run
        others = [one for one in step.lanes if one.key != key]
        step.lanes = [*others[-(LANES - 1) :], lane]

    def _judge(self, step: Step, verdict: Verdict) -> None:
        step.verdicts.append(verdict)
        word = verdict.verdict
        self.counts[word] = self.counts.get(word, 0) + 1
        self._verdicts.append(verdict)
        if step.contrast:
            step.claims = article.shown(self._story, self._verdicts)
        if verdict.check == "printed" and verdict.verdict == HELD:
            for run in (run for lane in step.own.values() for run in lane.runs):
                if {number for number, _ in run.outputs} & {*verdict.evidence} and "/proc/self/loginuid" in run.line:
                    run.printed = verdict.wanted


def _preview(engine: str) -> Lane:
    """What this engine will do, before any command has run."""
    line = f"sudo {engine} run"
    return Lane(engine, [Run(0, f"{line} ", started(f"{line} "))])


def _show(step: Step, number: int, beat: Output | Lineage | Evidence) -> None:
    """Put what a command showed beside that command; a record that no command of this step left stands by itself."""
    if not step.command:
        if isinstance(beat, Evidence):
            step.records.append((number, beat))
        return
    match beat:
        case Output():
            step.command.outputs.append((number, beat))
        case Lineage():
            step.command.lineage = beat
        case Evidence():
            step.command.records.append((number, beat))

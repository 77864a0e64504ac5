"""Open hand-ins and judge them again: answers, records, and code, which runs in containers alone (cell.py).

What cannot be known: a student is root, and can forge progress, evidence and clock. A signature says which key signed,
and that nobody has changed the file since; it does not say that the student has done the work.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lab.errors import NotFound
from scenarios.classroom import answers, judging, submission
from scenarios.classroom.cell import Task, Trial
from scenarios.classroom.classes import Class, TeacherKey
from scenarios.classroom.evidence import contradictions
from scenarios.classroom.exercise import ANSWERS, Exercise
from scenarios.classroom.reading import read_regular
from scenarios.classroom.sealing import MOST, Damaged
from scenarios.classroom.submission import HandIn, Work
from scenarios.classroom.suspicion import alone, together

State = Literal["shown", "claimed", "contradicted", "tried", "begun", "none"]
STATES: dict[State, str] = {
    "shown": "passed, judged again here from what was handed in",
    "claimed": "passed by the student's own check; not all of it was judged again here",
    "contradicted": "said to be passed, and what was handed in says otherwise",
    "tried": "checked, and not passed",
    "begun": "started, never checked",
    "none": "not started",
}
GIVES: frozenset[State] = frozenset({"shown", "claimed"})  # a point
Run = Callable[[Sequence[Task]], Sequence[Trial]]  # Cell.run
NOT_RUN = Trial(False)


@dataclass(frozen=True)
class Mark:
    """What one exercise of one hand-in is worth, and why."""

    state: State
    why: str = ""

    @property
    def points(self) -> int:
        return int(self.state in GIVES)


@dataclass
class Graded:
    """One file of the teacher's.

    trouble     why it could not be opened; then there is nothing else
    key         fingerprint of the key that signed it
    flags       what a teacher should look at
    later       the file with a later hand-in by the same key, which counts instead; "" if this one counts
    """

    file: str
    trouble: str = ""
    key: str = ""
    hand_in: HandIn | None = None
    marks: dict[str, Mark] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    later: str = ""

    @property
    def student(self) -> str:
        return self.hand_in.student if self.hand_in else ""

    @property
    def label(self) -> str:
        """Whose it is, for another student's flag."""
        return f"{self.student}, {self.file}"

    @property
    def points(self) -> int:
        return sum(mark.points for mark in self.marks.values())

    @property
    def odd(self) -> list[str]:
        """What a teacher should look at: the flags, and each pass that what was handed in contradicts."""
        return [
            *self.flags,
            *(f"{name}: {mark.why}" for name, mark in self.marks.items() if mark.state == "contradicted"),
        ]

    def hints(self, name: str) -> int:
        """How many hints were taken for this exercise."""
        work = self.hand_in.exercises.get(name) if self.hand_in else None
        return work.hints if work else 0

    @property
    def counts(self) -> bool:
        return self.hand_in is not None and not self.later


def graded(
    paths: Sequence[Path], key: TeacherKey, exercises: Sequence[Exercise], now: float = 0, run: Run | None = None
) -> list[Graded]:
    """A row for each file, in their order; what is wrong with one file is that file's trouble alone.

    Without `run` no student's code is run. With it, as many trials run at a time as there are processors.
    """
    now = now or time.time()
    klass, secret = key.klass, bytes.fromhex(key.secret)
    rows = [_opened(path, secret, klass, key.made, exercises, now) for path in paths]
    for row, later in _superseded(rows):
        row.later = later.file
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(lambda row: _judge(row, exercises, run if row.counts else None), rows):
            pass
    for number, flag in together([(row.label, row.key, row.hand_in) for row in rows], exercises):
        rows[number].flags.append(flag)
    return rows


def _opened(path: Path, secret: bytes, klass: Class, made: float, exercises: Sequence[Exercise], now: float) -> Graded:
    row = Graded(str(path))
    try:
        row.key, hand_in = submission.opened(read_regular(path, MOST), secret, klass)
        row.flags = alone(hand_in, klass, made, now, exercises, row.key)
        row.hand_in = hand_in
    except OSError as error:
        row.trouble = f"cannot read it: {error.strerror}"
    except Damaged as error:
        row.trouble = error.message
    except Exception as error:
        _cannot(row, error)
    return row


def _judge(row: Graded, exercises: Sequence[Exercise], run: Run | None) -> None:
    try:
        if row.hand_in:
            works = row.hand_in.exercises
            trials = tried(works, exercises, run) if run else {}
            row.marks = {one.name: mark(one, works.get(one.name), trials.get(one.name, NOT_RUN)) for one in exercises}
    except Exception as error:
        _cannot(row, error)


def tried(works: Mapping[str, Work], exercises: Sequence[Exercise], run: Run) -> dict[str, Trial]:
    """What came of the student's code, by exercise, where there is a trial for it and nothing else is wrong."""
    worth = [one for one in exercises if one.about.trial and one.name in works]
    worth = [one for one in worth if works[one.name].passed and not faults(one, works[one.name])]
    tasks = [(one.trial, {name: works[one.name].files[name] for name in one.about.files}) for one in worth]
    return dict(zip([one.name for one in worth], run(tasks) if tasks else (), strict=True))


def _cannot(row: Graded, error: Exception) -> None:
    """What nobody has thought of costs this file, and not the other 299."""
    row.trouble = f"it cannot be graded: {type(error).__name__}"
    row.hand_in, row.marks, row.flags = None, {}, []


def mark(one: Exercise, work: Work | None, trial: Trial = NOT_RUN) -> Mark:
    """What one exercise is worth. Raises NotFound if the grader's checkout has no solution to compare with."""
    if work is None or not work.started:
        return Mark("none")
    if not work.passed:
        return Mark("tried", f"{work.checks} checks") if work.checks else Mark("begun")
    if found := [*faults(one, work), *(trial.faults if trial.ran else ())]:
        return Mark("contradicted", "; ".join(found))
    judged = {*_judged(one), *(one.about.trial if trial.ran and not one.about.trial_misses else ())}
    left = [name for name in one.about.files if name not in judged]
    why = "; ".join([f"not judged here: {', '.join(left)}", *_partly(one, trial)])
    return Mark("claimed", why) if left else Mark("shown")


def faults(one: Exercise, work: Work) -> list[str]:
    """What is wrong with a pass, as far as that is seen without running the code."""
    found = answers.wrong(one, work.files, work.seed) if one.about.answers else []
    found += judging.faults(one, work)
    if one.about.evidence:
        found += contradictions(one.about.evidence, work.evidence) if work.evidence else ["no evidence was kept"]
    missing = [name for name in one.about.trial if name not in work.files]
    return [*found, *([f"there is no {', '.join(missing)}"] if missing else [])]


def _partly(one: Exercise, trial: Trial) -> Sequence[str]:
    """What a trial has seen and not seen, or why it could not be run."""
    if trial.ran and one.about.trial_misses:
        return [f"it ran and did what it should; not tried: {one.about.trial_misses}"]
    return trial.faults


def _judged(one: Exercise) -> Iterable[str]:
    """The files of the exercise that are judged again: all, where the records that its check kept tell everything."""
    if one.about.evidence or judging.judges(one):
        return one.about.files
    return [ANSWERS, one.about.records] if one.about.answers else []


def _superseded(rows: Sequence[Graded]) -> list[tuple[Graded, Graded]]:
    """Rows whose student has handed in a later one, with that one; of two of the same moment the last file counts."""
    latest: dict[tuple[str, str], tuple[float, Graded]] = {}
    for row in rows:
        if row.hand_in:
            student = (row.key, row.hand_in.seed)
            if student not in latest or row.hand_in.made >= latest[student][0]:
                latest[student] = (row.hand_in.made, row)
    counting = [(row, latest[row.key, row.hand_in.seed][1]) for row in rows if row.hand_in]
    return [(row, last) for row, last in counting if last is not row]


def require_solutions(exercises: Sequence[Exercise]) -> None:
    """Raise NotFound where this is a student's archive, which has no solutions to grade with."""
    for one in exercises:
        if one.about.answers == "solution" and not one.has_solution:
            raise NotFound(f"this checkout has no solution of {one.name}", "grade in the teacher's checkout")

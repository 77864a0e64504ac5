"""Begin an exercise: what is the same for everybody is copied, what differs by student is made."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec

from lab.errors import InvalidArgument, MissingFeature
from scenarios.classroom import cases, culprit, forger, hidden, room, submission
from scenarios.classroom.cases import Case
from scenarios.classroom.desk import NOTHING_MADE, Desk, Made
from scenarios.classroom.exercise import Exercise
from scenarios.classroom.sealing import fingerprint, public_of
from scenarios.classroom.seeds import Names, Seed
from scenarios.classroom.showing import Shown
from scenarios.performance.text import Translate, in_english
from scenarios.stage.stage import Stage

EVENTS = 5000
RUNS: Mapping[str, Callable[[Stage, Case, int], bytes]] = {"forger": forger.run, "culprit": culprit.run}


def begin(desk: Desk, one: Exercise, shown: Shown) -> list[str]:
    """The names of the files that are new in the student's folder; none where the exercise was begun before.

    Raises NotAllowed or MissingFeature as require() does, before anything is shown or made.
    """
    began = time.time()
    if records(desk, one):
        require(one)
        shown.say("recording a log of your own: this takes some seconds ...", style="dim")
    return desk.start(one, made(desk, one, shown.look.translate), began, shown.look.translate)


def records(desk: Desk, one: Exercise) -> bool:
    """Whether to begin it is to record a log: it has one, and the student has none yet."""
    return one.about.case in RUNS and desk.get(f"{one.name}/{cases.FILE}") is None


def require(one: Exercise, verb: str = "start") -> None:
    """Raise NotAllowed or MissingFeature where that exercise cannot be begun here; the verb is what was typed."""
    if one.about.case in RUNS:
        one.require(verb)


def made(desk: Desk, one: Exercise, translate: Translate = in_english) -> Made:
    """What this student's case needs: no files if the folder has them already. Raises InvalidArgument if damaged."""
    if not one.about.case:
        return NOTHING_MADE
    if kept := kept_case(desk, one):
        return Made(kept.names, {})
    return made_of(one, seed_of(desk), translate=translate)


def names_in(desk: Desk, one: Exercise) -> Names:
    """The names of this student's case, without making its files. Raises InvalidArgument if it is damaged."""
    if not one.about.case:
        return {}
    return (kept_case(desk, one) or Case.of(one.about.case, seed_of(desk))).names


def made_of(one: Exercise, seed: Seed, events: int = EVENTS, translate: Translate = in_english) -> Made:
    """The names and files of an exercise's case for that seed; the log of a hidden run has so many events.

    Raises NotAllowed or MissingFeature where such a run cannot be, EvidenceLost or CannotTell where it came to nothing.
    """
    case, files = Case.of(one.about.case, seed), dict[str, bytes]()
    if run := RUNS.get(one.about.case):
        require(one)
        with room.stage() as stage:
            files = {cases.LOG: run(stage, case, events), cases.PASSWD: hidden.passwd(cases.staff(seed))}
    return Made(case.names, {**files, cases.FILE: case.toml(translate).encode()})


def stale(desk: Desk, among: Sequence[Exercise]) -> list[Exercise]:
    """Those that were begun with another seed than that of the student's class; none for who has joined no class."""
    if desk.get(submission.ENROLMENT) is None:
        return []
    now, found = seed_of(desk), []
    for one in among:
        with suppress(InvalidArgument):  # a damaged case: its check says so
            kept = kept_case(desk, one)
            if kept and kept.seed != now:
                found.append(one)
    return found


def kept_case(desk: Desk, one: Exercise) -> Case | None:
    """The case in the student's folder; None if there is none. Raises InvalidArgument for one that is damaged."""
    text = desk.get(f"{one.name}/{cases.FILE}") if one.about.case else None
    return Case.parse(one.about.case, text.decode(errors="replace")) if text is not None else None


def seed_of(desk: Desk) -> Seed:
    """By class and name, if the student has joined one, else by the student's key."""
    if not find_spec("nacl"):
        raise MissingFeature("the Python package nacl is missing", "run `tools/setup venv`, then again")
    if desk.get(submission.ENROLMENT) is None:
        return Seed.of_key(fingerprint(public_of(desk.key())))
    klass, name = submission.enrolled(desk)
    return Seed(klass.seed(name))

"""What a teacher should look at: times that cannot be, seeds and evidence that two students share, names alike.

A flag is a reason to ask, and no proof: clocks go wrong, and two students may sit at one machine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice

from lab.audit.records import RecordError
from scenarios.classroom import lookalikes
from scenarios.classroom.classes import Class
from scenarios.classroom.evidence import parsed
from scenarios.classroom.exercise import Exercise
from scenarios.classroom.seeds import Seed
from scenarios.classroom.submission import HandIn, Work

# Seconds that no check is faster than: it starts Python and pytest; with `audit`, labd and two containers, too.
SHORTEST, SHORTEST_WITH_AUDIT = 0.1, 0.5
CLOCKS = 24 * 3600  # how much a student's clock may be ahead of the teacher's, or behind it
SLACK = 2.0  # seconds between the clock of the records and that of the check
Stamp = tuple[str, tuple[int, int], int]  # boot id, time, serial
Row = tuple[str, str, HandIn | None]  # student and file, fingerprint of the key, what was in it


def alone(
    hand_in: HandIn, klass: Class, class_made: float, now: float, exercises: Sequence[Exercise], key: str
) -> list[str]:
    """What is odd about one hand-in; key is the fingerprint of the key that signed it."""
    flags = []
    if hand_in.seed != klass.seed(hand_in.student):
        flags.append("the seed is not the one of this name")
    if scripts := lookalikes.mixed(hand_in.student):
        flags.append(f"a word of its name has letters of several scripts: {', '.join(scripts)}")
    if hand_in.made > now + CLOCKS:
        flags.append("it was made in the future")
    if hand_in.made < class_made - CLOCKS:
        flags.append("it was made before the class was")
    known = {one.name: one for one in exercises}
    for name, work in hand_in.exercises.items():
        if name not in known:
            flags.append(f"unknown exercise {name}")
        elif work.passed:
            flags += [f"{name}: {why}" for why in _times(known[name], work, hand_in.made)]
        if work.seed not in ("", klass.seed(hand_in.student), Seed.of_key(key).digits):
            flags.append(f"{name}: its case is another student's")
    return flags


def _times(one: Exercise, work: Work, made: float) -> Iterator[str]:
    """Times that cannot be, of an exercise that is said to be passed."""
    shortest = SHORTEST_WITH_AUDIT if "audit" in one.about.needs else SHORTEST
    if not work.started:
        yield "passed, and never started"
    elif work.passed < work.started:
        yield "passed before it was started"
    elif work.passed - work.started < shortest:
        yield f"passed {work.passed - work.started:.2f} s after the start, which is less than its check takes"
    if max(work.passed, work.started) > made:
        yield "passed after it was handed in"
    if not work.checks:
        yield "passed without a check"
    if any(prediction.time > work.passed for prediction in work.predictions.values()):
        yield "predicted after it was passed"
    if work.evidence:
        yield from _evidence(work, shortest, work.started if one.about.case else work.evidence.began)


def _evidence(work: Work, shortest: float, earliest: float) -> Iterator[str]:
    """earliest: no record can be of a time before."""
    evidence = work.evidence
    assert evidence
    if evidence.ended - evidence.began < shortest:
        yield "its check took less time than a check takes"
    if evidence.began < work.started - SLACK:
        yield "its check began before the exercise was started"
    if abs(evidence.ended - work.passed) > SLACK:
        yield "its check ended at another time than it was passed"
    early, late = earliest - SLACK, evidence.ended + SLACK
    if any(not early <= seconds + thousandths / 1000 <= late for _, (seconds, thousandths), _ in _seen(work)):
        yield "records of another time than the check's"


def _seen(work: Work) -> Iterator[Stamp]:
    """The stamps of the events in the evidence; lines that are no records are the marks' business."""
    evidence = work.evidence
    if evidence is None:
        return
    for seen in evidence.seen.values():
        with suppress(RecordError):
            yield from ((evidence.machine.boot, event.time, event.serial) for event in parsed(seen.lines))


def _own_record(one: Exercise, work: Work, boot: str) -> Iterator[Stamp]:
    """The stamps in the exercise's file of records that are the student's: start/ gave everybody the others."""
    given = one.start().get(one.about.records, b"").decode()
    for line in work.files.get(one.about.records, "").splitlines():
        if line not in given:
            with suppress(RecordError):
                yield from ((boot, event.time, event.serial) for event in parsed([line]))


def together(rows: Sequence[Row], exercises: Sequence[Exercise]) -> Iterator[tuple[int, str]]:
    """What hand-ins of two students share, as (number of the row, flag); each flag names one other student."""
    known = {one.name: one for one in exercises}
    holders = defaultdict[tuple[str, object], dict[str, int]](dict)  # of a claim: owner, and the owner's first row
    claims = [set(_claims(key, hand_in, known)) if hand_in else set() for _, key, hand_in in rows]
    for number, found in enumerate(claims):
        for what, value, owner in found:
            holders[what, value].setdefault(owner, number)
    for number, found in enumerate(claims):
        told = dict[str, int]()
        for what, value, owner in found:
            other = next((row for name, row in islice(holders[what, value].items(), 2) if name != owner), None)
            if other is not None:
                told[what] = min(other, told.get(what, other))
        yield from ((number, f"{what} {rows[other][0]}") for what, other in sorted(told.items()))


def _claims(key: str, hand_in: HandIn, known: dict[str, Exercise]) -> Iterator[tuple[str, object, str]]:
    """What one student alone should have, and by what a student is known there."""
    yield "the same seed, and another key, as", hand_in.seed, key
    yield "the same key, and another name, as", key, hand_in.seed
    yield "a name that looks like that of", lookalikes.look(hand_in.student), hand_in.student.casefold()
    for name, work in hand_in.exercises.items():
        stamps = [*_seen(work)]
        if name in known and known[name].about.records:
            boot = work.evidence.machine.boot if work.evidence else hand_in.machine.boot
            stamps += _own_record(known[name], work, boot)
        for stamp in stamps:
            yield "the same audit records as", stamp, key

"""`lab play` and `lab verify`: show a recording again, and judge the raw evidence in it again."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.audit.records import RecordError
from lab.errors import InvalidArgument
from scenarios.audiences.cast import WIDTH, cast
from scenarios.audiences.look import Look
from scenarios.audiences.terminal import Pace, Terminal
from scenarios.languages.choice import Language
from scenarios.performance import recording
from scenarios.performance.beats import FAILED, HELD, UNKNOWN, Moment, Opening, Verdict
from scenarios.performance.checks import CHECKS, holds

AGREES, DIFFERS, INCOMPLETE = 0, 1, 3


def play(arguments: argparse.Namespace) -> int:
    """Show a recording in the terminal, at the viewer's pace; without FILE, list the recordings of this machine."""
    if not arguments.file:
        for path in sorted(recording.DIRECTORY.glob("*.jsonl")):
            print(f"{path}  {_about(path)}")
        return 0
    if arguments.cast:
        return _write_cast(Path(arguments.file), Path(arguments.cast), arguments.language)
    terminal = Terminal(
        color=not arguments.no_color,
        pace=_pace(arguments),
        plain=arguments.plain,
        detail=arguments.detail or "short",
        translate=arguments.language.translate,
    )
    for moment in recording.read(Path(arguments.file)):
        terminal.take(moment)
    return 0


def _write_cast(source: Path, target: Path, language: Language) -> int:
    look = Look(WIDTH, translate=language.translate)
    lines = [f"{line}\n" for line in cast(recording.read(source), look)]
    try:
        with target.open("x", encoding="utf-8") as file:
            file.writelines(lines)
    except OSError as error:
        raise InvalidArgument(f"--cast {target}: {error.strerror}", "give the name of a new file") from None
    return 0


def _pace(arguments: argparse.Namespace) -> Pace:
    return "auto" if arguments.auto or not sys.stdin.isatty() else "step"


def _about(path: Path) -> str:
    """When the run began, for whom, and which stories it told."""
    try:
        opening = next(recording.read(path), None)
    except InvalidArgument as error:
        return error.message
    if not opening or not isinstance(opening.beat, Opening):
        return "it has not begun"
    return f"{opening.beat.user}: {' '.join(opening.beat.stories)}"


@dataclass(frozen=True)
class Second:
    """A verdict of the recording, and what its evidence says now: HELD, FAILED, or UNKNOWN with the reason."""

    moment: Moment
    claim: str
    first: str
    now: str
    reason: str = ""


def verify(arguments: argparse.Namespace) -> int:
    """Judge each verdict again that has recorded evidence; 0: all agree, 1: one differs, 3: some is missing."""
    moments = list(recording.read(Path(arguments.file)))
    verdicts = [moment for moment in moments if isinstance(moment.beat, Verdict)]
    again = list(judged_again(moments))
    for second in again:
        if second.now != second.first:
            _tell_difference(second, arguments.language)
    agree = sum(second.now == second.first for second in again)
    rest = len(verdicts) - len(again)
    said = "{agree} of {count} verdicts follow from the recorded evidence; {rest} more rest on what only the run saw"
    arguments.language.tell(said, agree=agree, count=len(again), rest=rest)
    if any(second.now not in (second.first, UNKNOWN) for second in again):
        return DIFFERS
    return AGREES if agree == len(again) else INCOMPLETE


def _tell_difference(second: Second, language: Language) -> None:
    first, now = (language.translate(word) for word in (second.first, second.now))
    claim, number = language.translate(second.claim), second.moment.number
    told = f": {language.translate(second.reason)}" if second.reason else ""
    print(
        language.told("beat {number}: {claim}: was {first}, is {now}", number=number, claim=claim, first=first, now=now)
        + told
    )


def judged_again(moments: Sequence[Moment]) -> Iterator[Second]:
    """The verdicts that have a check, each beside what the check says of the evidence in the recording."""
    by_number = {moment.number: moment.beat for moment in moments}
    for moment in moments:
        beat = moment.beat
        if not isinstance(beat, Verdict) or beat.check not in CHECKS or beat.verdict == UNKNOWN:
            continue
        claim, now, reason = str(beat.claim), UNKNOWN, ""
        if len(beat.evidence) != 1 or beat.evidence[0] not in by_number:
            reason = "its evidence is not in the recording"
        else:
            try:
                now = HELD if holds(beat.check, by_number[beat.evidence[0]], beat.wanted) else FAILED
            except RecordError as error:
                reason = str(error)
        yield Second(moment, claim, beat.verdict, now, reason)

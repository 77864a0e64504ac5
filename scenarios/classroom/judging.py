"""For the grader: what the records that a check has kept say of a case, whose names follow from the student's seed.

What cannot be known is whether the records are the kernel's: a student is root. Another student's records, under this
student's seed, name the wrong people.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence

from lab.audit.records import Event, RecordError
from lab.errors import InvalidArgument
from lab.identity import UNSET
from scenarios.classroom import culprit, forger
from scenarios.classroom.answers import LONGEST, same
from scenarios.classroom.cases import Case
from scenarios.classroom.evidence import parsed
from scenarios.classroom.exercise import ANSWERS, Exercise
from scenarios.classroom.seeds import Seed
from scenarios.classroom.submission import Work
from scenarios.props.forging import logins

PROOF, CHANGE, WRITE = "the proof", "the change", "the write"  # labels of keep_records


def judges(one: Exercise) -> bool:
    """Whether the records of that exercise's check tell everything."""
    return one.about.case in JUDGES


def faults(one: Exercise, work: Work) -> list[str]:
    """What the records contradict, in short sentences; none where all is right, or where nothing can be judged."""
    if not judges(one):
        return []
    if work.evidence is None:
        return [] if one.about.evidence else ["no evidence was kept"]  # then it is said already
    try:
        case = Case.of(one.about.case, Seed(work.seed))
        return JUDGES[one.about.case](case, work)
    except InvalidArgument:
        return ["the seed of its case is missing"]
    except (LookupError, ValueError, RecursionError) as error:  # RecordError, TOMLDecodeError, what a line may hold
        return [f"its records: {str(error)[:100]}"]


def kept(work: Work, label: str) -> Sequence[Event]:
    """The events under that label. Raises RecordError."""
    assert work.evidence
    if label not in work.evidence.seen:
        raise RecordError(f"nothing was kept of {label}")
    return parsed(work.evidence.seen[label].lines)


def framed(case: Case, work: Work) -> list[str]:
    """Exercise 8: the write names the colleague, and so does the change of the loginuid before it."""
    uid = int(case.names["colleague_uid"])
    named = any(event.success and event.auid == uid for event in kept(work, WRITE))
    changed = logins(kept(work, CHANGE), UNSET, uid, "1")
    found = {"the record of the write names somebody else": not named, "no record of the change": not changed}
    return [fault for fault, true in found.items() if true]


def forged(case: Case, work: Work) -> list[str]:
    """Exercise 9."""
    return _compared(forger.solve(case, kept(work, PROOF)).answers, work)


def removed(case: Case, work: Work) -> list[str]:
    """Exercise 10, with its tree."""
    found = culprit.solve(case, kept(work, PROOF))
    right = culprit.listed(work.files.get("tree.txt", "")) == [str(pid) for pid in found.line]
    return [*_compared(found.answers, work), *([] if right else ["tree.txt is wrong"])]


def _compared(right: Mapping[str, str | int], work: Work) -> list[str]:
    text = work.files.get(ANSWERS, "")
    given = tomllib.loads(text) if len(text) <= LONGEST else {}
    return [f"{name} is wrong" for name in right if not same(given.get(name, ""), right[name])]


JUDGES: Mapping[str, Callable[[Case, Work], list[str]]] = {"frame": framed, "forger": forged, "culprit": removed}

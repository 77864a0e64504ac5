"""Exercise 9: the answers are what the log of this student's hidden run says."""

import pytest

from lab.audit.records import Event
from scenarios.classroom import forger
from scenarios.classroom.cases import Case
from scenarios.classroom.forger import Found
from scenarios.classroom.lessons import PATH, PERSON, Work
from scenarios.classroom.plugin import KeepRecords
from scenarios.performance.text import message


@pytest.fixture
def found(work: Work, case: Case, keep_records: KeepRecords) -> Found:
    """What the log says."""
    found = work.solved(forger.solve, case)
    keep_records("the proof", "", found.proof)
    return found


def why_not(event: Event | None, right: int) -> str:
    """Why the event of that number is not the one, for a student who took it."""
    if event is None or event.serial == right:
        return "no event of events.log has that number; behind the colon in msg=audit(TIME:NUMBER)"
    if event not in forger.logins([event]):
        return "this event has no LOGIN record: grep type=LOGIN events.log"
    if forger.refused(event):
        return "res=0: the kernel refused this change, which was tried in a container of podmanish"
    return f"exe={event.field('exe')}: this is a login by the login program"


def test_the_event(work: Work, found: Found) -> None:
    """The one in which the name was taken."""
    answers = work.answers()
    chosen = next((event for event in work.events() if str(event.serial) == str(answers["event"])), None)
    answers.expect("event", found.event, why_not(chosen, found.event), kind=message("the number of an event"))


def test_whose_name(work: Work, found: Found) -> None:
    """The login uid that the process has from then on."""
    look = "auid in the LOGIN record of that event; passwd has the uids"
    work.answers().expect("blamed", found.blamed, look, kind=PERSON)


def test_the_program(work: Work, found: Found) -> None:
    """What took the name."""
    look = "the SYSCALL line of that event: exe. Not comm, since a program can choose its comm"
    work.answers().expect("program", found.program, look, kind=PATH)


def test_the_file(work: Work, found: Found) -> None:
    """What was written to in that session."""
    look = "the opens with the ses of that event, for writing: a2 of openat(2) has O_WRONLY, its last digit is 1"
    work.answers().expect("file", found.file, look, kind=message("a file's name, without folders"))


def test_the_forger(work: Work, found: Found) -> None:
    """Who asked for the container."""
    answers = work.answers()
    look = "what that pid executed while its auid was unset, and in whose login dockerish was told to run just that"
    if answers["forger"] == found.blamed:
        look = "that is whose name was taken: who asked dockerish for the container?"
    answers.expect("forger", found.forger, look, kind=PERSON)

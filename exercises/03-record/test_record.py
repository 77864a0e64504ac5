"""Exercise 3: the answers are what record.log says."""

import pytest

from lab.audit.records import PATH, Event, Record, RecordError, events
from lab.identity import UNSET
from scenarios.classroom.lessons import Work, teach

PROCTITLE = 1327  # linux/audit.h


@pytest.fixture
def event(work: Work) -> Event:
    """The event in record.log."""
    found, seen = list[Event](), "no line"
    try:
        found = list(events(Record.from_line(line) for line in work.read("record.log").splitlines() if line.strip()))
    except RecordError as error:
        seen = str(error)
    teach(bool(found), expected="record.log holds an audit event", seen=seen, look="lab exercise reset 3")
    return found[0]


def number(value: int) -> int | str:
    """As the answers have it."""
    return "unset" if value == UNSET else value


def test_who_logged_in(work: Work, event: Event) -> None:
    """The login uid and the session."""
    answers = work.answers()
    answers.expect("login", number(event.auid), "the SYSCALL line: which field is the login uid? glossary.md, auid")
    answers.expect("session", number(event.ses), "the SYSCALL line, a field with three letters")


def test_as_whom_it_ran(work: Work, event: Event) -> None:
    """The uid of the process at that moment."""
    work.answers().expect("user", event.uid, "the SYSCALL line: the field that sudo does change")


def test_what_it_did(work: Work, event: Event) -> None:
    """The program, the file, the command line."""
    answers = work.answers()
    answers.expect("program", event.field("exe"), "the SYSCALL line: a program can choose comm, and not exe")
    path = next(record.fields["name"] for record in event.of_type(PATH) if record.fields["nametype"] != "PARENT")
    answers.expect("file", path, "the PATH line whose nametype is not PARENT")
    title = event.of_type(PROCTITLE)[0].fields["proctitle"].replace("\0", " ")
    look = "the PROCTITLE line: two hexadecimal digits are one byte, 00 stands between two words"
    answers.expect("command", title, look)

"""Exercise 3: the answers are what record.log says."""

from collections.abc import Mapping

import pytest

from lab.audit.records import RecordError
from scenarios.classroom.answers import told_by
from scenarios.classroom.evidence import parsed
from scenarios.classroom.lessons import NUMBER, PATH, Work, teach
from scenarios.performance.text import message

# Of each answer: of which kind it is, and where it stands.
WHERE = {
    "login": (NUMBER, message("the SYSCALL line: which field is the login uid? glossary.md, auid")),
    "session": (NUMBER, message("the SYSCALL line, a field with three letters")),
    "user": (message("the number of a user"), message("the SYSCALL line: the field that sudo does change")),
    "program": (PATH, message("the SYSCALL line: a program can choose comm, and not exe")),
    "file": (PATH, message("the PATH line whose nametype is not PARENT")),
    "command": (
        message("a command line, with blanks between its words"),
        message("the PROCTITLE line: two hexadecimal digits are one byte, 00 stands between two words"),
    ),
}


@pytest.fixture
def said(work: Work) -> Mapping[str, str | int]:
    """What the event in record.log says, by the names of the answers."""
    seen = "no line"
    try:
        found = parsed(work.read("record.log").splitlines())
        if found:
            return told_by(found[0])
    except RecordError as error:
        seen = str(error)
    teach(False, expected="record.log holds an audit event", seen=seen, look="lab exercise reset 3")
    return {}


@pytest.mark.parametrize("name", WHERE)
def test_what_it_says(work: Work, said: Mapping[str, str | int], name: str) -> None:
    """Who logged in, as whom the program ran, and what it did."""
    kind, look = WHERE[name]
    work.answers().expect(name, said[name], look, kind=kind)

"""Exercise 3: the answers are what record.log says."""

from collections.abc import Mapping

import pytest

from lab.audit.records import RecordError
from scenarios.classroom.answers import told_by
from scenarios.classroom.evidence import parsed
from scenarios.classroom.lessons import Work, teach


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


def test_who_logged_in(work: Work, said: Mapping[str, str | int]) -> None:
    """The login uid and the session."""
    answers = work.answers()
    look = "the SYSCALL line: which field is the login uid? glossary.md, auid"
    answers.expect("login", said["login"], look)
    answers.expect("session", said["session"], "the SYSCALL line, a field with three letters")


def test_as_whom_it_ran(work: Work, said: Mapping[str, str | int]) -> None:
    """The uid of the process at that moment."""
    work.answers().expect("user", said["user"], "the SYSCALL line: the field that sudo does change")


def test_what_it_did(work: Work, said: Mapping[str, str | int]) -> None:
    """The program, the file, the command line."""
    answers = work.answers()
    answers.expect("program", said["program"], "the SYSCALL line: a program can choose comm, and not exe")
    answers.expect("file", said["file"], "the PATH line whose nametype is not PARENT")
    look = "the PROCTITLE line: two hexadecimal digits are one byte, 00 stands between two words"
    answers.expect("command", said["command"], look)

"""Exercise 10: the answers and the tree are what the log of this student's hidden run says."""

import pytest

from scenarios.classroom import culprit
from scenarios.classroom.cases import Case
from scenarios.classroom.culprit import Found
from scenarios.classroom.lessons import PERSON, PROGRAM, Work, teach
from scenarios.classroom.plugin import KeepRecords
from scenarios.performance.text import message

PID = message("the pid of a process")


@pytest.fixture
def found(work: Work, case: Case, keep_records: KeepRecords) -> Found:
    """What the log says."""
    found = work.solved(culprit.solve, case)
    keep_records("the proof", "", found.proof)
    return found


def test_the_process(work: Work, case: Case, found: Found) -> None:
    """The first of the two that executed rm on the file."""
    answers, look = work.answers(), f"the EXECVE records with {case.names['removed']}: which one was the first?"
    if str(answers["pid"]) == str(found.late_pid):
        look = "that one came too late: another process had removed the file before"
    answers.expect("pid", found.pid, look, kind=PID)


def test_the_culprit(work: Work, found: Found) -> None:
    """Whose login the line leads to."""
    work.answers().expect("culprit", found.culprit, "the auid at the top of the line, and passwd", kind=PERSON)


def test_the_tree(work: Work, found: Found) -> None:
    """Each process from the rm up to the login."""
    rows = culprit.listed(work.read("tree.txt"))
    right = [str(pid) for pid in found.line]
    where = next((place for place, pid in enumerate(right) if rows[place : place + 1] != [pid]), len(right))
    expected, seen = f"tree.txt has {len(right)} lines, up to the login", f"tree.txt has {len(rows)} lines"
    if where < len(right):
        expected = f"line {where + 1} of {len(right)} in tree.txt: the process that forked {right[where - 1]}"
        seen = rows[where] if where < len(rows) else "no line"
    if where == 0:
        expected = "the first line of tree.txt: the process that removed the file"
    look = "which fork returned it: exit is the child's pid; where none did, the ppid of the child's first record"
    teach(rows == right, expected=expected, seen=seen, look=look)


def test_the_orphan(work: Work, found: Found) -> None:
    """The process whose own records name another parent."""
    look = "the process whose ppid, in its first own record, is not the pid of the fork that returned it"
    work.answers().expect("adopted", found.adopted, look, kind=PID)


def test_the_late_one(work: Work, found: Found) -> None:
    """Who asked for the other container, and where its line ends."""
    answers = work.answers()
    look = "walk up from the second rm: the last process that has a record of its own"
    answers.expect("late_ends_at", found.late_ends_at, look, kind=PROGRAM)
    look = "the words of the script in that container, in an EXECVE record of a login"
    answers.expect("late_asked_by", found.late_asked_by, look, kind=PERSON)

"""Exercise 0: what a command sees in the student's container, and what has changed outside of it."""

import shlex
import sys

import pytest

from scenarios.classroom.lessons import Work, teach
from scenarios.classroom.plugin import KernelSaid
from scenarios.performance.text import message
from scenarios.stage.report import Outcome
from scenarios.stage.stage import Stage

INSIDE = "echo in: $$ $(cat /proc/sys/kernel/hostname) $(ls -d /proc/[0-9]* | wc -l) $(cat /proc/self/loginuid); exit 7"
# A copy of the host's mounts and name, for mistakes; shared mounts, as on a host, so that a leak is seen.
NET = ["unshare", "--mount", "--uts", "--propagation", "private", "sh", "-c"]
BORN = message("unshare(2) does not move the caller into the new pid namespace: its next child is pid 1 there")
LOOK = "echo name: $(cat /proc/sys/kernel/hostname); echo mounts: $(wc -l </proc/self/mountinfo)"


@pytest.fixture
def outcome(work: Work, stage: Stage) -> Outcome:
    """The container has run in a copy of the host's namespaces."""
    words = [sys.executable, "-IB", str(work.python("container.py")), "sh", "-c", INSIDE]
    script = f"mount --make-rshared /; {LOOK}; {shlex.join(words)}; code=$?; {LOOK}; exit $code"
    return stage.quiet(*NET, script)


def said(outcome: Outcome, start: str) -> list[str]:
    """The words behind this start, of each line that has it."""
    return [line.removeprefix(start).strip() for line in outcome.stdout.splitlines() if line.startswith(start)]


def inside(outcome: Outcome) -> list[str]:
    """What the command in the container has printed: pid, host name, number of processes, loginuid."""
    words = " ".join(said(outcome, "in:")).split()
    seen = outcome.stderr.strip() or "it printed nothing"
    look = f"TODO 2: {BORN}. TODO 5: exec"
    teach(len(words) == 4, expected="the command runs in the container", seen=seen, look=look)
    return words


def test_the_command_is_pid_1(work: Work, outcome: Outcome) -> None:
    """It is born in the new pid namespace."""
    pid = inside(outcome)[0]
    teach(pid == "1", expected="the command is pid 1", seen=f"pid {pid}", look=f"TODO 2: {BORN}")


def test_it_has_its_own_proc(work: Work, outcome: Outcome) -> None:
    """The new /proc shows the shell and at most its own children."""
    number = int(inside(outcome)[2])
    expected = "/proc shows the processes of the container alone"
    teach(number <= 5, expected=expected, seen=f"{number} processes", look="TODO 4: a new proc")


def test_it_has_its_own_name(work: Work, outcome: Outcome) -> None:
    """The host name is the container's alone."""
    names = said(outcome, "name:")
    teach(inside(outcome)[1] == "zero", expected="the host name inside is zero", seen=inside(outcome)[1], look="become")
    expected = "the host name outside is as before"
    teach(names[0] == names[-1], expected=expected, seen=names[-1], look="TODO 1: CLONE_NEWUTS")


def test_no_mount_is_left_outside(work: Work, outcome: Outcome) -> None:
    """Its mounts are not seen outside."""
    before, after = said(outcome, "mounts:")
    look = "TODO 1: CLONE_NEWNS; TODO 3: mount_namespaces(7), shared subtrees"
    gone = "/proc outside is now the one that the container mounted"
    seen = f"{before} mounts before, {after} after" if after else gone
    teach(before == after, expected="the mounts outside are as before", seen=seen, look=look)


def test_its_exit_code_arrives(work: Work, outcome: Outcome) -> None:
    """The engine ends as the command did."""
    inside(outcome)
    code = outcome.exit_code
    teach(
        code == 7, expected="exit code 7, which the command ends with", seen=f"{code}", look="TODO 2: wait(container)"
    )


def test_whose_loginuid_it_has(work: Work, stage: Stage, outcome: Outcome, kernel_said: KernelSaid) -> None:
    """Each fork copies it."""
    number = int(inside(outcome)[3])
    kernel_said("loginuid", "mine" if number == stage.user_id else "root's" if number == 0 else "nobody's")
    seen = f"{number}"
    teach(number == stage.user_id, expected=f"the login's: {stage.user_id}", seen=seen, look="who called fork?")

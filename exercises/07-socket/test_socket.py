"""Exercise 7: the student's script runs as an ordinary user, with the socket's group and then without it."""

import pytest

from lab.audit.records import Event
from lab.identity import UNSET
from scenarios.classroom.attacking import attack, sockets_group
from scenarios.classroom.lessons import NUMBER, Work, teach
from scenarios.classroom.plugin import KernelSaid
from scenarios.stage.stage import Stage


@pytest.fixture
def event(work: Work, stage: Stage) -> Event:
    """The record of the write as root."""
    return attack(work, stage, sockets_group(stage)).written()


def test_root_without_sudo(work: Work, event: Event, kernel_said: KernelSaid) -> None:
    """The write was made by root, and nobody logged in to be that root."""
    kernel_said("auid", {UNSET: "nobody", 0: "root"}.get(event.auid, "me"))
    teach(event.auid == UNSET, expected="through labd: auid=unset", seen=f"auid={event.auid}", look="attack.sh")


def test_whom_it_names(work: Work, event: Event) -> None:
    """The fields of that record."""
    answers = work.answers()
    look = "who forked the process that wrote, and who logged in there? Attack in a lab shell, and read its record"
    answers.expect("auid", "unset" if event.auid == UNSET else event.auid, look, kind=NUMBER)
    look = "as whom does the process run that wrote? Only that user may write to the file"
    answers.expect("uid", event.uid, look, kind=NUMBER)


def test_without_the_group(work: Work, stage: Stage, kernel_said: KernelSaid) -> None:
    """The same script by the same user, who may not open the socket."""
    written = [one for one in attack(work, stage).found if one.success]
    kernel_said("decides", "my uid" if written else "the socket's mode")
    look = "the script must need the socket"
    teach(not written, expected="without the socket's group it comes to nothing", seen="it wrote", look=look)

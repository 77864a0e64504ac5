"""Exercise 1: the line that prints a loginuid, and whose it is behind each launcher, asked of the kernel."""

import pytest

from lab.identity import UNSET
from scenarios.classroom.lessons import Work, teach
from scenarios.classroom.plugin import KernelSaid
from scenarios.performance.text import message
from scenarios.stage.engines import DAEMON, FORK
from scenarios.stage.stage import Stage

COMMAND = ("cat", "/proc/self/loginuid")
WHOSE = message("mine or nobody")
LAUNCHERS = {
    "sh": ["sh", "-c", " ".join(COMMAND)],
    "sudo": ["sudo", *COMMAND],
    "su": ["su", "-s", "/bin/sh", "-c", " ".join(COMMAND), "nobody"],
    "setsid": ["setsid", "-w", *COMMAND],
}


def test_own(work: Work, stage: Stage) -> None:
    """The line prints the login's number in the login, and unset in a daemon's container."""
    line = work.shell("own.sh")
    for where, seen, number in (
        (message("in your login"), stage.quiet("sh", "-c", line), stage.user_id),
        (message("in a container of the daemon"), stage.run(stage.engine(DAEMON), ("sh", "-c", line)), UNSET),
    ):
        look = "id -u tells the uid; the loginuid is a file below /proc/self"
        printed = seen.stdout.strip() or seen.stderr.strip() or "nothing"
        teach(printed == str(number), expected=f"{where} it prints {number}", seen=printed, look=look)


@pytest.mark.parametrize("launcher", [*LAUNCHERS, "podmanish", "dockerish"])
def test_launcher(work: Work, stage: Stage, kernel_said: KernelSaid, launcher: str) -> None:
    """What the kernel says of a program that was started so."""
    if launcher in LAUNCHERS:
        outcome = stage.quiet(*LAUNCHERS[launcher])
    else:
        outcome = stage.run(stage.engine(FORK if launcher == "podmanish" else DAEMON), COMMAND)
    if outcome.printed is None:
        raise outcome.trouble()
    whose = {stage.user_id: "mine", UNSET: "nobody"}.get(outcome.printed, str(outcome.printed))
    kernel_said(launcher, whose)
    look = f"`{outcome.command}`, typed in a lab shell"
    work.answers().expect(f"launchers.{launcher}", whose, look, kind=WHOSE)

"""Exercise 7: the student's script runs as an ordinary user, with the socket's group and then without it."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab.audit.records import Event
from lab.audit.watch import Watch
from lab.identity import UNSET
from scenarios.classroom.lessons import Work, teach
from scenarios.classroom.plugin import KernelSaid
from scenarios.stage.report import Outcome
from scenarios.stage.stage import Stage

NOBODY = 65534
SCRIPTS = Path(sys.executable).parent


def attack(work: Work, stage: Stage, *groups: int) -> tuple[Outcome, Sequence[Event]]:
    """What the script left behind; with no_new_privs, so that no set-uid program makes it root: setpriv(1)."""
    script = work.read("attack.sh")
    stage.require_for_user(str(SCRIPTS / "dockerish"))
    user = stage.user_id or NOBODY
    become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--no-new-privs"]
    become.append(f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups")
    variables = [f"PATH={SCRIPTS}:/usr/bin:/bin", f"WATCHED={stage.target}"]
    with Watch(stage.target, journal=stage.journal) as watch:
        outcome = stage.quiet(*become, "env", *variables, "sh", "-c", script)
        return outcome, watch.collect()


@pytest.fixture
def event(work: Work, stage: Stage) -> Event:
    """The record of the write as root."""
    outcome, found = attack(work, stage, Path(stage.daemon.path).stat().st_gid)
    errors = outcome.stderr.strip().splitlines() or ["no error, and no record"]
    refused = f"the write was refused: {errors[-1]}"
    seen = refused if any(not one.success for one in found) else errors[-1]
    look = "who is root here, and listens? labd; without sudo, and to a file that is outside of the container: -v"
    root = next((one for one in found if one.success and one.uid == 0), None)
    teach(root is not None, expected="a record of a write to $WATCHED by uid 0", seen=seen, look=look)
    assert root
    return root


def test_root_without_sudo(work: Work, event: Event, kernel_said: KernelSaid) -> None:
    """The write was made by root, and nobody logged in to be that root."""
    kernel_said("auid", {UNSET: "nobody", 0: "root"}.get(event.auid, "me"))
    teach(event.auid == UNSET, expected="through labd: auid=unset", seen=f"auid={event.auid}", look="attack.sh")


def test_whom_it_names(work: Work, event: Event) -> None:
    """The fields of that record."""
    answers = work.answers()
    look = f"the record: auid={event.auid} uid={event.uid}; whose child wrote?"
    answers.expect("auid", "unset" if event.auid == UNSET else event.auid, look)
    answers.expect("uid", event.uid, look)


def test_without_the_group(work: Work, stage: Stage, kernel_said: KernelSaid) -> None:
    """The same script by the same user, who may not open the socket."""
    _, found = attack(work, stage)
    written = [one for one in found if one.success]
    kernel_said("decides", "my uid" if written else "the socket's mode")
    look = "the script must need the socket"
    teach(not written, expected="without the socket's group it comes to nothing", seen="it wrote", look=look)

"""Exercise 11: each script is started as a unit of Type=notify, and its READY=1 is judged by who sent it."""

import json
import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from scenarios.classroom import room
from scenarios.classroom.lessons import Work, teach
from scenarios.classroom.plugin import KernelSaid
from scenarios.needs import CannotTell
from scenarios.performance.text import message
from scenarios.props.notified import Seen
from scenarios.stage.stage import Stage

SCRIPTS = Path(sys.executable).parent
# One word for a shell, without blanks: the sender waits afterwards, as a service does.
SEND = (
    "e=__import__('os').environ.get('NOTIFY_SOCKET')or(exit('no-NOTIFY_SOCKET'));"
    "s=__import__('socket').socket(1,2);s.sendto(b'READY=1',e);"
    "__import__('signal').pause()"
)
UNTOLD = "no-NOTIFY_SOCKET"  # what $SERVICE says where nobody has told it
BY_HAND = 'exec dockerish run --rm -v "$NOTIFY_SOCKET:/notify" -e NOTIFY_SOCKET=/notify host $SERVICE'


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A stage with a labd of its own, which takes its containers with it."""
    with room.stage(own=True) as made:
        yield made


class Unit:
    """A service: what it was seen to do, and the last line of its errors."""

    def __init__(self, stage: Stage, script: str, workload: Sequence[str]) -> None:
        place, apart = (stage.journal.directory(name, mode=0o755) for name in ("unit", "manager"))
        words = {"SLEEP": " ".join(workload), "SERVICE": " ".join(workload), "PLACE": str(place)}
        variables = {**words, "PATH": f"{SCRIPTS}:/usr/bin:/bin", "LAB_HOST": f"unix://{stage.daemon.path}"}
        start = ["env", *(f"{name}={value}" for name, value in variables.items())]
        manager = [sys.executable, "-m", "scenarios.props.notified", str(apart / "notify"), json.dumps(workload)]
        outcome = stage.quiet(*start, *manager, "sh", "-c", script)
        if not outcome.stdout.startswith("{"):
            raise CannotTell(f"the unit could not be started: {outcome.stderr.strip()[-200:]}", "run this again")
        self.seen = Seen(**json.loads(outcome.stdout))
        self.error = (outcome.stderr.strip().splitlines() or [message("it printed no error")])[-1]

    @property
    def ready(self) -> bool:
        """Whether systemd would take it for started."""
        return self.seen.unit in self.seen.sender


def sleeping() -> list[str]:
    """A program that says nothing; the number marks it."""
    return ["sleep", str(10**6 + secrets.randbelow(10**6))]


def service() -> list[str]:
    """A program that sends READY=1; the number marks it."""
    return [os.path.realpath(sys.executable), "-c", SEND, str(secrets.randbelow(10**9))]


def judged(unit: Unit, name: str, silence: str) -> None:
    """What systemd would say of the unit, and whether a container ran then."""
    seen = unit.seen
    expected = "the program finds a NOTIFY_SOCKET in its container"
    teach(unit.error != UNTOLD, expected=expected, seen="its environment has none", look=f"{name}: {silence}")
    ended = f"exit status {seen.ended}: {unit.error}"
    teach(seen.ended is None, expected=f"{name} stays while its container runs", seen=ended, look=f"{name}: {silence}")
    look = "let the sender wait a moment: systemd could not tell either whose it is; sd_notify(3), BARRIER=1"
    gone = "READY=1 has come, but its sender had ended before anybody could look"
    teach(not seen.unknown, expected="a process of the unit sends READY=1", seen=gone, look=look)
    nothing = "the container runs, and no READY=1 comes" if seen.workload else f"nothing runs: {unit.error}"
    teach(bool(seen.sender), expected="READY=1 comes to $NOTIFY_SOCKET", seen=nothing, look=silence)
    look = "systemd takes READY=1 from the unit's own processes alone: who in it could pass it on?"
    stranger = "READY=1 came from a child of labd: the daemon's unit, not this one"
    teach(unit.ready, expected="a process of the unit sends READY=1", seen=stranger, look=look)
    expected = "READY=1 comes when the container runs"
    teach(bool(seen.workload), expected=expected, seen="no container runs yet", look=f"{name}: who sends, and when?")


def test_forked(work: Work, stage: Stage) -> None:
    """podmanish, for a program that says nothing."""
    unit = Unit(stage, work.read("forked.sh"), sleeping())
    judged(unit, "forked.sh", "podmanish run --help, --sdnotify: who can speak for a program that says nothing?")
    look = "forked.sh: podmanish run"
    own = unit.seen.unit in unit.seen.workload
    teach(own, expected="the container descends from the unit", seen="somebody else has made it", look=look)


def test_served(work: Work, stage: Stage) -> None:
    """dockerish, for a program that sends READY=1 itself."""
    unit = Unit(stage, work.read("served.sh"), service())
    judged(unit, "served.sh", "how does the container reach a socket? -v and -e, `dockerish run --help`")
    own = stage.daemon.pid in unit.seen.workload
    look = "served.sh: dockerish run"
    teach(own, expected="labd has made the container", seen="the unit has forked it", look=look)


def test_what_was_predicted(stage: Stage, kernel_said: KernelSaid) -> None:
    """The right socket in the wrong hands."""
    kernel_said("by-hand", "yes" if Unit(stage, BY_HAND, service()).ready else "no")

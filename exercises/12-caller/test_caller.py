"""Exercise 12: the student's who_asks() runs in a process of its own, while a caller asks, ends, and is replaced."""

import json
import os
import secrets
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab.identity import UNSET, loginuid
from lab.syscalls import PR_SET_PDEATHSIG, prctl
from scenarios.classroom.lessons import Work, teach
from scenarios.classroom.plugin import KernelSaid
from scenarios.performance.text import message
from scenarios.props import under_race
from scenarios.props.callers import Listener, Process, process, take_over

SECONDS = 10
SO_PEERPIDFD = 77
LATE: dict[str, object] = {"late": True}  # said of a function that does not end
HANGS = message("the function has not ended: which call or loop waits?")
RECVMSG = message("SCM_CREDENTIALS, unix(7): the kernel says of each message who has sent it")


@dataclass
class Scene:
    """Who takes part. The numbers are new in each run; login is the caller's."""

    listener: Listener
    stack: ExitStack
    login: int = field(default_factory=lambda: 10_000 + secrets.randbelow(20_000))
    other: int = field(default_factory=lambda: 40_000 + secrets.randbelow(20_000))

    def caller(self, uid: int) -> tuple[socket.socket, Process]:
        """A process asks; the daemon's side of the connection, and the process."""
        caller = self.stack.enter_context(process(uid, self.listener.ask))
        return self.stack.enter_context(self.listener.accept()), caller

    def replace(self, caller: Process) -> None:
        """The caller ends, and another login's process gets its pid."""
        caller.end()
        self.stack.enter_context(process(self.other, pid=caller.pid))

    def handed_on(self) -> tuple[socket.socket, Process]:
        """One process connects, another one asks; the daemon's side of the connection, and the first process."""
        here, there = socket.socketpair()
        with here, there:
            first = self.stack.enter_context(process(self.login, lambda: self.listener.hand_on(there)))
            self.stack.enter_context(process(self.other, lambda: take_over(here)))
        return self.stack.enter_context(self.listener.accept()), first


Meanwhile = Callable[[], None]
Beginning = tuple[socket.socket, Meanwhile | None]


@dataclass(frozen=True)
class Race:
    """What happens before the function runs, and meanwhile; the right answer; what is taught where it is another."""

    before: Callable[[Scene], Beginning]
    right: Callable[[Scene], int | None]
    expected: str
    look: str


def stays(scene: Scene) -> Beginning:
    """Nothing happens to the caller."""
    return scene.caller(scene.login)[0], None


def without_login(scene: Scene) -> Beginning:
    """A caller that descends from no login: a service, for example."""
    return scene.caller(UNSET)[0], None


def gone(scene: Scene) -> Beginning:
    """The caller has ended."""
    connection, caller = scene.caller(scene.login)
    caller.end()
    return connection, None


def recycled(scene: Scene) -> Beginning:
    """The caller has ended, and its pid is another's."""
    connection, caller = scene.caller(scene.login)
    scene.replace(caller)
    return connection, None


def replaced_meanwhile(scene: Scene) -> Beginning:
    """The same, at the moment when the function opens the loginuid."""
    connection, caller = scene.caller(scene.login)
    return connection, lambda: scene.replace(caller)


def handed_on(scene: Scene) -> Beginning:
    """Both processes live."""
    return scene.handed_on()[0], None


def handed_on_and_gone(scene: Scene) -> Beginning:
    """Who connected has ended."""
    connection, first = scene.handed_on()
    first.end()
    return connection, None


def nobody(scene: Scene) -> None:
    """It cannot be known."""
    return


RACES = {
    "the caller stays": Race(
        stays,
        lambda scene: scene.login,
        message("the loginuid of the process that asks"),
        message("/proc/PID/loginuid; its uid is another number"),
    ),
    "nobody has logged in": Race(
        without_login,
        lambda scene: UNSET,
        message("4294967295: that nobody logged in is an answer, too"),
        message("the docstring of who_asks()"),
    ),
    "the caller is gone": Race(
        gone,
        nobody,
        message("None: the process has ended"),
        message("what does open(2) say of a /proc/PID that is gone?"),
    ),
    "the caller ends meanwhile": Race(
        replaced_meanwhile,
        nobody,
        message("None: while you read, the caller ended and another process got its pid"),
        message("a descriptor of the process, pidfd_open(2): ask it again after you have read"),
    ),
    "the connection was handed on": Race(
        handed_on, nobody, message("None: one process connected, another one sent the request"), RECVMSG
    ),
    "who handed it on is gone": Race(handed_on_and_gone, nobody, message("None: who connected has ended"), RECVMSG),
}


def has_peerpidfd() -> bool:
    """Without it, before Linux 6.5, nobody can tell a pid that is used again before the daemon looks."""
    one, other = socket.socketpair()
    with one, other:
        try:
            os.close(one.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD))
        except OSError:
            return False
    return True


if has_peerpidfd():
    RACES[message("the pid is another's")] = Race(
        recycled,
        nobody,
        message("None: the caller has ended, and another process has its pid"),
        message("SO_PEERPIDFD, 77, Linux 6.5: not the number of the process, but a descriptor of it"),
    )


def run(file: Path, connection: socket.socket, meanwhile: Meanwhile | None) -> dict[str, object]:
    """What who_asks() in that file answers about the connection."""
    ours, gate = socket.socketpair()
    told, telling = os.pipe()
    fds = (connection.fileno(), telling, gate.fileno())
    words = [sys.executable, "-IB", under_race.__file__, str(file), *map(str, fds)]
    opened = False
    with ours, os.fdopen(told, "rb") as answer:
        options = {"stdin": subprocess.DEVNULL, "process_group": 0, "preexec_fn": end_with_the_check}
        with gate, subprocess.Popen(words, pass_fds=fds, **options) as child:  # type: ignore[call-overload]
            os.close(telling)
            try:
                if not (ready := select.select([ours.fileno(), told], [], [], SECONDS)[0]):
                    return LATE
                if opened := ours.fileno() in ready:
                    let_in(ours, meanwhile)
                child.wait(SECONDS)
            except subprocess.TimeoutExpired:
                return LATE
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)  # and what the function has started
        text = answer.read()
    said = dict(json.loads(text)) if text else {"error": message("caller.py ended without an answer")}
    if meanwhile and not opened and said.get("answer") is not None:
        return {"error": message("who_asks() has not opened /proc/PID/loginuid itself, by open() or os.open()")}
    return said


def end_with_the_check() -> None:
    """A function that does not end ends with a check that is killed."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def let_in(gate: socket.socket, meanwhile: Meanwhile | None) -> None:
    """The function waits to open a loginuid: now the race is on."""
    gate.recv(1)
    if meanwhile:
        meanwhile()
    gate.send(b"g")


def told(scene: Scene, said: Mapping[str, object]) -> str:
    """An answer with what the number is, or how the function failed."""
    if "error" in said:
        return str(said["error"])
    if said == LATE:
        return message(f"who_asks() did not end within {SECONDS} s")
    if "raised" in said:
        raised, line, text = said["raised"], said["line"], said["text"]
        return message(f"{raised}, line {line}: {text}") if line else f"{raised}: {text}"
    if "returned" in said:
        returned = said["returned"]
        return message(f"who_asks() returned {returned}, which is neither a number nor None")
    answer = said["answer"]
    if answer == scene.login:
        return message(f"{answer}, the caller's loginuid")
    if answer == scene.other:
        return message(f"{answer}, another process's loginuid")
    return str(answer)


@pytest.mark.parametrize("what", RACES)
def test_who_asks(work: Work, what: str) -> None:
    """One race."""
    file = work.python("caller.py")
    race = RACES[what]
    with Listener() as listener, ExitStack() as stack:
        scene = Scene(listener, stack)
        said = run(file, *race.before(scene))
        right = race.right(scene)
        good = "answer" in said and said["answer"] == right
        late = said == LATE  # so it would be in each of the races: told once
        teach(good, expected=race.expected, seen=told(scene, said), look=HANGS if late else race.look, whole=late)


def test_what_was_predicted(kernel_said: KernelSaid) -> None:
    """By the pid of SO_PEERCRED alone."""
    with Listener() as listener, ExitStack() as stack:
        scene = Scene(listener, stack)
        _, caller = scene.caller(scene.login)
        scene.replace(caller)
        kernel_said("pid", "the new one" if loginuid(caller.pid) == scene.other else "the one that ended")
        connection, first = scene.handed_on()
        kernel_said("handed", "who connected" if peer_pid(connection) == first.pid else "who asks")


def peer_pid(connection: socket.socket) -> int:
    """The pid in SO_PEERCRED; unix(7)."""
    ucred = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", ucred)[0])

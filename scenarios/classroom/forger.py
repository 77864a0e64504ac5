"""Exercise 9: somebody took a colleague's name in a daemon's container, and the log of that day holds the proof.

Each login leaves a LOGIN record, old-auid=unset, by the program that logs people in: here the lab's own, which runs in
Python. The forger's container leaves such a record, too, by a shell that calls itself like the login program. The
forger's own login asked for that container, by words that the container's shell executed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from lab.audit.family import call_of, syscall_of
from lab.audit.records import LOGIN, Event, RecordError
from lab.identity import UNSET
from scenarios.classroom.cases import Case, staff
from scenarios.classroom.hidden import JOBS, Hidden, in_order, proved
from scenarios.stage.engines import DAEMON, FORK
from scenarios.stage.stage import Stage

CALLS = ("execve", "execveat")
FILES = ("openat", "open", "connect")
LOGS_IN = "login-session"  # the name, comm, that the lab's login program gives itself
FORGED = "printf {name} > /proc/self/comm\necho {uid} > /proc/self/loginuid\ndate >> {file}\n"
HONEST = "ls -l {folder}\ndate >> {file}\n"
TARGETS = ("salaries.csv", "orders.csv", "grades.csv", "rota.txt", "budget.txt", "keys.txt")


def run(stage: Stage, case: Case, count: int) -> bytes:
    """The log of so many events, or of more if not all that happens fits. Raises LabError."""
    seed, people = case.seed, staff(case.seed)
    forger, blamed, trying, first, second = seed.sample("parts", sorted(people), 5)
    acts = [
        (forger, DAEMON, FORGED, people[blamed]),
        (trying, FORK, FORGED, people[first]),  # which the kernel refuses
        (first, DAEMON, HONEST, 0),
        (second, DAEMON, HONEST, 0),
    ]
    jobs = seed.sample("jobs", JOBS, len(acts))
    with Hidden(stage, case, people, CALLS, FILES, others=True) as hidden:
        target = hidden.shared(seed.pick("target", TARGETS))
        target.write_text("name,amount\n")
        for number, (who, model, text, uid) in enumerate(seed.sample("order", acts, len(acts))):
            hidden.fill(count * (number + 1) // 6)
            values = {"name": LOGS_IN, "uid": uid, "file": hidden.inside(target), "folder": "/host/etc"}
            hidden.engine(who, model, ["sh", hidden.script(who, jobs[number], text.format(**values))])
        hidden.login(blamed)  # a second login in the name of the one who is blamed, and an honest one
        events = hidden.filled(count)
    return proved(solve, case, events, forger=forger, blamed=blamed)


@dataclass(frozen=True)
class Found:
    """What the log says.

    event     the serial of the event in which a name was taken
    blamed    whose name that was
    program   the exe that took it
    file      the name of the file that was written to in the session that began so
    forger    in whose login the container was asked for
    proof     the events that say so, and those of the honest logins
    """

    event: int
    blamed: str
    program: str
    file: str
    forger: str
    proof: Sequence[Event]

    @property
    def answers(self) -> Mapping[str, str | int]:
        return {name: getattr(self, name) for name in ("event", "blamed", "program", "file", "forger")}


def logins(events: Sequence[Event]) -> list[Event]:
    """The events in which a loginuid was set or was to be set."""
    return [event for event in events if event.of_type(LOGIN)]


def honest(event: Event) -> bool:
    """Whether that is a login by the login program, which runs in Python; a program can choose comm, and not exe."""
    return PurePosixPath(event.field("exe")).name.startswith("python")


def refused(event: Event) -> bool:
    """Whether the kernel has refused the change."""
    return event.of_type(LOGIN)[0].fields.get("res") != "1"


def writes(event: Event) -> bool:
    """Whether it opened a file in order to write to it; open(2)."""
    flags = {"open": "a1", "openat": "a2"}.get(syscall_of(event), "")
    return bool(flags and event.paths) and event.success and int(event.field(flags), 16) & os.O_ACCMODE != os.O_RDONLY


def solve(case: Case, events: Sequence[Event]) -> Found:
    """What these events say. Raises RecordError if they do not say it, or say it of more than one."""
    names = {uid: name for name, uid in staff(case.seed).items()}
    changed = logins(events)
    forged = [event for event in changed if not refused(event) and not honest(event)]
    if len(forged) != 1:
        raise RecordError(f"{len(forged)} events are a forged login")
    event = forged[0]
    calls = [(one, call) for one in events if (call := call_of(one))]
    container = [(one, call) for one, call in calls if call.pid == event.pid and call.auid == UNSET]
    words = {word for _, call in container for word in call.argv if word.startswith("/host/")}
    asked = [one for one, call in calls if call.auid in names and words & set(call.argv)]
    changes = [one for one in events if (one.auid, one.ses) == (event.auid, event.ses) and writes(one)]
    askers = {names[one.auid] for one in asked}
    if len(askers) != 1 or not changes or event.auid not in names:
        raise RecordError("what the forged login did, or who asked for it, is not among the events")
    file = PurePosixPath(changes[0].paths[-1]).name
    proof = [*changed, *(one for one, _ in container), *asked[:1], changes[0]]
    return Found(event.serial, names[event.auid], event.field("exe"), file, askers.pop(), in_order(proof))

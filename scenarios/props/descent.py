"""The line of a container's process, up to the login or the daemon that it descends from, as the records tell it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from lab.audit.family import Call, Family, Process
from lab.audit.records import Event
from lab.identity import UNSET, Ancestor
from lab.pidfd import start_time
from scenarios.performance import beats

INIT = 1
MANY = 3  # from so many processes of one name on, one line of the tree stands for all of them


@dataclass(frozen=True)
class Compared:
    """How a line relates to what /proc had shown.

    same    the two agree in their order and in each loginuid, as far as the records go
    common  how many are in both; shown: how many /proc had shown; more: how many the line has besides
    """

    same: bool
    common: int
    shown: int
    more: int


@dataclass(frozen=True)
class Descent:
    """The line from a process upwards, without init, and not above the login.

    login   the pid of the login, if the line leads there, else 0
    """

    line: Sequence[Process]
    login: int

    @property
    def known(self) -> Sequence[Process]:
        """Those of which there is more than a number."""
        return [one for one in self.line if one.told]

    @property
    def made(self) -> Sequence[int]:
        """The pids of the first, and of the others that were forked while the kernel recorded."""
        return [one.pid for one in self.known if one.born or one is self.line[0]]

    @property
    def whose(self) -> set[tuple[int, int]]:
        """The auid and ses that the records of its processes have: just one pair, if no login lies between them."""
        return {(one.told.auid, one.told.ses) for one in self.line if one.told}

    def like(self, event: Event) -> bool:
        """Whether an event has the name and the login of a process of this family."""
        names = {call.comm for one in self.known for call in (one.told, *one.calls) if call}
        return event.comm in names and (event.auid, event.ses) in self.whose

    def own(self, event: Event) -> bool:
        """Whether it is also in this login; or, without one, of a process that stayed, or of such a process's child.

        Another daemon's processes have the same names, and no login either.
        """
        stayed = {one.pid for one in self.line} - set(self.made)
        return self.like(event) and (event.ses != UNSET or not stayed.isdisjoint((event.pid, event.number("ppid"))))

    @property
    def top(self) -> str:
        """The name of the last of which there is a record; "?" if there is none."""
        return self.known[-1].comm if self.known else "?"

    def beat(self, engine: str, *, asked: bool) -> beats.Lineage:
        """The line as a tree; from MANY on, neighbours of one name are one."""
        told = [_drawn(one, one.told) for one in reversed(self.line) if one.told]
        if self.login and told and told[0].pid != self.login:
            # A login from before audit was first enabled leaves no record itself; audit_alloc(), kernel/auditsc.c.
            told.insert(0, replace(told[0], comm="", pid=self.login))
        groups = ([*group] for _, group in groupby(told, lambda one: one.comm))
        return beats.Lineage(engine, tuple(one for group in groups for one in _folded(group)), self.login, asked=asked)

    def compared(self, ancestry: Sequence[Ancestor]) -> Compared:
        """The line beside the ancestors that /proc showed of the same process, the process first."""
        shown = [one for one in ancestry if one.pid != INIT]
        if self.login in (pids := [one.pid for one in shown]):
            shown = shown[: pids.index(self.login) + 1]
        told = {one.pid: one.told.auid for one in self.line if one.told}
        common = [one for one in shown if one.pid in {member.pid for member in self.line}]
        order = [one.pid for one in self.line if one.pid in pids] == [one.pid for one in common]
        loginuids = all(told.get(one.pid, one.loginuid) == one.loginuid for one in common)
        same = bool(common) and order and loginuids and common == shown[: len(common)]
        return Compared(same, len(common), len(shown), len(self.line) - len(common))


def descent(family: Family, argv: Sequence[str], login: int) -> Descent:
    """Of the process that executed these words; the line is empty if the records tell of none."""
    line = [one for first in family.executing(argv)[:1] for one in family.line(first)]
    pids = [one.pid for one in line]
    if login in pids:
        return Descent(line[: pids.index(login) + 1], login)
    return Descent([one for one in line if one.pid != INIT], 0)


def living(pids: Sequence[int], seconds: float) -> list[int]:
    """Those that still live, zombies not counted, when the time is over: an engine cleans up after the container."""
    deadline = time.monotonic() + seconds
    while (alive := [pid for pid in pids if start_time(pid)]) and time.monotonic() < deadline:
        time.sleep(0.01)
    return alive


def _drawn(process: Process, told: Call) -> beats.Process:
    name = process.comm.partition(":")[0]  # runc names its steps runc:[1:CHILD]
    return beats.Process(name, process.pid, told.uid, told.auid, told.ses)


def _folded(alike: Sequence[beats.Process]) -> Sequence[beats.Process]:
    return alike if len(alike) < MANY else [replace(alike[-1], comm=f"{len(alike)} x {alike[-1].comm}")]

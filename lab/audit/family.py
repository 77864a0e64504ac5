"""The family tree of processes from audit records alone: who forked whom, after all of them have ended.

    family = Family(events)                      events of a rule on CALLS, in any order
    (cat,) = family.executing(("cat", "file"))
    [process.comm for process in family.line(cat)]   ["cat", "sh", "sudo", "bash"], upwards as far as the records go

What such a record says, audit_log_exit() in kernel/auditsc.c:

    time        when the call began. The child's calls never begin before the fork that made it
    serial      counted when the record is written, as the call ends: after vfork(2), the child's exec comes first
    pid, ppid   of the caller as the initial pid namespace counts: not a thread's, but its process's. ppid is the parent
                at that moment: once the one that forked has ended, it is init or another ancestor that adopts orphans
    exit        what the call returned. For a fork, the child's number as the caller's own pid namespace counts
    a0          for clone(2) its flags; those of clone3(2) lie in memory, which no record shows

So the fork that returned a number names the one that forked, also of an orphan, whose /proc has forgotten that. Such
a fork is not believed where the child's own records contradict it, as inside a pid namespace, whose numbers mean other
processes outside. Where no fork is believed, the ppid of the process's first record tells the parent.

Three doubts remain. A fork in a pid namespace may return the number of a process outside whose parent is init, or is an
ancestor of the forker, and which has the same auid and ses: then that process is placed below the wrong one. So may a
clone3(2) that made a thread, whose number a process in a pid namespace has later. And a sibling made by clone3(2) whose
exec is written before that fork, within one tick of the clock, is placed below its forker's parent.

And the records may not tell who is above whom: a process that forked before they began, and never since, has none. If a
`systemd --user` above such a one adopts an orphan, prctl(2), PR_SET_CHILD_SUBREAPER, the fork of the orphan looks
contradicted. So say who was above, where /proc can tell: `parents`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lab.audit.records import Event, RecordError
from lab.syscall_table import ARCHES, SYSCALLS

FORKS = ("fork", "vfork", "clone", "clone3")
EXECS = ("execve", "execveat")
CALLS = (*FORKS, *EXECS)
EXECVE = 1309  # the record with the words of an exec, linux/audit.h
CLONE_PARENT, CLONE_THREAD = 0x8000, 0x10000  # linux/sched.h
INIT = 1
NONE_KNOWN: Mapping[int, int] = {}


@dataclass(frozen=True, slots=True)
class Call:
    """A fork or an exec that succeeded.

    time    when it began: (seconds, milliseconds) since 1970
    serial  of its event
    child   the number that a fork returned; 0 for an exec
    argv    the words of an exec; () for a fork
    parent  whose child a fork makes: the caller's, or with clone(2)'s CLONE_PARENT that of the caller's parent
    """

    time: tuple[int, int]
    serial: int
    pid: int
    ppid: int
    auid: int
    ses: int
    uid: int
    comm: str
    child: int = 0
    argv: tuple[str, ...] = ()
    parent: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Process:
    """One process, from its fork on: another process that has the same number later is another Process.

    born    the fork that made it; None if the records hold none
    calls   its own forks and execs, in the order in which they began
    since   when it had the number already; (0, 0) if it may have been there before the records
    """

    pid: int
    born: Call | None = None
    calls: Sequence[Call] = ()
    since: tuple[int, int] = (0, 0)

    @property
    def told(self) -> Call | None:
        """The record that tells most of it: its own last one, else its fork, since a fork copies all; None: neither."""
        return self.calls[-1] if self.calls else self.born

    @property
    def comm(self) -> str:
        """Its name at that record; "" if there is none. A later prctl(2) leaves no such record."""
        return self.told.comm if self.told else ""


class Family:
    """All processes that the records tell of."""

    def __init__(self, events: Iterable[Event], parents: Mapping[int, int] = NONE_KNOWN) -> None:
        """Events that are neither forks nor execs, or that failed, are passed over.

        parents    by the pids of processes that lived all the time, such as those above a login, the pid of the parent
        """
        self._parents = parents
        calls = sorted(filter(None, map(call_of, events)), key=_order)
        self._own: dict[int, list[Call]] = defaultdict(list)
        self._forks: dict[int, list[Call]] = defaultdict(list)
        for call in calls:
            self._own[call.pid].append(call)
            if call.child:
                self._forks[call.child].append(call)
        self._lives = {pid: self._lives_of(pid) for pid in [*self._own, *self._forks]}

    def executing(self, argv: Sequence[str]) -> list[Process]:
        """The processes that at any time executed just these words."""
        wanted = tuple(argv)
        return [process for process in self if any(call.argv == wanted for call in process.calls)]

    def __iter__(self) -> Iterator[Process]:
        return (process for lives in self._lives.values() for process in lives)

    def at(self, pid: int, time: tuple[int, int]) -> Process:
        """The process that had this number then, such as pid and time of any record say.

        A Process without `told` stands for a number of which there is no other record.
        """
        return _last(self._lives.get(pid, ()), time) or Process(pid)

    def parent(self, process: Process) -> Process | None:
        """The one that forked the process; without `told` as in at(). None if the records do not even tell its number.

        The kernel itself has started a process whose ppid is 0.
        """
        if process.born:
            return next(one for one in self._lives[process.born.pid] if process.born in one.calls)
        if not process.calls or not process.calls[0].ppid:
            return None
        pid, time = process.calls[0].ppid, process.calls[0].time
        # One that has not forked is no parent, whatever a fork in a pid namespace has returned.
        return _last([one for one in self._lives.get(pid, ()) if one.calls], time) or Process(pid)

    def line(self, process: Process) -> list[Process]:
        """The process, its parent, and so on, as far as the records go."""
        found = [process]
        while (above := self.parent(found[-1])) and above not in found:  # the wall clock may step back: no loop
            found.append(above)
        return found

    def _lives_of(self, pid: int) -> list[Process]:
        """The processes that had this number, one after the other: first the one that was there before the records."""
        own, found = self._own.get(pid, []), list[Process]()
        for fork in reversed(self._forks.get(pid, [])):
            begin = next((place for place, call in enumerate(own) if self._follows(fork, call)), len(own))
            if begin == len(own) or self._made(fork, own[begin]):
                found = [*self._separate(pid, fork, own[begin:]), *found]
                own = own[:begin]
        return [*self._separate(pid, None, own), *found] if own else found

    def _separate(self, pid: int, born: Call | None, calls: Sequence[Call]) -> Iterator[Process]:
        """The process, and others that had its number later: forks in a pid namespace do not tell such a number."""
        lives: list[list[Call]] = [[]]
        for call in calls:
            if lives[-1] and self._is_another(lives[-1][-1], call):
                lives.append([])
            lives[-1].append(call)
        yield Process(pid, born, lives[0], born.time if born else (0, 0))
        yield from (Process(pid, None, life, life[0].time) for life in lives[1:])

    def _is_another(self, before: Call, call: Call) -> bool:
        """Whether the process that makes this call is a later one than the process that made the call before.

        Its parent has forked in between, then. One that has not can only have adopted it, as the first process of a
        pid namespace does, which need not be above it.
        """
        if call.ppid in self._above(before.ppid, before):
            return False
        since = (one for one in self._own.get(call.ppid, []) if one.child and one.serial > before.serial)
        return any(one.time <= call.time for one in since)

    def _follows(self, fork: Call, call: Call) -> bool:
        """Whether a call of the number that the fork returned can be the child's: within a tick, the stamps are equal.

        Then the serials tell, or the ppid: a child's first call may be written before its fork, if neither number
        became another process's in between.
        """
        if fork.time != call.time or fork.serial < call.serial:
            return fork.time <= call.time
        made = [one.serial for pid in (fork.child, fork.parent) for one in self._forks.get(pid, [])]
        return call.ppid == fork.parent and not any(call.serial < serial < fork.serial for serial in made)

    def _made(self, fork: Call, first: Call) -> bool:
        """Whether the process whose first call that is can be the child of the fork."""
        if first.ppid == fork.parent:
            return True
        above = self._above(fork.pid, fork)
        same = (first.auid, first.ses) == (fork.auid, fork.ses)  # a fork copies both
        return same and first.ppid in above and fork.child not in above

    def _above(self, pid: int, then: Call) -> set[int]:
        """The process that had this number then, and those above it: these and init may adopt its children.

        Each is the one that had its number when the last record below was written: later it may be another's.
        """
        found = {INIT}
        while pid not in found:
            found.add(pid)
            if own := self._own.get(pid, []):
                then = own[max(0, bisect_right(own, _order(then), key=_order) - 1)]
            pid = then.ppid if own else self._parents.get(pid, INIT)
        return found


def _order(call: Call) -> tuple[tuple[int, int], int]:
    return call.time, call.serial


def _last(lives: Iterable[Process], time: tuple[int, int]) -> Process | None:
    """The last of them that had the number then."""
    return next((one for one in reversed([*lives]) if one.since <= time), None)


def call_of(event: Event) -> Call | None:
    """The fork or exec that the event tells of; None for one that failed, for a new thread, and for other events."""
    try:
        name = syscall_of(event)
        flags = int(event.field("a0"), 16) if name == "clone" else 0
        if name not in CALLS or not event.success or flags & CLONE_THREAD:
            return None
        ppid = event.number("ppid")
        return Call(
            event.time,
            event.serial,
            event.pid,
            ppid,
            event.auid,
            event.ses,
            event.uid,
            event.comm,
            child=event.exit if name in FORKS else 0,
            argv=_words(event) if name in EXECS else (),
            parent=ppid if flags & CLONE_PARENT else event.pid,
        )
    except (RecordError, ValueError):  # another kind of event, or a line of a log that somebody has changed
        return None


def syscall_of(event: Event) -> str:
    """The name of its system call, "" for one that the lab has no name for. Raises RecordError."""
    machine = ARCHES.get(int(event.field("arch"), 16), "")
    return SYSCALLS.get(machine, {}).get(event.number("syscall"), "")


def _words(event: Event) -> tuple[str, ...]:
    """The words of an exec. A long one comes in pieces, a2[0], a2[1] ...; audit_log_execve_info()."""
    fields = {name: text for record in event.of_type(EXECVE) for name, text in record.fields.items()}
    words: list[str] = []
    while pieces := _pieces(fields, f"a{len(words)}"):
        words.append("".join(pieces))
    return tuple(words)


def _pieces(fields: Mapping[str, str], name: str) -> list[str]:
    if name in fields:
        return [fields[name]]
    found: list[str] = []
    while (text := fields.get(f"{name}[{len(found)}]")) is not None:
        found.append(text)
    return found

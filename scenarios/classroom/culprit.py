"""Exercise 10: a file is gone, and so is the container that removed it; forks and execs are on record.

The culprit asks podmanish for a container, from a shell in the background whose parent ends first: such an orphan is
adopted, and the ppid in its records no longer names the process that forked it. The number that the fork returned does.
Somebody else removes the same file through dockerish, too late.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import FileIO

from lab import syscalls
from lab.audit.family import CALLS, Call, Family, Process
from lab.audit.records import Event, RecordError
from lab.pidfd import ended
from scenarios.classroom.cases import Case, staff
from scenarios.classroom.hidden import JOBS, Hidden, family, in_order, proved
from scenarios.needs import CannotTell
from scenarios.safety.processes import end_process
from scenarios.stage.engines import DAEMON, FORK, paste
from scenarios.stage.stage import Stage

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
SECONDS = 60.0  # for one container
LOGIN = "login-session"  # the name, comm, of a login's first process
# What waits for a line, then runs the rest in the background of a shell that has ended by then.
ORPHAN = "exec 3<&0; (read -r go <&3 && {command}) &"
REMOVING = "ls -l {folder}\nrm -f {file}\n"
HONEST = "ls -l {folder}\n"


def run(stage: Stage, case: Case, count: int) -> bytes:
    """The log of so many events, or of more if not all that happens fits. Raises LabError."""
    seed, people = case.seed, staff(case.seed)
    culprit, late, *others = seed.sample("parts", sorted(people), 4)
    jobs = seed.sample("jobs", JOBS, 4)
    with Hidden(stage, case, people, CALLS) as hidden:
        target = hidden.shared(str(case.names["removed"]))
        target.write_text("name,amount\n")
        values = {"file": hidden.inside(target), "folder": hidden.inside(target.parent)}

        def job(who: str, name: str, text: str) -> list[str]:
            return ["sh", hidden.script(who, name, text.format(**values))]

        hidden.fill(count // 6)
        hidden.engine(others[0], FORK, job(others[0], jobs[0], HONEST))
        hidden.fill(count * seed.number("moment", 25, 50) // 100)
        orphaned(hidden, culprit, stage.engine(FORK).run(job(culprit, jobs[1], REMOVING), "-v", "/:/host"))
        hidden.fill(count * 3 // 5)
        hidden.engine(late, DAEMON, job(late, jobs[2], REMOVING))
        hidden.engine(others[1], DAEMON, job(others[1], jobs[3], HONEST))
        events = hidden.filled(count)
    return proved(solve, case, events, culprit=culprit, late_asked_by=late)


def orphaned(hidden: Hidden, who: str, command: Sequence[str]) -> None:
    """Run it in a shell of that login's whose parent has ended before; returns when all of it has ended."""
    login = hidden.login(who)
    with ExitStack() as stack:
        orders, ours, told, output = (stack.enter_context(end) for end in (*_pipe(), *_pipe()))
        stack.enter_context(adopting())
        script = ORPHAN.format(command=paste(command))
        login.start(["sh", "-c", script], orders.fileno(), output.fileno(), output.fileno())
        login.wait()
        output.close()
        ours.write(b"go\n")
        deadline = time.monotonic() + SECONDS
        while select.select([told], [], [], max(0, deadline - time.monotonic()))[0]:
            if not told.read(4096):  # nobody holds the other end any more
                return
    raise CannotTell(f"`{paste(command)}` did not end in the hidden run", "run this again")


def _pipe() -> Sequence[FileIO]:
    """Both ends: to read from, to write to."""
    return [FileIO(fd, mode) for fd, mode in zip(os.pipe2(os.O_CLOEXEC), "rw", strict=True)]


@contextmanager
def adopting() -> Iterator[None]:
    """Adopt the orphans of one's own descendants, as systemd does for a user's; prctl(2).

    So the process that adopts is an ancestor of the login, wherever this runs: only such an adoption can be told from
    a number of another pid namespace, lab/audit/family.py.
    """
    before = family(os.getpid())
    syscalls.prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        syscalls.prctl(PR_SET_CHILD_SUBREAPER, 0)
        for pid in family(os.getpid()) - before:
            pidfd = os.pidfd_open(pid)
            if not ended(pidfd, SECONDS):
                end_process(pidfd)
            os.close(pidfd)
            os.waitpid(pid, 0)


@dataclass(frozen=True)
class Found:
    """What the log says.

    culprit        in whose login the removing container was asked for
    pid            of the process that removed the file
    adopted        of the one in its line whose own records name another parent than the one that forked it
    line           the pids from `pid` up to the login
    late_asked_by  who asked for the container that came too late
    late_ends_at   the name of the last process in that one's line of which there is a record
    late_pid       of the process that came too late
    proof          the events that say so
    """

    culprit: str
    pid: int
    adopted: int
    late_asked_by: str
    late_ends_at: str
    line: Sequence[int]
    late_pid: int
    proof: Sequence[Event]

    @property
    def answers(self) -> Mapping[str, str | int]:
        return {name: getattr(self, name) for name in ("culprit", "pid", "adopted", "late_asked_by", "late_ends_at")}


def solve(case: Case, events: Sequence[Event]) -> Found:
    """What these events say. Raises RecordError if they do not say it."""
    names, tree = {uid: name for name, uid in staff(case.seed).items()}, Family(events)
    removing = sorted((found for one in tree if (found := removal(one, str(case.names["removed"])))), key=_order)
    if len(removing) != 2:
        raise RecordError(f"{len(removing)} processes were to remove the file")
    first, second = (tree.at(call.pid, call.time) for call in removing)
    line, late = to_login(tree.line(first)), [one for one in tree.line(second) if one.told]
    top = line[-1].told
    script = next((word for one in late for call in one.calls for word in call.argv if word.endswith(".sh")), "")
    asked = [call for one in tree for call in one.calls if script in call.argv and call.auid in names]
    if not top or top.comm != LOGIN or top.auid not in names or not asked:
        raise RecordError("the events do not lead to a login")
    adopted = [one.pid for one in line if _adopted(one)]
    if len(adopted) != 1:
        raise RecordError(f"{len(adopted)} processes of the line were adopted")
    calls = [call for one in [*line, *late] for call in (one.born, *one.calls[:1], one.told) if call]
    serials = {call.serial for call in [*calls, *removing, asked[0], *_named(line), *_named(late)]}
    proof = in_order(event for event in events if event.serial in serials)
    late_by, ends_at = names[asked[0].auid], late[-1].comm
    return Found(names[top.auid], first.pid, adopted[0], late_by, ends_at, [one.pid for one in line], second.pid, proof)


def listed(text: str) -> list[str]:
    """The first word of each line of tree.txt."""
    lines = (line.split() for line in text.splitlines())
    return [words[0] for words in lines if words and not words[0].startswith("#")]


def removal(process: Process, file: str) -> Call | None:
    """The exec of rm(1) with that file, if the process did it."""
    named = (call for call in process.calls if call.argv[:1] == ("rm",) and call.argv[-1].endswith(f"/{file}"))
    return next(named, None)


def to_login(line: Sequence[Process]) -> Sequence[Process]:
    """The line up to the login, that one included; all of it if it leads to none."""
    place = next((number for number, one in enumerate(line, 1) if one.comm == LOGIN), len(line))
    return line[:place]


def _adopted(process: Process) -> bool:
    """Whether its first own record names another parent than the one that forked it."""
    return bool(process.born and process.calls and process.calls[0].ppid != process.born.pid)


def _named(line: Sequence[Process]) -> list[Call]:
    """Their execs."""
    return [call for one in line for call in one.calls if call.argv]


def _order(call: Call) -> tuple[tuple[int, int], int]:
    return call.time, call.serial

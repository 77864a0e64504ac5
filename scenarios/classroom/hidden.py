"""A hidden run: people work in logins, something happens among them, and only the kernel's records of it stay.

    with Hidden(stage, case, staff(case.seed), ("execve",)) as run:
        run.fill(2000)                       errands, until the log has so many events
        run.engine("mara", DAEMON, words)    a container that mara asks for, in another login of hers
        written(run.filled(5000))            as auditd writes them

Nothing in the log is made up: each line is a record that the kernel wrote on this machine. Only events of these people
and of labd's containers are taken, so that a student's own doings stay the student's. The watch, the folders and labd
are journalled; a killed run leaves nothing that `lab restore` does not take back.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol, Self

from lab.audit.records import EOE, Event, RecordError
from lab.audit.rules import syscalls
from lab.audit.watch import Watch
from lab.identity import UNSET, status
from scenarios.classroom.cases import HIGHEST, LOWEST, Case
from scenarios.classroom.noise import Crowd
from scenarios.needs import CannotTell
from scenarios.stage.engines import Model, paste
from scenarios.stage.login import Login
from scenarios.stage.stage import Stage

JOBS = ("backup.sh", "report.sh", "rotate.sh", "sync.sh", "tidy.sh", "export.sh")  # what a container is asked to run
MARGIN = 20  # more calls than are missing: some of the machine's are not of this run


class Hidden:
    """One run; a context manager.

    people    uids by name
    calls     the names of the system calls that are recorded, if they succeed: of these people, and of processes in
              which nobody has logged in, such as labd's
    files     those that are recorded of these people's programs, but of none in Python: each command of an engine
              would leave hundreds of them
    others    also the records that no rule asks for: what a login leaves, what sudo says
    """

    def __init__(
        self, stage: Stage, case: Case, people: Mapping[str, int], calls: Sequence[str], files: Sequence[str] = (),
        *, others: bool = False,
    ) -> None:  # fmt: skip
        self.stage, self.people = stage, people
        self.place = stage.journal.directory(str(case.names["project"]), mode=0o755)
        (self.place / "shared").mkdir()
        (self.place / "shared").chmod(0o777)
        for name, uid in people.items():
            (self.place / name).mkdir()
            os.chown(self.place / name, uid, uid)
        theirs = [f"auid>={LOWEST}", f"auid<={HIGHEST}"]
        rules = [syscalls(calls, filters=["success=1", *who]) for who in (theirs, ["auid=unset"])]
        if files:
            rules.append(syscalls(files, filters=[*theirs, f"exe!={os.path.realpath(sys.executable)}"]))
        self.watch = Watch(str(self.place), rules=rules, journal=stage.journal)
        self._seed, self._missing, self._others = case.seed, 0, others
        self._labds = family(stage.daemon.pid)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.watch)
            folders = {uid: self.place / name for name, uid in self.people.items()}
            self._crowd = stack.enter_context(Crowd(self._seed, folders))
            self._sessions: dict[str, Login] = {}
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def fill(self, count: int) -> None:
        """Let them work until the log has at least so many events. Raises EvidenceLost, CannotTell."""
        while (missing := count - len(self.events())) > 0:
            self._missing = missing + MARGIN
            self._crowd.work(self._enough)

    def filled(self, count: int) -> Sequence[Event]:
        """The first so many events, after more errands if there are fewer; all of now, if there are more."""
        done = len(self.events())
        self.fill(count)
        return self.events()[: max(count, done)]

    def _enough(self) -> bool:
        self._missing -= self.watch.pump()
        return self._missing <= 0

    def events(self) -> list[Event]:
        """What has happened so far, in the order of the serials. Raises EvidenceLost."""
        self.watch.collect()
        found = self._own(in_order(self.watch.events))
        return [event for event in found if self._others or self.watch.key in event.keys]

    def _own(self, events: Iterable[Event]) -> Iterator[Event]:
        """Those of these people's logins, and of what labd has forked."""
        labds = set(self._labds)
        for event in events:
            try:
                if LOWEST <= event.auid <= HIGHEST:
                    yield event
                elif event.auid == UNSET and not labds.isdisjoint((event.pid, event.number("ppid"))):
                    labds.add(event.pid)
                    yield event
            except RecordError:  # a record of another kind: nobody's
                continue

    def login(self, name: str) -> Login:
        """A second login of somebody's, beside the one with the shell; opened when it is asked for."""
        if name not in self._sessions:
            self._sessions[name] = self._stack.enter_context(Login(self.people[name], anew=True))
        return self._sessions[name]

    def run(self, name: str, argv: Sequence[str]) -> int | None:
        """A command in that login, as root, as behind sudo; its exit status, None if it had to be killed."""
        with tempfile.TemporaryFile() as output, Path(os.devnull).open() as null:
            login = self.login(name)
            login.start(argv, null.fileno(), output.fileno(), output.fileno())
            return login.wait()

    def engine(self, name: str, model: Model, workload: Sequence[str]) -> None:
        """A container that somebody asks for, with the host's files at /host. Raises CannotTell if it does not run."""
        argv = self.stage.engine(model).run(workload, "-v", "/:/host")
        code = self.run(name, argv)
        if code != 0:
            raise CannotTell(f"`{paste(argv)}` ended with exit status {code} in the hidden run", "run this again")

    def script(self, name: str, file: str, text: str) -> str:
        """Write a file of somebody's; its path as a container of engine() finds it."""
        path = self.place / name / file
        path.write_text(text)
        os.chown(path, self.people[name], self.people[name])
        return self.inside(path)

    def shared(self, file: str) -> Path:
        """A file of everybody's."""
        return self.place / "shared" / file

    def inside(self, path: Path) -> str:
        """The path in a container of engine()."""
        return f"/host{path}"


def in_order(events: Iterable[Event]) -> list[Event]:
    """Each once, in the order of the serials."""
    return [event for _, event in sorted({event.serial: event for event in events}.items())]


def written(events: Iterable[Event]) -> bytes:
    """Events as auditd writes them: a line for each record, without EOE."""
    lines = (record.to_line().rstrip() for event in events for record in event.records if record.type != EOE)
    return "".join(f"{line}\n" for line in lines).encode()


class Solution(Protocol):
    """What a log says: the answers by name, and the events that say so."""

    @property
    def answers(self) -> Mapping[str, str | int]: ...

    @property
    def proof(self) -> Sequence[Event]: ...


def proved(
    solve: Callable[[Case, Sequence[Event]], Solution], case: Case, events: Sequence[Event], **right: str
) -> bytes:
    """The log of these events. Raises CannotTell unless they say what is right, and so do the few of the proof."""
    try:
        for told in (events, solve(case, events).proof):
            if not right.items() <= solve(case, told).answers.items():
                raise RecordError("somebody else did it")
    except RecordError as error:
        raise CannotTell(f"the log of the hidden run does not hold the proof: {error}", "run this again") from None
    return written(events)


def passwd(people: Mapping[str, int]) -> bytes:
    """Who has which uid, in the form of /etc/passwd."""
    return "".join(f"{name}:x:{uid}:{uid}::/home/{name}:/bin/sh\n" for name, uid in sorted(people.items())).encode()


def family(pid: int) -> set[int]:
    """The process and its children: of labd, the spawner that forks the containers."""
    children = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if int(status(entry.name)["PPid"]) == pid:
                children.add(int(entry.name))
        except (OSError, KeyError):  # it has ended meanwhile
            continue
    return {pid, *children}

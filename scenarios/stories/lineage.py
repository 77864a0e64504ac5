"""All processes are dead. Their family tree is rebuilt from the kernel's records of forks and execs alone."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from lab.audit.family import CALLS, Family, syscall_of
from lab.audit.family import Process as Member
from lab.audit.rules import Rule, syscalls
from lab.audit.watch import Watch
from lab.identity import UNSET
from lab.pidfd import start_time
from scenarios.performance.beats import Lineage, Process
from scenarios.performance.text import Text
from scenarios.stage.engines import DAEMON, FORK, Engine
from scenarios.stage.report import Outcome
from scenarios.stage.stage import Stage

NAME = "lineage"
TITLE = "The family tree, after the fact"
RECORDED = CALLS
SCRIPT = "echo here; exec cat"  # it stays until its input ends, so that /proc can be asked, too
SAMPLE = {  # audit's sample rules for containers, 41-containers.rules, without their keys
    ("clone",): "-a always,exit -F arch=b64 -S clone -F a0&0x7C020000",
    ("unshare", "setns"): "-a always,exit -F arch=b64 -S unshare,setns",
}
PATIENT = 5.0  # seconds until the engine's last process has ended, too
MANY = 3  # from so many processes of one name on, one line of the tree stands for all of them


@dataclass(frozen=True)
class Found:
    """What a run left: its outcome, the records' family, how many events, and the line up from the container."""

    outcome: Outcome
    family: Family
    events: int
    line: Sequence[Member]

    @property
    def known(self) -> Sequence[Member]:
        """Those of the line of which there is more than a number."""
        return [member for member in self.line if member.told]

    @property
    def made(self) -> Sequence[int]:
        """The pids of those that were forked for this container."""
        return [member.pid for member in self.known if member.born or member is self.line[0]]

    def has(self, pid: int) -> bool:
        return pid in {member.pid for member in self.line}


def play(stage: Stage) -> None:
    found: dict[str, Found] = {}
    stage.say("Forks and execs make a family. The kernel is to record each of them.")
    with stage.watch([syscalls(RECORDED, filters=["success=1"])]) as watch:
        for engine in stage.each(FORK):
            found[engine.name] = forked(stage, watch, engine)
        for engine in stage.each(DAEMON):
            found[engine.name] = served(stage, watch, engine)
    compare(stage, found, by_the_sample(stage, found))


def forked(stage: Stage, watch: Watch, engine: Engine) -> Found:
    stage.ask("The container ends, and is removed. Do the records still lead to a login?", "yes", "no")
    found = ended(stage, watch, engine)
    rebuilt(stage, engine, found)
    whole = found.has(stage.login.pid) and belongs(found, stage.user_id, stage.login.sessionid)
    claim = "it leads to your login, with auid={user} at each step"
    stage.expect(whole, claim, f"ses={stage.login.sessionid}", user=stage.user)
    return found


def served(stage: Stage, watch: Watch, engine: Engine) -> Found:
    stage.ask("The same through {engine}. Where does the line end?", "your login", "a daemon", engine=engine.name)
    found = ended(stage, watch, engine)
    rebuilt(stage, engine, found)
    nobodys = not found.has(stage.login.pid) and belongs(found, UNSET, UNSET)
    stage.expect(nobodys, "it ends at {top}: auid=unset, and no login above", top=top(stage, found))
    session = [one for one in found.family if one.told and one.told.ses == stage.login.sessionid]
    apart = bool(session) and not any(found.has(one.pid) for one in session)
    names = ", ".join(dict.fromkeys(one.comm for one in session))
    stage.expect(apart, "your session's forks are on record, too; none leads there", names)
    return found


def ended(stage: Stage, watch: Watch, engine: Engine) -> Found:
    """Run a container, see the end of all that was forked for it, and take the line from the records."""
    watch.collect()
    workload = ("sh", "-c", SCRIPT, f"lab-{os.urandom(3).hex()}")  # words that nobody else executes
    outcome = stage.run_watched(engine, workload, show=False)
    events = watch.collect()
    family = Family(events)
    line = [member for first in family.executing(workload)[:1] for member in family.line(first)]
    places = [place for place, member in enumerate(line) if member.pid in (1, stage.login.pid)]
    end = places[0] + (line[places[0]].pid != 1) if places else len(line)
    found = Found(outcome, family, len(events), line[:end])
    alive = living(found.made)
    said = Text("{count} processes, none is in /proc", {"count": len(found.made)})
    stage.expect(bool(found.made) and not alive, "all that was forked for it is dead", alive or said)
    return found


def living(pids: Sequence[int]) -> list[int]:
    """Those that are no zombies and still there when PATIENT is over: podman's monitor cleans up after the end."""
    deadline = time.monotonic() + PATIENT
    while (alive := [pid for pid in pids if start_time(pid)]) and time.monotonic() < deadline:
        time.sleep(0.01)
    return alive


def rebuilt(stage: Stage, engine: Engine, found: Found) -> None:
    """Show the line, and compare it with the ancestors that /proc showed while they lived."""
    stage.say("{engine}'s family tree, from the records alone:", engine=engine.name)
    processes = [process for _, group in groupby(found.known, _name) for process in _folded([*group])]
    login = stage.login.pid if found.has(stage.login.pid) else 0
    stage.performance.perform(Lineage(engine.name, tuple(reversed(processes)), login, asked=engine.model == DAEMON))
    shown = {one.pid: one.loginuid for one in found.outcome.ancestry if one.pid != 1}
    if login in shown:
        pids = list(shown)
        shown = {pid: shown[pid] for pid in pids[: pids.index(login) + 1]}
    auids = {member.pid: member.told.auid for member in found.known if member.told}
    common = [member.pid for member in found.line if member.pid in shown]
    same = common == list(shown) and all(shown[pid] == auids.get(pid, shown[pid]) for pid in common)
    more = len(found.line) - len(common)
    claim = (
        "it has all that /proc had shown, and those that were gone by then"
        if more
        else "it equals what /proc had shown"
    )
    stage.expect(same, claim, f"{len(common)} + {more}" if more else str(len(common)))


def _name(member: Member) -> str:
    return member.comm.partition(":")[0]  # runc names its steps runc:[1:CHILD]


def _folded(members: Sequence[Member]) -> list[Process]:
    """Members with one name as the lines of a tree."""
    shown = members if len(members) < MANY else members[-1:]
    many = "" if len(members) < MANY else f"{len(members)} x "
    told = [(member.pid, member.told) for member in shown if member.told]
    return [Process(f"{many}{_name(members[0])}", pid, one.uid, one.auid, one.ses) for pid, one in told]


def belongs(found: Found, auid: int, session: int) -> bool:
    """Whether each of the line has these two, and there is one."""
    whose = {(member.told.auid, member.told.ses) for member in found.known if member.told}
    return whose == {(auid, session)}


def top(stage: Stage, found: Found) -> str:
    """Where the line ends: the last of which there is a record."""
    if found.has(stage.login.pid):
        return "your login"
    return found.known[-1].comm if found.known else "?"


def by_the_sample(stage: Stage, found: Mapping[str, Found]) -> dict[str, list[int]]:
    """How many records each of the sample rules has of the processes that make a container, by engine."""
    counts: dict[str, list[int]] = {}
    stage.say("audit's sample rules, 41-containers.rules, watch clone(2), unshare(2) and setns(2).")
    stage.ask("Do they see a container being made?", "yes", "no")
    with stage.watch([Rule.parse(line) for line in SAMPLE.values()]) as watch:
        for engine in [*stage.each(FORK), *stage.each(DAEMON)]:
            run = found[engine.name]
            names = {call.comm for member in run.known for call in (member.told, *member.calls) if call}
            session = stage.login.sessionid if engine.model == FORK else UNSET
            stage.run(engine, ("true",))
            calls = [syscall_of(one) for one in watch.collect() if one.ses == session and one.comm in names]
            counts[engine.name] = [len([call for call in calls if call in rule]) for rule in SAMPLE]
            if engine in stage.engines.values():
                claim = "they do NOT see {engine}'s: it calls clone3(2)"
                stage.expect(not calls, claim, ", ".join(calls) or Text("no record"), engine=engine.name)
    return counts


def compare(stage: Stage, found: Mapping[str, Found], counts: Mapping[str, Sequence[int]]) -> None:
    def row(name: str, cells: Sequence[object]) -> list[str | Text]:
        return [name, *map(str, cells)]

    runs = found.values()
    rows = [
        row("the line ends at", [top(stage, one) for one in runs]),
        row(
            "its auid", [stage.user if belongs(one, stage.user_id, stage.login.sessionid) else "unset" for one in runs]
        ),
        row("generations", [len(one.known) for one in runs]),
        row("events recorded", [one.events for one in runs]),
    ]
    rows += [
        row(f"sample rule, {'/'.join(rule)}", [counts[name][place] for name in found])
        for place, rule in enumerate(SAMPLE)
    ]
    stage.contrast("After the fact, from the records alone", ["", *found], rows, ["its auid"])

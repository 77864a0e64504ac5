"""All processes are dead. Their family tree is rebuilt from the kernel's records of forks and execs alone."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from lab.audit.family import CALLS, Family, syscall_of
from lab.audit.rules import Rule, syscalls
from lab.audit.watch import Watch
from lab.identity import UNSET, ancestry, name_of
from scenarios.performance.text import Text
from scenarios.props.descent import Descent, descent, living
from scenarios.stage.engines import DAEMON, FORK, Engine
from scenarios.stage.stage import Stage

NAME = "lineage"
TITLE = "The family tree, after the fact"
RECORDED = CALLS
SCRIPT = "echo here; exec cat"  # it stays until its input ends, so that /proc can be asked, too
# audit's sample rules for containers, 41-containers.rules, without their keys; by the calls that they record.
SAMPLE = {
    ("clone",): "-a always,exit -F arch=b64 -S clone -F a0&0x7C020000",
    ("unshare", "setns"): "-a always,exit -F arch=b64 -S unshare,setns",
}
PATIENT = 5.0  # seconds until the engine's last process has ended, too


@dataclass(frozen=True)
class Found:
    """What the records of a run told; the card says `ends_at` and how many events there were."""

    descent: Descent
    ends_at: str
    events: int


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
    stage.ask("The container ends and is removed. Can the records still lead to a login?", "yes", "no")
    line, _, events = rebuilt(stage, watch, engine)
    own = line.login > 0 and line.whose == {(stage.user_id, stage.login.sessionid)}
    claim = "it leads to your login, with auid={user} at each step"
    stage.expect(own, claim, f"ses={stage.login.sessionid}", user=stage.user)
    return Found(line, "your login" if own else line.top, events)


def served(stage: Stage, watch: Watch, engine: Engine) -> Found:
    stage.ask("The same through {engine}. Where does the tree end?", "your login", "a daemon", engine=engine.name)
    line, family, events = rebuilt(stage, watch, engine)
    nobodys = not line.login and line.whose == {(UNSET, UNSET)}
    stage.expect(nobodys, "it ends at {top}: auid=unset, and no login above", top=line.top)
    session = {one.pid: one.comm for one in family if one.told and one.told.ses == stage.login.sessionid}
    apart = bool(session) and not session.keys() & {one.pid for one in line.line}
    names = ", ".join(dict.fromkeys(session.values()))
    stage.expect(apart, "your session's forks are on record, and none leads there", names)
    return Found(line, line.top, events)


def rebuilt(stage: Stage, watch: Watch, engine: Engine) -> tuple[Descent, Family, int]:
    """Run a container to its end. Then its tree, all that the records tell, and the number of their events."""
    watch.collect()
    workload = ("sh", "-c", SCRIPT, f"lab-{os.urandom(3).hex()}")  # words that nobody else executes
    outcome = stage.run_watched(engine, workload, show=False)
    events = watch.collect()
    family = Family(events, {one.pid: one.ppid for one in ancestry(stage.login.pid)})
    line = descent(family, workload, stage.login.pid)
    alive = living(line.made, PATIENT)
    said = Text("{count} of {all} left in /proc", {"count": len(alive), "all": len(line.made)})
    stage.expect(bool(line.made) and not alive, "all that was forked for the container is dead", said)
    stage.say("The family tree, from the records alone:")
    stage.performance.perform(line.beat(engine.name, asked=engine.model == DAEMON))
    beside = line.compared(outcome.ancestry)
    claim, seen = "it is what /proc showed while they lived", "{common} of {shown}"
    if beside.more:
        claim = "it has what /proc showed while they lived, and what /proc had lost"
        seen += ", and {more} more"
    stage.expect(beside.same, claim, Text(seen, vars(beside)))
    return line, family, len(events)


def by_the_sample(stage: Stage, found: Mapping[str, Found]) -> dict[str, list[int]]:
    """How many events each of the sample's rules records of the processes that make a container, by engine."""
    counts: dict[str, list[int]] = {}
    stage.say("audit's sample rules, 41-containers.rules, watch clone(2), unshare(2) and setns(2).")
    stage.ask("Do they see that a container is made?", "yes", "no")
    with stage.watch([Rule.parse(line) for line in SAMPLE.values()]) as watch:
        for engine in [*stage.each(FORK), *stage.each(DAEMON)]:
            stage.run(engine, ("true",))
            line = found[engine.name].descent
            labs = engine in stage.engines.values()
            belongs = line.own if labs else line.like  # a real daemon's shim comes and goes between it and runc
            calls = [syscall_of(one) for one in watch.collect() if belongs(one)]
            counts[engine.name] = [len([call for call in calls if call in rule]) for rule in SAMPLE]
            if labs:
                seen = ", ".join(calls) or Text("no record")
                stage.expect(not calls, "they do NOT see {engine}'s: it calls clone3(2)", seen, engine=engine.name)
    return counts


def compare(stage: Stage, found: Mapping[str, Found], counts: Mapping[str, list[int]]) -> None:
    runs = found.values()
    auids = [", ".join(sorted(name_of(auid) for auid, _ in one.descent.whose)) for one in runs]
    rows: list[list[str | Text]] = [
        ["the tree ends at", *(one.ends_at for one in runs)],
        ["auid at each step", *auids],
        ["generations", *(str(len(one.descent.known)) for one in runs)],
        ["events on record", *(str(one.events) for one in runs)],
    ]
    for place, calls in enumerate(SAMPLE):
        rows.append([f"by the sample, {'/'.join(calls)}", *(str(counts[name][place]) for name in found)])
    stage.contrast("After the fact, from the records alone", ["", *found], rows, ["auid at each step"])

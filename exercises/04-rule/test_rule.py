"""Exercise 4: the student's rule is loaded, and five things are done to the file."""

from collections.abc import Callable, Sequence

import pytest

from lab.audit.records import Event
from lab.audit.rules import Rule
from lab.audit.watch import Watch
from scenarios.classroom.lessons import Work, teach
from scenarios.classroom.plugin import KeepRecords, KernelSaid
from scenarios.classroom.rules import rule_in
from scenarios.stage.engines import DAEMON, FORK
from scenarios.stage.stage import Stage

Act = Callable[[Stage], object]
SAMPLE = "-a always,exit -F path={} -F perm=wa -F auid>=1000 -F auid!=unset"


def on_the_host(stage: Stage, command: str) -> object:
    """A shell's command as root, in the login."""
    return stage.shell("sh", "-c", f"{command} {stage.target}")


def through(model: str, command: str) -> Act:
    """The same in a container of that engine."""

    def act(stage: Stage) -> object:
        engine = stage.engine(FORK if model == "podmanish" else DAEMON)
        return stage.run(engine, ("sh", "-c", f"{command} /host{stage.target}"), "--privileged", "-v", "/:/host")

    return act


WRITES: dict[str, Act] = {
    "a write on the host": lambda stage: on_the_host(stage, "echo >>"),
    "a write through podmanish": through("podmanish", "echo >>"),
    "a write through dockerish": through("dockerish", "echo >>"),
}
READS: dict[str, Act] = {
    "a reader": lambda stage: on_the_host(stage, "cat"),
    "a reader in a container": through("podmanish", "cat"),
}


def recorded(stage: Stage, rules: Sequence[Rule], act: Act) -> Sequence[Event]:
    """The events that the rules leave."""
    with Watch(stage.target, journal=stage.journal, rules=rules) as watch:
        act(stage)
        return watch.collect()


@pytest.mark.parametrize("what", WRITES)
def test_a_write_is_caught(work: Work, stage: Stage, keep_records: KeepRecords, what: str) -> None:
    """Whoever writes."""
    rule = rule_in(work, stage.target)
    found = recorded(stage, [rule], WRITES[what])
    keep_records(what, stage.target, found)
    expected = f"{what} leaves a record"
    look = "auditctl(8): -F perm; and each further filter: whom does it leave out?"
    teach(len(found) > 0, expected=expected, seen="no record", look=look)


@pytest.mark.parametrize("what", READS)
def test_a_reader_is_not(work: Work, stage: Stage, keep_records: KeepRecords, what: str) -> None:
    """A log that is full of readers hides the writer."""
    rule = rule_in(work, stage.target)
    found = recorded(stage, [rule], READS[what])
    keep_records(what, stage.target, found)
    look = "auditctl(8), -p: without it all four of r, w, x and a"
    teach(not found, expected=f"{what} leaves no record", seen=f"{len(found)} records", look=look)


def test_the_sample(work: Work, stage: Stage, kernel_said: KernelSaid) -> None:
    """What was asked before."""
    rule_in(work, stage.target)
    found = recorded(stage, [Rule.parse(SAMPLE.format(stage.target))], WRITES["a write through dockerish"])
    kernel_said("filter", "yes" if found else "no")

"""Exercise 5: the student's program runs twice: under perm=wa, and under the student's rule."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from lab.audit.rules import Rule, watch
from lab.audit.watch import Watch
from scenarios.classroom.lessons import Work, teach
from scenarios.classroom.plugin import KernelSaid
from scenarios.classroom.rules import rule_in
from scenarios.stage.engines import DAEMON, FORK
from scenarios.stage.stage import Stage

BEFORE = "nobody has changed this\n"
SAMPLE = "-a always,exit -F path={} -F perm=wa -F auid>=1000 -F auid!=unset"
ASKED = {
    "a write through podmanish": "fork",
    "a write through dockerish": "daemon",
    "an open that empties": "truncate",
    "new times alone": "times",
    "a write by handle": "handle",
}
TRUNCATE = "import os, sys; os.open(sys.argv[1], os.O_RDONLY | os.O_TRUNC)"


@pytest.fixture
def file(stage: Stage) -> Iterator[Path]:
    """A file to change."""
    folder = stage.journal.directory("exercise", mode=0o755)
    (folder / "file").write_text(BEFORE)
    yield folder / "file"


def state(file: Path) -> tuple[str, float]:
    """What a change would change; (text, time)."""
    return file.read_text(errors="replace"), file.stat().st_mtime


def quiet(work: Work, stage: Stage, file: Path, rules: Sequence[Rule]) -> tuple[bool, int]:
    """Run quiet.py under these rules: whether it changed the file, and how many events there were."""
    work.read("quiet.py")
    before = state(file)
    with Watch(str(file), journal=stage.journal, rules=rules) as watching:
        outcome = stage.quiet(sys.executable, "-IB", str(work.path / "quiet.py"), str(file))
        found = len(watching.collect())
    seen = (outcome.stderr.strip().splitlines() or [""])[-1]
    teach(outcome.exit_code == 0, expected="quiet.py ends with exit status 0", seen=seen, look="quiet.py")
    return state(file) != before, found


def test_perm_wa_sees_nothing(work: Work, stage: Stage, file: Path) -> None:
    """The file has changed, and perm=wa has seen nothing."""
    changed, found = quiet(work, stage, file, [watch(str(file))])
    teach(changed, expected="the file has changed: its text or its time", seen="it is as it was", look="quiet.py")
    look = "which calls the kernel counts as a write: audit_match_perm(), kernel/auditsc.c"
    teach(not found, expected="no record under -F perm=wa", seen=f"{found} records", look=look)


def test_your_rule_sees_it(work: Work, stage: Stage, file: Path) -> None:
    """The student's own rule leaves a record."""
    _, found = quiet(work, stage, file, [rule_in(work, str(file))])
    look = "auditctl(8): what does a rule without -F perm= match?"
    teach(found > 0, expected="rule.txt leaves a record of what quiet.py does", seen="no record", look=look)


@pytest.mark.parametrize("what", ASKED)
def test_what_was_predicted(work: Work, stage: Stage, file: Path, kernel_said: KernelSaid, what: str) -> None:
    """Five acts, each under the rule of its question."""
    work.read("quiet.py")
    way = ASKED[what]
    rule = Rule.parse(SAMPLE.format(file)) if way in ("fork", "daemon") else watch(str(file))
    with Watch(str(file), journal=stage.journal, rules=[rule]) as watching:
        act(stage, file, way)
        kernel_said(way, "yes" if watching.collect() else "no")


def act(stage: Stage, file: Path, way: str) -> None:
    """What the question asks about."""
    if way in ("fork", "daemon"):
        engine = stage.engine(FORK if way == "fork" else DAEMON)
        stage.run(engine, ("touch", f"/host{file}"), "--privileged", "-v", "/:/host")
    elif way == "times":
        stage.shell("touch", "-c", str(file))
    elif way == "truncate":
        stage.shell(sys.executable, "-c", TRUNCATE, str(file))
    else:
        stage.shell(sys.executable, "-m", "scenarios.props.handle", str(file))

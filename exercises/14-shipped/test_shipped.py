"""Exercise 14: the check plays auditd and the other host; the student's ship.py stands between them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from lab.audit.records import Event
from lab.audit.rules import syscalls, watch
from lab.audit.watch import Watch
from lab.identity import UNSET
from lab.syscalls import PR_SET_PDEATHSIG, prctl
from scenarios.classroom.lessons import Work, teach
from scenarios.classroom.plugin import KeepRecords, KernelSaid
from scenarios.performance.text import message
from scenarios.props.collector import Collector
from scenarios.stage.engines import FORK
from scenarios.stage.stage import Stage

SECONDS = 5
DELETIONS = ("unlink", "unlinkat")
YES_NO = message("yes or no")
# Where to look for what is left here, in the log, once all three have happened.
HERE = {
    "write": message("this record was in the log; then the log was deleted. What is left of a deleted file?"),
    **dict.fromkeys(
        ("deletion", "last"),
        message("a deleted file that auditd has open: what is written there has no name. lsof(8), proc_pid_fd(5)"),
    ),
}
PLACES = {(True, True): "in both", (True, False): "here", (False, True): "there", (False, False): "nowhere"}


def ends_with_the_check() -> None:
    """A ship.py that does not end ends with a check that is killed."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Auditd:
    """What stands for auditd: a log that stays open, and a plugin, the student's. A context manager."""

    def __init__(self, work: Work, log: Path, collector: Collector) -> None:
        self._log = log.open("ab", buffering=0)
        self._errors = (log.parent / "errors").open("w+b")
        words = [sys.executable, "-IB", str(work.path / "ship.py"), collector.host, str(collector.port)]
        self._plugin = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=self._errors, stderr=self._errors, process_group=0,
            preexec_fn=ends_with_the_check,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        self._log.close()
        self._errors.close()

    def write(self, lines: Sequence[bytes]) -> None:
        """Log these records, and give them to the plugin."""
        assert self._plugin.stdin
        for line in lines:
            self._log.write(line + b"\n")
        if self.ships():
            with suppress(OSError):  # it has ended meanwhile
                self._plugin.stdin.write(b"".join(line + b"\n" for line in lines))
                self._plugin.stdin.flush()

    def kill(self) -> None:
        """End the plugin with SIGKILL."""
        assert self._plugin.stdin
        with suppress(ProcessLookupError):
            os.killpg(self._plugin.pid, signal.SIGKILL)
        with suppress(OSError):
            self._plugin.stdin.close()
        self._plugin.wait()

    def ships(self) -> bool:
        """Whether the plugin still runs."""
        return self._plugin.poll() is None

    @property
    def said(self) -> str:
        """The last line that ship.py has printed."""
        self._errors.seek(0)
        return (self._errors.read().decode(errors="replace").strip().splitlines() or [""])[-1]


@dataclass
class Left:
    """What is left of the three: of each its events, and whether all its records are here and there."""

    events: dict[str, Sequence[Event]] = field(default_factory=dict)
    here: dict[str, bool] = field(default_factory=dict)
    there: dict[str, bool] = field(default_factory=dict)
    arrived: dict[str, str] = field(default_factory=dict)  # how much of it has arrived, in words


def lines_of(events: Sequence[Event]) -> list[bytes]:
    """Their records, as auditd would log them."""
    return [record.to_line().encode() for event in events for record in event.records]


def how_many(arrived: int, sent: int, said: str) -> str:
    """How much has arrived, and the last line that ship.py has printed."""
    if said:
        return message(f"{arrived} of {sent} lines have arrived, and ship.py says: {said}")
    return message(f"{arrived} of {sent} lines have arrived")


def played(work: Work, stage: Stage) -> Left:
    """A write, a deletion while the collector comes back, and a write after ship.py was killed."""
    log, left = stage.journal.directory("exercise") / "audit.log", Left()
    write, delete = ("touch", f"/host{stage.target}"), ("rm", f"/host{log}")
    rules = [watch(stage.target), syscalls(DELETIONS, filters=[f"path={log}"])]
    log.touch()
    with (
        Collector() as collector,
        Watch(stage.target, journal=stage.journal, rules=rules) as watching,
        Auditd(work, log, collector) as auditd,
    ):
        for name, act in (("write", write), ("deletion", delete), ("last", write)):
            if name == "deletion":
                collector.lose_next()
            if name == "last":
                auditd.kill()
            stage.run(stage.engine(FORK), act, "-v", "/:/host")
            left.events[name] = watching.collect()
            lines = lines_of(left.events[name])
            before = len(collector.lines)
            auditd.write(lines)
            collector.wait_for(before + len(lines), SECONDS, auditd.ships)
            left.there[name] = bool(lines) and collector.lines[before:] == lines
            left.arrived[name] = how_many(len(collector.lines) - before, len(lines), auditd.said)
            if name != "last" and not left.there[name]:
                return left
        kept = log.read_bytes() if log.exists() else b""
        for name, events in left.events.items():
            left.here[name] = all(line in kept for line in lines_of(events))
    return left


@pytest.fixture(scope="module")
def known() -> Iterator[dict[str, Left]]:
    """What was left, by the text of ship.py: it is played once for each."""
    yield {}


def left_by(work: Work, stage: Stage, known: dict[str, Left]) -> Left:
    """What is left; the check fails if ship.py has lost a record."""
    text = work.python("ship.py").read_text()
    if text not in known:
        known[text] = played(work, stage)
    found = known[text]
    look = "ship.py: when does it send? read a line, send it, then read the next"
    expected = "the records of the write arrive as they are made"
    teach(found.there["write"], expected=expected, seen=found.arrived["write"], look=look)
    expected = "the records of the deletion arrive, all of them, in order, though the collector ended and came back"
    look = "ship.py: what has been sent and not answered is not kept; connect again, and send it again"
    teach(found.there["deletion"], expected=expected, seen=found.arrived["deletion"], look=look)
    return found


def test_nothing_is_lost(
    work: Work, stage: Stage, known: dict[str, Left], keep_records: KeepRecords, kernel_said: KernelSaid
) -> None:
    """The shipper works."""
    left = left_by(work, stage, known)
    keep_records("the write", stage.target, left.events["write"])
    keep_records("the deletion", "/audit.log", left.events["deletion"])
    for name in ("deletion", "last"):
        kernel_said(name, PLACES[left.here[name], left.there[name]])


@pytest.mark.parametrize("name", ["write", "deletion", "last"])
def test_what_is_left(work: Work, stage: Stage, known: dict[str, Left], name: str) -> None:
    """Here, and there."""
    left, answers = left_by(work, stage, known), work.answers()
    there = "when was ship.py killed: before or after that record was made?"
    answers.expect(f"{name}.here", "yes" if left.here[name] else "no", HERE[name], kind=YES_NO)
    answers.expect(f"{name}.there", "yes" if left.there[name] else "no", there, kind=YES_NO)


def test_whom_the_deletion_names(work: Work, stage: Stage, known: dict[str, Left]) -> None:
    """Its record."""
    auid = left_by(work, stage, known).events["deletion"][0].auid
    right = {stage.user_id: "you", 0: "root", UNSET: "nobody"}[auid]
    look = "the auid of the record that has arrived: who forked the container that deleted the log?"
    work.answers().expect("deletion.by", right, look, kind=message("you, root or nobody"))

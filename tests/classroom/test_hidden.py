"""Hidden runs: real records of this kernel, of these people alone, with one solution, which is another's for nobody."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from handed import TEACHER, graded, sealed
from made import ADA, BOB, FEW, made_for

from lab.audit.family import syscall_of
from lab.audit.netlink import AuditControl
from lab.audit.records import Event
from lab.identity import UNSET
from scenarios.classroom import beginning, cases, checking, culprit, forger
from scenarios.classroom.cases import Case
from scenarios.classroom.desk import Made
from scenarios.classroom.evidence import MOST_LINES, Seen, parsed
from scenarios.classroom.exercise import Exercise, find
from scenarios.classroom.seeds import Seed, filled
from scenarios.safety.undo import DIRECTORY

pytestmark = pytest.mark.needs("root", "audit")
FORGER, CULPRIT = find("forger"), find("culprit")
SOLVERS: Mapping[str, Callable[[Case, Sequence[Event]], forger.Found | culprit.Found]] = {
    "forger": forger.solve,
    "culprit": culprit.solve,
}
BOTH = pytest.mark.parametrize("one", [FORGER, CULPRIT], ids=lambda one: one.name)


def events_of(made: Made) -> list[Event]:
    """In the log."""
    return parsed(made.files[cases.LOG].decode().splitlines())


def solved(one: Exercise, seed: Seed, made: Made) -> forger.Found | culprit.Found:
    """What the log says, for a student of that seed."""
    return SOLVERS[one.about.case](Case.of(one.about.case, seed), events_of(made))


@BOTH
def test_a_log_has_as_many_events_as_asked_for(one: Exercise) -> None:
    """In the order of their numbers, from these people's logins or from labd's containers, and no line is a guess."""
    made = made_for(one)
    events = events_of(made)
    assert FEW <= len(events) < 2 * FEW
    assert [event.serial for event in events] == sorted({event.serial for event in events})
    people = set(cases.staff(ADA).values())
    assert {event.auid for event in events} == people | {UNSET}
    assert made.files[cases.PASSWD].decode().count("\n") == len(people)


@BOTH
def test_the_answers_of_one_are_wrong_for_another(one: Exercise, tmp_path: Path) -> None:
    """Ada's answers fail with Bob's log, and Ada's log says nothing under Bob's seed."""
    ours, theirs = solved(one, ADA, made_for(one)), solved(one, BOB, made_for(one, BOB))
    assert ours.answers.keys() == theirs.answers.keys()
    assert sum(ours.answers[name] == theirs.answers[name] for name in ours.answers) <= 2  # program, late_ends_at
    own, other = (worked(one, made_for(one, seed), tmp_path / seed.digits) for seed in (ADA, BOB))
    for name in {"answers.toml", "tree.txt"} & set(one.about.files):
        (other / name).write_bytes((own / name).read_bytes())
    assert len(checking.check(one, other).failed) >= 3
    with pytest.raises(ValueError):  # the people of his seed are others
        solved(one, BOB, made_for(one))


def worked(one: Exercise, made: Made, folder: Path) -> Path:
    """A student's folder with the answers that the solution finds."""
    folder.mkdir()
    for name, data in {**filled(one.solution(), made.names), **made.files}.items():
        (folder / name).write_bytes(data)
    subprocess.run([sys.executable, "find.py"], cwd=folder, check=True, timeout=60)
    return folder


def handed_in(one: Exercise, seed: Seed, place: Path) -> dict[str, Any]:
    """The hand-in of somebody who has passed, whose class gave that seed."""
    folder = worked(one, made_for(one, seed), place)
    found = solved(one, seed, made_for(one, seed))
    lines = [record.to_line() for event in found.proof for record in event.records]
    assert len(lines) <= MOST_LINES
    first = min(event.time for event in found.proof)[0] - 1
    seen = {"the proof": Seen(path="", lines=tuple(lines)).model_dump(mode="json")}
    machine = {"boot": "e7c2826f-31fa-4f2b-a696-9d531bff3e16", "kernel": "6.1.0"}
    proof = {"machine": machine, "began": first + 600, "ended": first + 605, "said": {}, "seen": seen}
    work = {
        "started": first, "passed": first + 605, "checks": 1, "evidence": proof, "seed": seed.digits,
        "files": {name: (folder / name).read_text() for name in one.about.files},
    }  # fmt: skip
    return {
        "version": 1, "student": "Ada", "seed": TEACHER.klass.seed("Ada"), "made": first + 700, "machine": machine,
        "exercises": {one.name: work},
    }  # fmt: skip


@BOTH
def test_a_grader_judges_by_the_records(one: Exercise, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Right answers are shown, a wrong one is named, another's records contradict, another's case is flagged."""
    monkeypatch.setattr("handed.NOW", time.time() + 3600)
    honest = handed_in(one, ADA, tmp_path / "honest")
    changed, copied, bare = (json.loads(json.dumps(honest)) for _ in range(3))
    files = changed["exercises"][one.name]["files"]
    name = next(iter(solved(one, ADA, made_for(one)).answers))
    files["answers.toml"] = re.sub(rf"^{name} = .*$", f'{name} = "x"', files["answers.toml"], flags=re.MULTILINE)
    copied["exercises"][one.name]["seed"] = BOB.digits
    bare["exercises"][one.name]["seed"] = ""
    rows = graded(tmp_path, *map(sealed, (honest, changed, copied, bare)))
    marks = [row.marks[one.name] for row in rows]
    assert [mark.state for mark in marks] == ["shown", "contradicted", "contradicted", "contradicted"], marks
    assert marks[1].why == f"{name} is wrong"
    assert marks[3].why == "the seed of its case is missing"
    assert f"{one.name}: its case is another student's" in rows[0].flags  # ADA is no seed of this class or key
    assert not any("another time" in flag for row in rows for flag in row.flags)  # the log is older than the check


@BOTH
def test_a_damaged_log_is_told(one: Exercise) -> None:
    """No record, the beginning alone, the log of another exercise: each is a ValueError."""
    lines = made_for(one).files[cases.LOG].decode().splitlines()
    other = made_for(FORGER if one == CULPRIT else CULPRIT).files[cases.LOG].decode().splitlines()
    for damaged in (["no record"], lines[: len(lines) // 9], other, []):
        with pytest.raises(ValueError):
            SOLVERS[one.about.case](Case.of(one.about.case, ADA), parsed(damaged))


def test_a_damaged_log_teaches(tmp_path: Path) -> None:
    """The check says that the log is not as it was made, and how to get another."""
    folder = worked(FORGER, made_for(FORGER), tmp_path / "a")
    (folder / cases.LOG).write_bytes(b"no record\n")
    failed = checking.check(FORGER, folder).failed
    assert failed and all("lab exercise reset N makes another log" in failure.message for failure in failed)


@pytest.mark.needs("ausearch")
def test_ausearch_reads_the_log(tmp_path: Path) -> None:
    """`ausearch -if` finds the same logins."""
    log = tmp_path / cases.LOG
    log.write_bytes(made_for(FORGER).files[cases.LOG])
    words = ["ausearch", "-if", str(log), "-m", "LOGIN", "--raw"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60, stdin=subprocess.DEVNULL)
    numbers = {event.serial for event in parsed(done.stdout.splitlines())}
    assert numbers == {event.serial for event in forger.logins(events_of(made_for(FORGER)))}


def state() -> tuple[list[bytes], int, set[str]]:
    """What a run may change: rules, the flag, folders in /run/lab."""
    with AuditControl() as control:
        stay = {"journal", "check", "interpreter", "seccomp"}  # `lab restore` takes away the last two
        names = {path.name for path in DIRECTORY.iterdir()} - stay
        return control.rules(), control.status().enabled, names


def test_five_thousand_events_take_seconds_and_leave_nothing() -> None:
    """The real size, with one solution; rules, flag and folders are as before."""
    before, began = state(), time.monotonic()
    made = beginning.made_of(FORGER, BOB)
    assert time.monotonic() - began < 30
    assert state() == before
    events = events_of(made)
    assert len(events) == beginning.EVENTS
    assert solved(FORGER, BOB, made).answers
    calls = Counter(syscall_of(event) for event in events if "arch" in event.records[0].fields)
    assert calls["execve"] > 100 and calls["openat"] > 2000


@pytest.mark.parametrize("seconds", [0.9, 1.8])
def test_a_killed_start_is_restored(seconds: float, tmp_path: Path, scripts: Path) -> None:
    """kill -9 in the middle: the folder of the exercise is not there, and `lab restore` takes back the rest."""
    before = state()
    words = [str(scripts / "lab"), "exercise", "start", "10"]
    with subprocess.Popen(words, env={"PATH": "/usr/bin:/bin:/usr/sbin", "LAB_EXERCISES": str(tmp_path)}) as process:
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
    subprocess.run([scripts / "lab", "restore"], check=True, stdout=subprocess.DEVNULL, timeout=60)
    assert state() == before
    assert not (tmp_path / CULPRIT.name / cases.FILE).exists()

"""What `lab grade` makes of honest hand-ins and of forged ones: marks, flags, and which of two counts."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from handed import ADA, BOOT, NOW, evidence, graded, honest, lines, sealed, work

from scenarios.classroom.cell import Trial
from scenarios.classroom.exercise import find
from scenarios.classroom.grading import mark, tried
from scenarios.classroom.submission import Work

Change = Callable[[dict[str, Any]], object]


def as_work(values: dict[str, Any]) -> Work:
    """As it is read from a hand-in."""
    return Work.model_validate_json(json.dumps(values))


def test_an_honest_one(tmp_path: Path) -> None:
    """Answers and records are judged again, code is claimed, the rest is not started; there is nothing to look at."""
    row = graded(tmp_path, sealed(honest()))[0]
    states = {name: mark.state for name, mark in row.marks.items() if mark.state != "none"}
    assert states == {"00-container": "claimed", "03-record": "shown", "04-rule": "shown"}
    assert (row.student, row.points, row.flags, row.trouble, row.counts) == (ADA, 3, [], "", True)


@pytest.mark.parametrize("number", ["1", "2", "3", "7"])
def test_answers_are_judged_by_the_solution(number: str) -> None:
    """The solution's are right, the start's are not, and each answer that is wrong is named."""
    one = find(number)
    done = work(number)
    assert mark(one, as_work(done)).points == 1
    done["files"]["answers.toml"] = one.start()["answers.toml"].decode()
    found = mark(one, as_work(done))
    assert found.state == "contradicted" and " is wrong" in found.why


def test_answers_follow_the_students_own_record() -> None:
    """Another record, other answers: the solution's are wrong then."""
    done = work("3")
    done["files"]["record.log"] = done["files"]["record.log"].replace("auid=1000", "auid=1001")
    assert mark(find("3"), as_work(done)).why == "login is wrong"
    done["files"]["answers.toml"] = done["files"]["answers.toml"].replace("login = 1000", 'login = "1001"')
    assert mark(find("3"), as_work(done)).state == "shown"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda done: done.update(evidence=None), "no evidence was kept"),
        (lambda done: done["evidence"]["seen"].pop("a reader"), "a reader: nothing was kept"),
        (
            lambda done: done["evidence"]["seen"]["a reader"].update(lines=lines(1, NOW)),
            "a reader: there are records",
        ),
        (
            lambda done: done["evidence"]["seen"]["a write on the host"].update(lines=[]),
            "a write on the host: no whole record names the file",
        ),
        (
            lambda done: done["evidence"]["seen"]["a write on the host"].update(lines=lines(1, NOW, "/etc/other")),
            "a write on the host: no whole record names the file",
        ),
        (
            lambda done: done["evidence"]["seen"]["a write on the host"].update(path=""),
            "a write on the host: no whole record names the file",
        ),
        (
            lambda done: done["evidence"]["seen"]["a write on the host"].update(lines=lines(1, NOW)[:2]),
            "a write on the host: no whole record names the file",
        ),
        (
            lambda done: done["evidence"]["seen"]["a write on the host"].update(lines=["type=LIE"]),
            "a write on the host: not a line of an audit log: 'type=LIE'",
        ),
    ],
)
def test_records_that_do_not_show_it(change: Change, why: str) -> None:
    """A verdict that the records do not bear out gives no point, and says why."""
    done = work("4")
    change(done)
    found = mark(find("4"), as_work(done))
    assert (found.state, found.points, found.why) == ("contradicted", 0, why)


def test_what_was_not_passed() -> None:
    """Not started, never checked, checked: three states, and no point for any."""
    one = find("3")
    assert mark(one, None).state == "none"
    assert mark(one, Work(started=1)).state == "begun"
    found = mark(one, Work(started=1, checks=4))
    assert (found.state, found.why, found.points) == ("tried", "4 checks", 0)


def test_a_trial_counts_for_what_it_judges() -> None:
    """A whole one shows the code; one that misses something, or that did not run, leaves it claimed, and says so."""
    one, done = find("2"), as_work(work("2"))
    partly = replace(one, about=one.about.model_copy(update={"trial_misses": "the races"}))
    assert mark(one, done, Trial(True)).state == "shown"
    found = [mark(partly, done, Trial(True)), mark(one, done, Trial(False, ("it is late",)))]
    assert [(one.state, one.why) for one in found] == [
        ("claimed", "not judged here: walk.sh; it ran and did what it should; not tried: the races"),
        ("claimed", "not judged here: walk.sh; it is late"),
    ]
    assert mark(one, done, Trial(True, ("line 2 is wrong",))).why == "line 2 is wrong"


def test_code_that_was_not_handed_in_is_not_run() -> None:
    """A pass without the file that the trial is for is contradicted, and no container is started."""
    done = work("2")
    del done["files"]["walk.sh"]
    one = find("2")
    assert tried({one.name: as_work(done)}, [one], lambda _: pytest.fail("it was run")) == {}
    found = mark(one, as_work(done))
    assert (found.state, found.why) == ("contradicted", "there is no walk.sh")


def of_rule(**values: Any) -> Change:
    """Change these of exercise 4."""
    return lambda body: body["exercises"]["04-rule"].update(values)


def of_evidence(**values: Any) -> Change:
    """Change these of the evidence of exercise 4."""
    return lambda body: body["exercises"]["04-rule"]["evidence"].update(values)


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        (lambda body: body.update(seed="0" * 32), "the seed is not the one of this name"),
        (lambda body: body.update(made=NOW + 2 * 86400), "it was made in the future"),
        (lambda body: body.update(made=NOW - 40 * 86400), "it was made before the class was"),
        (lambda body: body.update(made=NOW - 7000), "04-rule: passed after it was handed in"),
        (lambda body: body["exercises"].update({"99-none": {}}), "unknown exercise 99-none"),
        (of_rule(started=0), "04-rule: passed, and never started"),
        (of_rule(started=NOW - 6800), "04-rule: passed before it was started"),
        (of_rule(started=NOW - 6900.4), "04-rule: passed 0.40 s after the start, which is less than its check takes"),
        (of_rule(checks=0), "04-rule: passed without a check"),
        (
            of_rule(predictions={"filter": {"answer": "no", "time": NOW - 6000}}),
            "04-rule: predicted after it was passed",
        ),
        (of_rule(evidence=evidence(NOW - 7300)), "04-rule: its check began before the exercise was started"),
        (of_rule(passed=NOW - 6000), "04-rule: its check ended at another time than it was passed"),
        (of_evidence(began=NOW - 6900.1), "04-rule: its check took less time than a check takes"),
        (of_evidence(began=NOW - 6900.6), "04-rule: records of another time than the check's"),
    ],
)
def test_what_cannot_be_is_flagged(tmp_path: Path, change: Change, flag: str) -> None:
    """An honest hand-in with one thing changed, signed: the flag names the exercise and says what is odd."""
    body = honest()
    change(body)
    row = graded(tmp_path, sealed(body))[0]
    assert row.trouble == "" and flag in row.flags


def test_copied_evidence_is_flagged_on_both(tmp_path: Path) -> None:
    """The same serials of the same boot at the same time cannot be two students'; others' are not flagged."""
    rows = graded(tmp_path, sealed(honest()), sealed(honest("Bob")), sealed(honest("Eve", 500)))
    flags = [[flag for flag in row.flags if "records" in flag] for row in rows]
    where = [row.label for row in rows[:2]]
    assert flags == [[f"the same audit records as {where[1]}"], [f"the same audit records as {where[0]}"], []]


def test_the_same_serials_of_another_boot_are_not(tmp_path: Path) -> None:
    """Each boot counts anew."""
    other = honest("Bob")
    other["exercises"]["04-rule"]["evidence"]["machine"]["boot"] = BOOT.replace("e7", "00")
    assert [row.flags for row in graded(tmp_path, sealed(honest()), sealed(other))] == [[], []]


def test_a_copied_record_log_is_flagged(tmp_path: Path) -> None:
    """The record that everybody begins with is nobody's; one that a student has caused is."""
    bodies = [honest(), honest("Bob", 500)]
    assert [row.flags for row in graded(tmp_path, *map(sealed, bodies))] == [[], []]
    for body in bodies:
        body["exercises"]["03-record"]["files"]["record.log"] = "\n".join(lines(77, NOW - 7000))
    rows = graded(tmp_path, *map(sealed, bodies))
    assert all("the same audit records as" in row.flags[0] for row in rows)


def test_a_seed_of_two_keys_and_a_key_of_two_names(tmp_path: Path) -> None:
    """Somebody hands in under another's name; somebody was given another's key. Nobody's file is hidden by that."""
    key = secrets.token_bytes(32)
    rows = graded(tmp_path, sealed(honest(), key), sealed(honest("ada lovelace", 500)), sealed(honest("Bob", 900), key))
    assert rows[0].flags == [
        f"the same key, and another name, as {rows[2].label}",
        f"the same seed, and another key, as {rows[1].label}",
    ]
    assert rows[1].flags == [f"the same seed, and another key, as {rows[0].label}"]
    assert rows[2].flags == [f"the same key, and another name, as {rows[0].label}"]
    assert all(row.counts for row in rows)


def test_the_last_of_a_students_counts(tmp_path: Path) -> None:
    """By the time in it, not by the order of the files; handing in twice is no reason to ask."""
    key = secrets.token_bytes(32)
    early = honest()
    early["made"] = NOW - 120
    rows = graded(tmp_path, sealed(honest(), key), sealed(early, key))
    assert [row.counts for row in rows] == [True, False]
    assert (rows[1].later, rows[0].flags, rows[1].flags) == (rows[0].file, [], [])

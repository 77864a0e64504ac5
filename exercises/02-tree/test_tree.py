"""Exercise 2: the student's walk beside the kernel's own chains of parents, while both containers run."""

from collections.abc import Mapping

import pytest

from lab.identity import ancestry
from scenarios import needs
from scenarios.classroom.lessons import PROGRAM, Work, teach
from scenarios.performance.text import message
from scenarios.stage.commands import WORKLOAD
from scenarios.stage.engines import DAEMON, FORK, Model
from scenarios.stage.report import Outcome
from scenarios.stage.stage import Stage


def watched(work: Work, stage: Stage, model: Model) -> Outcome:
    """The container has run; facts["walked"] is what walk.sh printed of it meanwhile."""
    script = work.shell("walk.sh")

    def look(pid: int) -> Mapping[str, str]:
        done = needs.run(["sh", "-c", script, "walk.sh", str(pid)], seconds=20)
        return {"walked": done.stdout, "error": done.stderr, "first": str(pid)}

    return stage.run_watched(stage.engine(model), WORKLOAD, look=look)


@pytest.mark.parametrize("model", [FORK, DAEMON], ids=["podmanish", "dockerish"])
def test_walk(work: Work, stage: Stage, model: Model) -> None:
    """Each process from the container to pid 1 has a line with its pid and its loginuid."""
    outcome = watched(work, stage, model)
    rows = [line.split() for line in outcome.facts["walked"].splitlines() if line.strip()]
    walked = [(row[0], row[-1]) for row in rows]
    right = [(str(process.pid), str(process.loginuid)) for process in outcome.ancestry]
    where = next((number for number, pair in enumerate(right) if walked[number : number + 1] != [pair]), len(right))
    expected = f"{len(right)} lines, from the container's pid {right[0][0]} to pid 1"
    if where < len(right):
        expected = f"line {where + 1} of {len(right)}: pid {right[where][0]}, loginuid {right[where][1]}"
    seen = " ".join(rows[where]) if where < len(rows) else outcome.facts["error"].strip() or "no line"
    look = "the line `PPid:` in /proc/PID/status, and /proc/PID/loginuid"
    teach(walked == right, expected=expected, seen=seen, look=look)


def test_who_forked(work: Work, stage: Stage) -> None:
    """The parent of each container's first process."""
    answers = work.answers()
    for model, name in ((FORK, "forked_by"), (DAEMON, "served_by")):
        outcome = watched(work, stage, model)
        answers.expect(name, ancestry_names(outcome)[1], "the second line of the walk", kind=PROGRAM)


def ancestry_names(outcome: Outcome) -> list[str]:
    """The names of the chain, from the container up."""
    return [process.comm for process in outcome.ancestry]


def test_where_it_is_lost(work: Work, stage: Stage) -> None:
    """No fork of the daemon's chain loses it: labd has none."""
    labds = {process.loginuid for process in ancestry(stage.daemon.pid)}
    answers = work.answers()
    look = f"/proc/{stage.daemon.pid}/loginuid (labd), and each line of the walk: does any of them lose a number?"
    assert labds, "labd has ended"
    answers.expect("lost_over", "socket", look, kind=message("a fork, an exec or a socket"))
    look = "the last program on the way that still has your loginuid"
    answers.expect("lost_from", "dockerish", look, kind=PROGRAM)
    answers.expect("lost_to", "labd", "the program that listens at the other end", kind=PROGRAM)

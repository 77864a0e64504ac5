"""Exercise 6: the story `run`, played with the student's change, which only this process and its children see."""

from collections.abc import Iterator, Mapping

import pytest

from lab.identity import UNSET
from scenarios.classroom import room
from scenarios.classroom.changing import changed, seen_there
from scenarios.classroom.lessons import Work, teach
from scenarios.classroom.plugin import KernelSaid
from scenarios.performance.beats import FAILED, UNKNOWN
from scenarios.performance.text import message
from scenarios.playing import chosen, tell
from scenarios.stage.engines import DAEMON, FORK
from scenarios.stage.report import Verdict

COUNT = message("a number from 0 to 3")
HOST = 1  # the claim of what the host's /proc says of podmanish's container
ENGINES = {FORK: slice(0, 3), DAEMON: slice(3, 6)}  # of the story's claims, in their order


@pytest.fixture(scope="module")
def verdicts() -> Iterator[Mapping[str, list[Verdict]]]:
    """What the story said, by the text of the change: it is played once for each."""
    yield {}


def played(work: Work, verdicts: dict[str, list[Verdict]]) -> list[Verdict]:
    """The story's claims, with the change."""
    key = work.read("change.toml")
    if key not in verdicts:
        path, text = changed(work)
        with seen_there(text, path), room.stage() as stage:
            verdicts[key] = tell(stage, chosen(["run"])[0]).claims
    return verdicts[key]


def test_the_fork_is_broken(work: Work, verdicts: dict[str, list[Verdict]]) -> None:
    """podmanish's container lost the login's number, and still ran."""
    claims = played(work, verdicts)
    unknown = [f"{claim.claim}: {claim.seen}" for claim in claims if claim.verdict == UNKNOWN]
    expected = "podmanish still runs its container"
    teach(
        not unknown, expected=expected, seen=(unknown or [""])[0], look="change.toml: is that an argument of spawn()?"
    )
    fallen = [claim for claim in claims[ENGINES[FORK]] if claim.verdict == FAILED]
    expected = "the loginuid of podmanish's container is not the login's"
    teach(bool(fallen), expected=expected, seen="it still is", look="lab/runtime/__init__.py, spawn()")
    number = claims[HOST].seen
    look = "docs/glossary.md, unset: which number stands for nobody? Another number is another login"
    teach(number == str(UNSET), expected="the container's loginuid is unset, nobody's", seen=number, look=look)


def test_dockerish_is_as_before(work: Work, verdicts: dict[str, list[Verdict]]) -> None:
    """The change is podmanish's alone."""
    fallen = [claim for claim in played(work, verdicts)[ENGINES[DAEMON]] if claim.verdict == FAILED]
    seen = "; ".join(f"{claim.claim}: {claim.seen}" for claim in fallen)
    look = "both engines use lab/runtime; podmanish alone uses lab/forker"
    teach(not fallen, expected="dockerish's container is as before", seen=seen, look=look)


def test_the_count(work: Work, verdicts: dict[str, list[Verdict]], kernel_said: KernelSaid) -> None:
    """How many claims fall."""
    claims, answers = played(work, verdicts), work.answers()
    counts = {model: sum(claim.verdict == FAILED for claim in claims[part]) for model, part in ENGINES.items()}
    kernel_said("falls", counts[FORK])
    look = "`sudo .venv/bin/python -m scenarios.classroom.changing` plays the story with your change: count"
    answers.expect("podmanish", counts[FORK], look, kind=COUNT)
    answers.expect("dockerish", counts[DAEMON], look, kind=COUNT)

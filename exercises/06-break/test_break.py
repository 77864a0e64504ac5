"""Exercise 6: the story `run`, played with the student's change, which only this process and its children see."""

import ctypes
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import interpreter
from lab.syscalls import CLONE_NEWNS, MNT_DETACH, umount2
from scenarios.classroom import room
from scenarios.classroom.lessons import Work, teach
from scenarios.classroom.plugin import KernelSaid
from scenarios.performance.beats import FAILED, UNKNOWN
from scenarios.playing import chosen, tell
from scenarios.stage.engines import DAEMON, FORK
from scenarios.stage.report import Verdict

CHECKOUT = Path(__file__).parent.parent.parent
ENGINES = {FORK: slice(0, 3), DAEMON: slice(3, 6)}  # of the story's claims, in their order


def changed(work: Work) -> tuple[Path, str]:
    """The file of the checkout, and its text with the student's change."""
    change = work.answers("change.toml")
    path = (CHECKOUT / str(change["file"])).resolve()
    own = path.is_relative_to(CHECKOUT / "lab") and path.is_file()
    teach(own, expected="file is one below lab/", seen=change["file"], look="change.toml")
    text, line = path.read_text(), str(change["line"]).strip()
    number = sum(each.strip() == line for each in text.splitlines())
    look = f"{change['file']}: the whole line, without the blanks before it"
    teach(number == 1, expected="line stands in that file once", seen=f"{number} times: {line}", look=look)
    lines = [each.replace(line, str(change["instead"])) if each.strip() == line else each for each in text.splitlines()]
    wrong = ""
    try:
        compile("\n".join(lines), str(path), "exec")
    except SyntaxError as error:
        wrong = f"line {error.lineno}: {error.msg}"
    teach(not wrong, expected="the file is Python with your line, too", seen=wrong, look="change.toml, instead")
    return path, "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def verdicts() -> Iterator[Mapping[str, list[Verdict]]]:
    """What the story said, by the text of the change: it is played once for each."""
    yield {}


def played(work: Work, verdicts: dict[str, list[Verdict]]) -> list[Verdict]:
    """The story's claims, with the change."""
    key = work.read("change.toml")
    if key not in verdicts:
        path, text = changed(work)
        interpreter.executable()  # the one mount that is to stay, so it is made outside
        with seen_there(text, path), room.stage() as stage:
            verdicts[key] = tell(stage, chosen(["run"])[0]).claims
    return verdicts[key]


@contextmanager
def seen_there(text: str, path: Path) -> Iterator[None]:
    """The text stands in that file, for this process and its children alone; mount_namespaces(7)."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(text)
        file.flush()
        subprocess.run(["mount", "--bind", file.name, path], check=True)
        try:
            yield
        finally:
            umount2(str(path), MNT_DETACH)  # an editor runs other exercises in this process, too


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
    look = "`sudo .venv/bin/lab run run --auto` names the claims"
    answers.expect("podmanish", counts[FORK], look)
    answers.expect("dockerish", counts[DAEMON], look)

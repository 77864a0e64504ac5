"""Every exercise: its check passes from the solution, and fails from the start and from each wrong way, as said."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from made import made_for

from scenarios.classroom.exercise import EXERCISES, Exercise, every
from scenarios.classroom.seeds import filled, filled_text

CHECKOUT = Path(__file__).parent.parent.parent
ALL = every()
BY_NAME = {one.name: one for one in ALL}
WAYS = [(one.name, way) for one in ALL for way in ("solution", "start", *one.wrong())]
SECONDS = 150


def needed(name: str) -> pytest.MarkDecorator:
    """The mark for what the check of an exercise needs."""
    return pytest.mark.needs(*BY_NAME[name].about.needs)


def checked(one: Exercise, files: Mapping[str, bytes], place: Path, way: str) -> subprocess.CompletedProcess[str]:
    """What `pytest exercises/NN-name --work DIR` says of these files."""
    work = place / one.name
    work.mkdir()
    for name, data in files.items():
        (work / name).write_bytes(data)
    if way != "start" and "find.py" in files:  # it writes the answers
        subprocess.run([sys.executable, "find.py"], cwd=work, check=True, timeout=SECONDS)
    words = [sys.executable, "-m", "pytest", "-rs", str(one.folder), "--work", str(work)]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=CHECKOUT, stdin=subprocess.DEVNULL
    ) as process:
        try:
            output, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)  # it takes back what it has set up
            output, _ = process.communicate(timeout=SECONDS)
        return subprocess.CompletedProcess(words, process.returncode, output)


def folded(text: str) -> str:
    """A text on one line: a message is folded to the width of a terminal."""
    return re.sub(r"\s+", " ", text)


@pytest.mark.parametrize(("name", "way"), [pytest.param(*row, marks=needed(row[0]), id="/".join(row)) for row in WAYS])
def test_a_check_tells_the_solution_from_everything_else(name: str, way: str, tmp_path: Path) -> None:
    """The solution passes with no test left out; anything else fails, a wrong way with the words that it names."""
    one = BY_NAME[name]
    made = made_for(one)
    files = {"solution": one.solution, "start": one.start}.get(way, lambda: one.wrong()[way])()
    done = checked(one, {**filled(files, made.names), **made.files}, tmp_path, way)
    assert "skipped" not in done.stdout, done.stdout
    assert not re.search(r"^E  ", done.stdout, re.MULTILINE), done.stdout  # a check that crashes teaches nothing
    assert done.returncode == (0 if way == "solution" else 1), done.stdout
    if way not in ("solution", "start"):
        assert folded(filled_text(one.expected(way), made.names)) in folded(done.stdout), done.stdout


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_an_exercise_is_whole(one: Exercise) -> None:
    """There are a page, a check and at least one wrong way; a page names its exercise, its minutes and its check."""
    page = (one.folder / "README.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {one.number}. {one.about.title}\n")
    assert f"{one.about.minutes} minutes" in folded(page)
    assert f"lab exercise check {one.number}`" in page and f"pytest exercises/{one.name}`" in page
    assert len(list(one.folder.glob("test_*.py"))) == 1
    assert one.wrong()


def test_no_two_checks_have_the_same_name() -> None:
    """Editors collect all of them at once."""
    names = [path.name for path in EXERCISES.glob("*/test_*.py")]
    assert len(names) == len(set(names))


def test_the_numbers_have_no_gap() -> None:
    """An exercise is called by its number."""
    assert [one.number for one in ALL] == list(range(len(ALL)))


@pytest.fixture(autouse=True)
def _a_students_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check depends neither on this user's settings nor on the plugins of the tests, which take 2 s to load."""
    for name in [name for name in os.environ if name.startswith("LAB_EXERCISES")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

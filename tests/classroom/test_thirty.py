"""A class of thirty, graded as docs/teacher.md says: the good, the slow, the stuck, the copying and the hostile."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from handed import AS_ROOT
from thirty import BOMBS, CLASS, COPIES, GOOD, ODD, SLOW, STUCK, WRONG

pytestmark = pytest.mark.needs("root", "cgroups")

LAB = Path(sys.executable).with_name("lab")
Rows = Mapping[str, Mapping[str, str]]
NAMES = ("00-container", "01-loginuid", "02-tree", "03-record", "04-rule")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The teacher's folder, graded with one command."""
    folder = tmp_path_factory.mktemp("class") / "hand-ins"
    made = [*AS_ROOT, sys.executable, str(Path(__file__).with_name("thirty.py")), str(folder)]
    subprocess.run(made, capture_output=True, check=True, timeout=120)
    files = sorted(folder.glob("*.handin"))
    assert len(files) == 31  # thirty students, and one file that is damaged
    words = [str(LAB), "grade", "--key", f"{folder / CLASS}.key", "-o", str(folder / "grades"), *map(str, files)]
    begin = time.monotonic()
    done = subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, "NO_COLOR": "1"})
    print(f"graded in {time.monotonic() - begin:.1f} s")
    assert done.returncode == 3, done.stderr
    assert "it is damaged, or it is for another class" in " ".join(done.stdout.split())
    return folder


@pytest.fixture(scope="module")
def rows(room: Path) -> Rows:
    """The lines of grades.csv by the student's name."""
    with (room / "grades/grades.csv").open(newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def test_the_good_have_every_point(rows: Rows) -> None:
    """Answers, code and records are shown again; there is nothing to look at."""
    for name in GOOD:
        assert [rows[name][exercise] for exercise in NAMES] == ["shown"] * 5, name
        assert (rows[name]["points"], rows[name]["flags"], rows[name]["counts"]) == ("5", "", "yes")


def test_the_slow_and_the_stuck_are_told_apart(rows: Rows) -> None:
    """The first have not begun exercise 3; the others have tried it."""
    assert {rows[name]["03-record"] for name in SLOW} == {"none"}
    assert {rows[name]["03-record"] for name in STUCK} == {"tried"}
    assert {rows[name]["points"] for name in (*SLOW, *STUCK)} == {"3"}


def test_code_that_does_not_do_it_is_found(rows: Rows) -> None:
    """Code that does something else, or that is a bomb, contradicts its pass; the rest keeps its points."""
    for name, wrong in {**WRONG, **BOMBS}.items():
        number = int(next(iter(wrong)))
        assert rows[name][NAMES[number]] == "contradicted", name
        assert rows[name]["points"] == "4"


def test_a_copied_folder_is_flagged_on_both(rows: Rows) -> None:
    """The same key under two names; with another key, the same records."""
    for name in COPIES[:2]:
        assert "the same key, and another name, as" in rows[name]["flags"]
    for name in COPIES:
        assert "the same audit records as" in rows[name]["flags"]


def test_nobody_else_is_flagged(rows: Rows) -> None:
    """No honest student has a flag."""
    assert {name for name, row in rows.items() if row["flags"]} == {*COPIES}


def test_a_name_that_is_code_is_a_name(room: Path, rows: Rows) -> None:
    """It is shown, in the table with an apostrophe before it."""
    assert rows[f"'{ODD}"]["points"] == "5"
    assert "<script>" not in (room / "grades/summary.html").read_text()


def test_the_summary_names_those_who_are_stuck(room: Path) -> None:
    """In the row of exercise 3, each with the checks and hints that were not enough."""
    text = (room / "grades/summary.html").read_text()
    row = text[text.index("3. Read an audit record") :].partition("</tr>")[0]
    assert all(f"{name} (9 checks, 3 of 3 hints)" in row for name in STUCK)

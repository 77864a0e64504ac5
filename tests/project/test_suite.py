"""tools/suite: what JOBS=2 runs beside each other, and what it does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tools import suite

CHECKOUT = Path(__file__).parent.parent.parent


def test_no_two_files_have_the_same_name() -> None:
    """pytest takes a file by its bare name: of two with one name it collects the first alone, and reports an error."""
    names = [path.name for path in (CHECKOUT / "tests").rglob("test_*.py")]
    assert sorted({*names}) == sorted(names)


@pytest.mark.parametrize("pattern", suite.BESIDE)
def test_each_pattern_has_files(pattern: str) -> None:
    """A file that was renamed or removed must be so in the list, too."""
    assert list(CHECKOUT.glob(pattern))
    assert all((CHECKOUT / name).exists() for name in suite.ALONE)


@pytest.mark.parametrize("name", suite.beside())
def test_what_runs_beside_others_leaves_the_kernels_audit_alone(name: str) -> None:
    """There is one audit in a kernel: a test that needs it runs alone; so does one that looks for what is left."""
    text = (CHECKOUT / name).read_text()
    assert '"audit"' not in text
    assert "observe()" not in text


def test_no_test_is_left_out() -> None:
    """The second pytest leaves out exactly the files that the first has run; with one process there is one pytest."""
    together, others = suite.parts(2, ["-x"])
    files = [word for word in together if word.startswith("tests/")]
    assert files and [f"--ignore={name}" for name in files] == others[1:]
    assert suite.parts(1, ["-x"]) == [["-x"]]


@pytest.mark.parametrize(
    ("statuses", "status"), [([0, 0], 0), ([0, 1], 1), ([1, 0], 1), ([0, 5], 0), ([5, 5], 5), ([2, 1], 2)]
)
def test_a_failure_of_either_part_is_one(
    statuses: list[int], status: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A part in which no test was selected (5) is none, unless the other has none, too."""
    left = list(statuses)

    def run(words: Sequence[str], **options: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.CompletedProcess(words, left.pop(0))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JOBS", "2")
    monkeypatch.setattr(subprocess, "run", run)
    assert suite.main(["-k", "page"]) == status
    assert left == []


@pytest.mark.parametrize(("jobs", "words", "said"), [("two", [], "no number"), ("2", ["tests/lab"], "for all tests")])
def test_what_jobs_cannot_do_is_one_sentence(jobs: str, words: list[str], said: str) -> None:
    """JOBS wants a number, and all tests."""
    command = ["env", f"JOBS={jobs}", sys.executable, "-m", "tools.suite", *words]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1 and said in done.stderr and done.stdout == ""

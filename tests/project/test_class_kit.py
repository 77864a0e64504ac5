"""`make class-kit`: what students get works and gives nothing away; what their teacher gets is whole; both repeat."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from handed import AS_ROOT

from scenarios.classroom.exercise import Exercise, every, find
from scenarios.languages.choice import LANGUAGES
from tools import class_kit

CHECKOUT = Path(__file__).parent.parent.parent
ALL = every()
STUDENTS, TEACHER = "loginuid-lab-students.tar.gz", "loginuid-lab-teacher.tar.gz"
# The student's page begins with this whole engine; exercise 0 asks for the same again, from one with gaps.
GIVEN = {"docs/zero.py"}

pytestmark = pytest.mark.needs("git")


@pytest.fixture(scope="module")
def kit() -> Mapping[str, bytes]:
    """Both archives."""
    return class_kit.archives(CHECKOUT)


def members(data: bytes) -> dict[str, bytes]:
    """The files of an archive by their path in the checkout."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = {entry.name: tar.extractfile(entry) for entry in tar}
        return {name.removeprefix(f"{class_kit.TOP}/"): file.read() for name, file in found.items() if file}


@pytest.fixture(scope="module")
def students(kit: Mapping[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The students' archive, unpacked."""
    return unpacked(kit[STUDENTS], tmp_path_factory.mktemp("students"))


def unpacked(data: bytes, place: Path) -> Path:
    """The folder that `tar xf` makes."""
    subprocess.run(["tar", "xzf", "-", "-C", place], input=data, check=True)
    return place / class_kit.TOP


def own(files: Mapping[str, bytes], start: Mapping[str, bytes]) -> list[str]:
    """The runs of two lines and more that a solution or a wrong way adds to what students begin with."""
    runs = []
    for name, data in files.items():
        begun, run = set(start[name].decode().splitlines()), list[str]()
        for line in [*data.decode().splitlines(), *begun]:
            if line in begun:
                runs += ["\n".join(run)] if len(run) > 1 else []
                run = []
            else:
                run.append(line)
    return runs


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_students_get_no_answers(kit: Mapping[str, bytes], one: Exercise) -> None:
    """No file of theirs is one of a solution or of a wrong way, and none holds the lines that make the difference."""
    files = members(kit[STUDENTS])
    given = {data for data in files.values() if data.strip()}
    assert f"exercises/{one.name}/exercise.toml" in files
    for way in (one.solution(), *one.wrong().values()):
        changed = {name: data for name, data in way.items() if data != one.start().get(name)}
        assert not given & set(changed.values())
        for run in own(changed, one.start()):
            assert not [name for name, data in files.items() if run.encode() in data and name not in GIVEN], run


def test_students_get_no_page_of_the_teachers(kit: Mapping[str, bytes]) -> None:
    """Neither solutions and wrong ways, nor the quiz with its key in any language, nor the tests."""
    files = members(kit[STUDENTS])
    assert not [name for name in files if class_kit.TEACHERS.fullmatch(name) or "/solution/" in name]
    quizzes = {f"docs/class/quiz{ending}.html" for ending in ("", *(f".{code}" for code in LANGUAGES if code != "en"))}
    assert quizzes <= members(kit[TEACHER]).keys() and not [name for name in files if "quiz" in name]
    assert class_kit.ANSWERS not in files and "docs/class/worksheet.html" in files and "docs/student.md" in files


def lab(checkout: Path, place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command `lab` of that checkout, with this venv's packages."""
    code = "import sys; from scenarios.cli import main; sys.exit(main(sys.argv[1:]))"
    environment = {**os.environ, "PYTHONPATH": str(checkout), "LAB_EXERCISES": str(place), "NO_COLOR": "1"}
    return subprocess.run(
        [*AS_ROOT, sys.executable, "-c", code, *words], cwd=checkout, env=environment, capture_output=True, text=True,
        check=False, stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip


def test_students_can_work_with_theirs(students: Path, tmp_path: Path) -> None:
    """List, start, a check that fails and one that passes; the solution is the teacher's."""
    listed = lab(students, tmp_path / "place", "exercise", "list")
    assert all(one.about.title in listed.stdout for one in ALL)
    assert lab(students, tmp_path / "place", "exercise", "start", "3").returncode == 0
    assert lab(students, tmp_path / "place", "exercise", "check", "3").returncode == 1
    told = [lab(students, tmp_path / "place", "exercise", "hint", "3").stdout for _ in range(3)]
    assert "Ask your teacher for the solution." in told[-1] and "lab exercise solution" not in "".join(told)
    asked = lab(students, tmp_path / "place", "exercise", "solution", "3")
    assert asked.returncode != 0 and "this checkout has no solution of 03-record" in asked.stderr
    (tmp_path / "place/03-record/answers.toml").write_bytes(find("3").solution()["answers.toml"])
    assert lab(students, tmp_path / "place", "exercise", "check", "3").returncode == 0


def test_the_teachers_is_whole(kit: Mapping[str, bytes]) -> None:
    """Every file that git knows, as it stands, executable where it is so, and the page of wrong answers."""
    files = members(kit[TEACHER])
    assert set(files) == {*class_kit.known(CHECKOUT), class_kit.ANSWERS}
    assert files["Makefile"] == (CHECKOUT / "Makefile").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(kit[TEACHER])) as tar:
        modes = {entry.name.removeprefix(f"{class_kit.TOP}/"): entry.mode for entry in tar}
    assert (modes["tools/setup"], modes["Makefile"]) == (0o755, 0o644)


def test_the_same_bytes_from_the_teachers_archive(kit: Mapping[str, bytes], tmp_path: Path) -> None:
    """It needs no git, and makes both again, whatever the hour, the user's mask and the order of a directory."""
    assert class_kit.archives(unpacked(kit[TEACHER], tmp_path)) == kit


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_common_wrong_answers_are_the_exercises_own(one: Exercise) -> None:
    """The page has each way with the check's words; ways.toml has a sentence for each, and no other."""
    page = class_kit.wrong_answers([one])
    assert f"## {one.number}. {one.about.title} ({one.about.minutes} minutes)" in page
    for way in one.wrong():
        row = next(line for line in page.splitlines() if line.startswith(f"| {way.replace('-', ' ')} |"))
        assert row.endswith(f"| {' '.join(one.expected(way).split())} |")
    path = one.folder / "wrong/ways.toml"
    if path.exists():
        assert set(tomllib.loads(path.read_text())) == set(one.wrong())

"""`lab class new`, `lab exercise submit` and `lab grade`, as a teacher and a student type them; without a network."""

from __future__ import annotations

import csv
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from handed import AS_ROOT, TEACHER, lines

from lab.errors import Conflict, InvalidArgument
from scenarios.classroom import classes, submission
from scenarios.classroom.cases import Case
from scenarios.classroom.checking import check
from scenarios.classroom.classes import Class, TeacherKey, named
from scenarios.classroom.desk import KEY, PROGRESS, Desk
from scenarios.classroom.evidence import Evidence
from scenarios.classroom.exercise import Exercise, every, find
from scenarios.classroom.seeds import Seed
from scenarios.classroom.student import Student
from scenarios.classroom.verbs import keep

LAB = str(Path(sys.executable).parent / "lab")
RECORD = find("3")
KLASS = TEACHER.klass


def lab(here: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Typed in that folder, whose `place` is the student's."""
    environment = {**os.environ, "LAB_EXERCISES": str(here / "place"), "NO_COLOR": "1"}
    environment.pop("SUDO_UID", None)
    return subprocess.run(
        [*AS_ROOT, LAB, *words], env=environment, cwd=here, capture_output=True, text=True, check=False, timeout=60,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A student's, of this process's user."""
    return Desk(Student(os.geteuid(), os.getegid(), "ada", tmp_path / "place"))


def test_from_a_class_to_its_grades(tmp_path: Path) -> None:
    """A class, an exercise, a hand-in, the reports; the name and the class are given once."""
    made = lab(tmp_path, "class", "new", "os-2026")
    code = (tmp_path / "os-2026.class").read_text().strip()
    assert made.returncode == 0 and code in made.stdout and "secret" not in made.stdout
    assert stat.S_IMODE((tmp_path / "os-2026.key").stat().st_mode) == 0o600
    again = lab(tmp_path, "class", "new", "os-2026")
    assert (again.returncode, again.stderr.splitlines()[0]) == (125, "lab: os-2026.key exists already")
    lab(tmp_path, "exercise", "start", "3")
    asked = lab(tmp_path, "exercise", "submit")
    assert asked.stderr.startswith("lab: which class is it, and what is your name?")
    (tmp_path / "place/03-record/answers.toml").write_bytes(RECORD.solution()["answers.toml"])
    assert lab(tmp_path, "exercise", "check", "3").returncode == 0
    first = lab(tmp_path, "exercise", "submit", "--class", code, "--name", " Ada\tLovelace ", "-o", "first.handin")
    assert first.returncode == 0, first.stderr
    second = lab(tmp_path, "exercise", "submit")
    assert "1 of 1 exercises passed" in second.stdout and "For Ada Lovelace in os-2026" in second.stdout
    (last,) = (tmp_path / "place").glob("os-2026-*.handin")
    assert b"Ada" not in last.read_bytes()
    done = lab(tmp_path, "grade", "first.handin", str(last), "--key", "os-2026.key")
    assert (done.returncode, done.stderr) == (0, "") and "can forge" in done.stdout
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "grades").iterdir()}
    names = ("grades.csv", "junit.xml", "results-1.json", "results-2.json", "summary.html")
    assert files == dict.fromkeys(names, 0o600)
    rows = [*csv.DictReader((tmp_path / "grades/grades.csv").read_text().splitlines())]
    assert [(row["student"], row["points"], row["counts"]) for row in rows] == [
        ("Ada Lovelace", "1", f"no: {last}"), ("Ada Lovelace", "1", "yes")
    ]  # fmt: skip
    assert rows[1]["flags"] == rows[1]["trouble"] == ""


def test_who_has_joined_a_class_gets_the_classs_case(tmp_path: Path, desk: Desk) -> None:
    """The names follow from class and name, in the files, in the solution and in the hand-in; an edit is told."""
    done = lab(tmp_path, "exercise", "start", "8", "--class", KLASS.code, "--name", "Ada Lovelace")
    assert done.returncode == 0, done.stderr
    case, file = Case.of("frame", Seed(KLASS.seed("Ada Lovelace"))), tmp_path / "place/08-frame/case.toml"
    assert file.read_text() == case.toml()
    assert (
        f"{case.names['colleague']}, whose uid is {case.names['colleague_uid']}."
        in (tmp_path / "place/08-frame/attack.sh").read_text()
    )
    assert f"echo {case.names['colleague_uid']} >" in lab(tmp_path, "exercise", "solution", "8").stdout
    klass, name = submission.enrolled(desk)
    assert submission.gathered(desk, klass, name).exercises["08-frame"].seed == case.seed.digits
    file.write_text(case.toml().replace("colleague_uid = 2", "colleague_uid = 3"))
    for words in (("exercise", "start", "8"), ("exercise", "submit")):
        told = lab(tmp_path, *words)
        assert (told.returncode, told.stderr.splitlines()[0]) == (125, "lab: case.toml is not as it was made")


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    """It is named, the exit status is 3, and the reports are written all the same; one file has one results.json."""
    lab(tmp_path, "class", "new", "c")
    (tmp_path / "x").write_text("no hand-in")
    for _ in range(2):  # the second time the reports are replaced
        done = lab(tmp_path, "grade", "x", "--key", "c.key", "-o", "out")
        assert (done.returncode, done.stdout.splitlines()[0]) == (3, "x: this is no hand-in")
    result = json.loads((tmp_path / "out/results.json").read_text())
    assert (result["score"], result["tests"]) == (0, [])
    assert result["output"] == "This file could not be opened: this is no hand-in."


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("class", "new", "../x"), "'../x' cannot be a class's name"),
        (("class", "new", "Os"), "'Os' cannot be a class's name"),
        (("class", "new", "os", "-o", "none"), "cannot write none/os.key: No such file or directory"),
        (("grade", "x", "--key", "none"), "cannot read none: No such file or directory"),
        (("grade", "x", "--key", "damaged"), "damaged is no teacher's key"),
        (("exercise", "submit", "--class", "none", "--name", "Ada"), "cannot read none: No such file or directory"),
        (("exercise", "submit", "--class", "damaged", "--name", "Ada"), "this is no class code"),
        (("exercise", "submit", "--class", KLASS.code, "--name", "\x1b[2J"), "'\\x1b[2J' is no name"),
        (("exercise", "submit", "--class", KLASS.code, "--name", "Ada"), "there is nothing to hand in yet"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    """With what to do."""
    (tmp_path / "damaged").write_text("{}")
    done = lab(tmp_path, *words)
    assert (done.returncode, done.stderr.splitlines()[0]) == (125, f"lab: {told}")
    assert len(done.stderr.splitlines()) == 2


def test_a_code_is_read_as_people_copy_it() -> None:
    """In capitals, with blanks and line ends; a letter that differs is found."""
    code = KLASS.code
    assert Class.parse(f" {code[:20].upper()}\n  {code[20:]} \n") == KLASS
    other = "a" if code[-1] != "a" else "e"
    for wrong in (code[:-9] + other + code[-8:], code[1:], code + "a", "", ".", "x" * 5000, "é" + code[1:]):
        if wrong != code:
            with pytest.raises(InvalidArgument, match="no class code"):
                Class.parse(wrong)


def test_a_key_belongs_to_its_code(tmp_path: Path) -> None:
    """The secret of another class is found before anything is opened with it."""
    path = tmp_path / "x.key"
    other = classes.new("other")
    path.write_text(TEACHER.model_dump_json())
    assert TeacherKey.load(path) == TEACHER
    path.write_text(TEACHER.model_copy(update={"secret": other.secret}).model_dump_json())
    with pytest.raises(InvalidArgument, match="the secret is not the one of its code"):
        TeacherKey.load(path)


def test_a_seed_is_the_classs_and_the_names() -> None:
    """The same in every place and form of the name, another for another name or class; 128 bits, in this version."""
    fixed = Class("c", bytes(32))
    assert fixed.seed("Ada Lovelace") == "fb9affeb2eab0fd33680fa8a0b791d9b"
    assert KLASS.seed("Ada Lovelace") == KLASS.seed("  ADA   lovelace ") == KLASS.seed("Ada\u00a0Lovelace")
    assert KLASS.seed("Zoe\u0308") == KLASS.seed("Zo\u00eb")
    assert len({KLASS.seed("Ada"), KLASS.seed("Bob"), classes.new("os-2026").klass.seed("Ada")}) == 3


@pytest.mark.parametrize("name", ["", " ", "a\x00b", "a\x1b[0m", "\u202eabc", "a" * 81, "\ud800", "\ue000"])
def test_what_is_no_name(name: str) -> None:
    """A name is what a terminal, a page and a table can show."""
    with pytest.raises(InvalidArgument, match="is no name"):
        named(name)


@pytest.mark.parametrize(
    "name", ["Ada", "林淑芬", "Zoë O'Neil-Smith", "\u0646\u06cc\u0645\u200c\u0641", "=cmd|' /C calc'!A0"]
)
def test_what_is_a_name(name: str) -> None:
    """Any script, and what a spreadsheet would take for a formula: that is the report's care."""
    assert named(name) == name


def test_the_key_is_the_students_alone(desk: Desk) -> None:
    """Made at the first start, mode 600; it stays, and a damaged one is told."""
    desk.start(RECORD)
    path = desk.place / KEY
    key = desk.key()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and len(key) == 32
    desk.start(find("4"))
    desk.reset(RECORD)
    assert desk.key() == key
    path.write_text("zz")
    with pytest.raises(InvalidArgument, match=f"{KEY} is no key"):
        desk.key()


def test_only_the_files_of_exercises_are_handed_in(desk: Desk) -> None:
    """By name; what else lies there, a key for example, stays."""
    desk.start(RECORD)
    for name in ("private", "answers.toml"):
        (desk.folder(RECORD) / name).write_bytes(b"mine\xff")
    hand_in = submission.gathered(desk, KLASS, "Ada")
    assert hand_in.exercises.keys() == {"03-record"} and hand_in.seed == KLASS.seed("Ada")
    assert hand_in.exercises["03-record"].files.keys() == {"answers.toml", "record.log"}
    assert hand_in.exercises["03-record"].files["answers.toml"] == "mine\\xff"


def test_a_file_that_is_too_long_is_told(desk: Desk) -> None:
    """Here, where the student can still make it shorter."""
    desk.start(RECORD)
    (desk.folder(RECORD) / "answers.toml").write_bytes(bytes(submission.LONGEST_FILE + 1))
    with pytest.raises(InvalidArgument, match=r"answers.toml has 65537 bytes"):
        submission.gathered(desk, KLASS, "Ada")


@pytest.mark.parametrize("name", ["03-record.evidence.json", submission.ENROLMENT, PROGRESS])
def test_a_damaged_file_of_the_students_is_told(desk: Desk, name: str) -> None:
    """By its path, with what to do."""
    desk.start(RECORD)
    (desk.place / name).write_text("{")
    with pytest.raises(InvalidArgument, match="damaged") as caught:
        submission.gathered(desk, *submission.enrolled(desk, KLASS.code, "Ada"))
    assert str(desk.place / name) in caught.value.message + caught.value.hint


CHECK = '''
from lab.audit.records import Event, Record, events
def test_it(keep_records, kernel_said):
    """Keeps two events, and one thing that was measured."""
    lines = {lines!r}
    keep_records("a write", "/x", list(events(map(Record.from_line, lines))))
    kernel_said("q", "yes")
'''


def test_what_a_check_has_seen_is_kept_once(desk: Desk, tmp_path: Path) -> None:
    """The records of the check that passes first; reset removes them with the rest."""
    folder = tmp_path / "05-made"
    (folder / "start").mkdir(parents=True)
    (folder / "start/a.txt").touch()
    (folder / "exercise.toml").write_text(
        'title = "T"\ngoal = "G"\nminutes = 5\nfiles = ["a.txt"]\nhints = ["1", "2", "3"]\nexplanation = "E"\n'
        'reading = ["R"]\n[evidence]\n"a write" = true\n'
    )
    two = lines(1, 10, "/x") + lines(2, 11, "/x")
    (folder / "test_made.py").write_text(CHECK.format(lines=two))
    (folder.parent / "conftest.py").write_text('pytest_plugins = ["scenarios.classroom.plugin"]\n')
    one = Exercise.load(folder)
    desk.start(one)
    result = check(one, desk.folder(one))
    assert result.good, result
    keep(desk, one, result)
    path = desk.place / "05-made.evidence.json"
    kept = Evidence.model_validate_json(path.read_bytes())
    assert [line.rstrip() for line in kept.seen["a write"].lines] == [line.rstrip() for line in two]
    assert kept.said == {"q": "yes"} and kept.seen["a write"].path == "/x"
    assert desk.progress().of(one).started < kept.began < kept.ended == desk.progress().of(one).passed
    before = path.read_bytes()
    keep(desk, one, result)
    assert path.read_bytes() == before
    desk.reset(one)
    assert not path.exists()


def test_evidence_is_named_only_where_its_check_keeps_it() -> None:
    """Each label of exercise.toml is written in that exercise's check."""
    named_labels = [(one, label) for one in every() for label in one.about.evidence]
    assert named_labels
    for one, label in named_labels:
        (path,) = one.folder.glob("test_*.py")
        assert f'"{label}"' in path.read_text() and "keep_records" in path.read_text()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A class whose key is lost is lost: neither of its files is replaced."""
    (tmp_path / "os.key").write_text("mine")
    assert lab(tmp_path, "class", "new", "os").returncode == Conflict.exit_code
    assert (tmp_path / "os.key").read_text() == "mine" and not (tmp_path / "os.class").exists()

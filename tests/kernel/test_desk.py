"""`lab exercise` as a student uses it: files and progress in the student's home, also under sudo; checks that end."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from rich.console import Console
from support import AS_ROOT, soon
from test_restore import observe, settled

from lab.errors import Conflict, LabError, NotAllowed
from lab.identity import UNSET
from scenarios.classroom import room, verbs
from scenarios.classroom.checking import check
from scenarios.classroom.desk import PROGRESS, Desk
from scenarios.classroom.exercise import EXERCISES, Exercise, find
from scenarios.classroom.lessons import Work
from scenarios.classroom.showing import Shown
from scenarios.classroom.student import Student
from scenarios.safety.journal import CHECKS, Journal
from scenarios.safety.watching import Watched

LAB = str(Path(sys.executable).parent / "lab")
RECORD = find("3")
COLOURS = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}  # what lets rich write escape codes into a pipe


def lab(place: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """What `lab exercise` prints; the exercises are in that place."""
    environment = {**os.environ, "LAB_EXERCISES": str(place), **more}
    return subprocess.run(
        [*AS_ROOT, LAB, "exercise", *words], env=environment, capture_output=True, text=True, check=False, timeout=60,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def progress(place: Path) -> Mapping[str, Mapping[str, float]]:
    """What progress.json says, by exercise."""
    found: Mapping[str, Mapping[str, float]] = json.loads((place / PROGRESS).read_text())["exercises"]
    return found


def test_an_exercise_from_its_start_to_its_solution(tmp_path: Path) -> None:
    """start copies, check fails with what it teaches, hints grow, the solution passes, and progress is kept."""
    place = tmp_path / "place"
    assert lab(place, "check", "3").stderr.startswith("lab: 03-record has not been started")
    assert lab(place, "start", "3").returncode == 0
    assert {path.name for path in (place / "03-record").iterdir()} == RECORD.start().keys()
    failed = lab(place, "check", "3")
    assert failed.returncode == 1 and "expected: an answer for login" in failed.stdout
    for told in ("Hint 1 of 3", "Hint 2 of 3", "Hint 3 of 3", ""):
        hint = lab(place, "hint", "3").stdout
        assert re.findall(r"Hint \d of \d", hint) == [told][: bool(told)]
        assert ("There is no other hint" in hint) == (told in ("Hint 3 of 3", ""))
    assert "login = 1000" in lab(place, "solution", "3").stdout
    for name, data in RECORD.solution().items():
        (place / "03-record" / name).write_bytes(data)
    passed = lab(place, "check", "3")
    assert passed.returncode == 0 and RECORD.about.explanation.strip() in passed.stdout
    done = progress(place)["03-record"]
    assert done["checks"] == 2 and done["passed"] > done["started"] and done["solution_seen"]
    assert next(line for line in lab(place, "list").stdout.splitlines() if line[0] != " ").split()[1] == "3"


def test_plain_is_for_a_screen_reader(tmp_path: Path) -> None:
    """--plain: ASCII without one escape code, also where a terminal would have colours."""
    assert "\x1b" in lab(tmp_path, "start", "3", **COLOURS).stdout
    for words in (["start", "3"], ["check", "3"], ["list"]):
        plain = lab(tmp_path, *words, "--plain", **COLOURS).stdout
        assert plain and plain.isascii() and "\x1b" not in plain


def test_start_and_reset_lose_no_answer(tmp_path: Path) -> None:
    """start leaves what is there; reset N keeps it under another name; reset --all removes everything."""
    place, answers = tmp_path / "place", tmp_path / "place/03-record/answers.toml"
    lab(place, "start", "3")
    answers.write_text("mine")
    assert "is there already" in " ".join(lab(place, "start", "3").stdout.split())  # a long path breaks the line
    assert answers.read_text() == "mine"
    assert str(place / "03-record.old") in lab(place, "reset", "3").stdout.replace("\n", "")
    assert (place / "03-record.old/answers.toml").read_text() == "mine" and "login" in answers.read_text()
    assert progress(place)["03-record"]["checks"] == 0
    lab(place, "reset", "3")
    assert (place / "03-record.old/answers.toml").read_text() == "mine" and (place / "03-record.old2").is_dir()
    assert lab(place, "reset").returncode == 125
    assert lab(place, "reset", "--all").returncode == 0
    assert not place.exists()


def test_a_damaged_progress_is_one_sentence(tmp_path: Path) -> None:
    """The file is named, and how to begin a new one."""
    (tmp_path / PROGRESS).write_text("{")
    done = lab(tmp_path, "list")
    assert (done.returncode, done.stderr.splitlines()[0]) == (125, f"lab: {tmp_path}/{PROGRESS} is damaged")


@pytest.fixture
def student(user: pwd.struct_passwd, monkeypatch: pytest.MonkeyPatch) -> Student:
    """Root, through sudo, for an ordinary user."""
    monkeypatch.delenv("LAB_EXERCISES", raising=False)
    monkeypatch.setenv("SUDO_UID", str(user.pw_uid))
    return Student.here()


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    ("sudo", "login", "who"),
    [("user", "nobody", "user"), ("", "user", "user"), ("", "unset", "root"), ("0", "4000000", "root")],
)
def test_who_the_student_is(
    user: pwd.struct_passwd, monkeypatch: pytest.MonkeyPatch, sudo: str, login: str, who: str
) -> None:
    """Whoever called sudo; else, for root, whose login it is; root where that is nobody, or has no account here."""
    numbers = {"user": user.pw_uid, "root": 0, "nobody": 65534, "unset": UNSET}
    monkeypatch.setenv("SUDO_UID", str(numbers.get(sudo, sudo)))
    monkeypatch.setattr("scenarios.classroom.student.loginuid", lambda: numbers.get(login, 4000000))
    assert Student.here().uid == numbers[who]


@pytest.mark.needs("root")
def test_under_sudo_the_files_are_the_users(student: Student, user: pwd.struct_passwd) -> None:
    """The place is in that user's home, and everything in it belongs to the user."""
    assert student.place == Path(user.pw_dir) / "loginuid-exercises"
    desk = Desk(student)
    desk.start(RECORD)
    desk.write(RECORD, "record.log", b"x")
    desk.reset(RECORD)
    desk.start(RECORD)
    found = [student.place, *student.place.rglob("*")]
    assert len(found) > 5
    assert {(path.stat().st_uid, path.stat().st_gid) for path in found} == {(user.pw_uid, user.pw_gid)}
    assert (os.geteuid(), os.getegid()) == (0, 0)


@pytest.mark.needs("root")
def test_reset_beside_a_file_that_is_roots(user: pwd.struct_passwd) -> None:
    """The student may not remove such a folder: it is moved, and so is the one that is there the next time."""
    place, folder = Path(user.pw_dir) / "loginuid-exercises", "__pycache__"
    desk = Desk(Student(user.pw_uid, user.pw_gid, user.pw_name, place))
    for _ in range(2):
        desk.start(RECORD)
        (place / RECORD.name / folder).mkdir()
        (place / RECORD.name / folder / "of_root.pyc").touch()
        desk.reset(RECORD)
    kept = {path.name: {file.name for file in path.iterdir()} for path in place.glob("*.old*")}
    assert kept == {name: {*RECORD.start(), folder} for name in ("03-record.old", "03-record.old2")}


@pytest.mark.needs("root")
def test_reset_all_beside_files_that_are_roots(user: pwd.struct_passwd) -> None:
    """What stays is named with the reason and what to type; everything else goes, and the exit status is not 0."""
    place = Path(user.pw_dir) / "loginuid-exercises"
    desk, shown = Desk(Student(user.pw_uid, user.pw_gid, user.pw_name, place)), Shown(color=False)
    shown.console = Console(width=1000, record=True, no_color=True)
    for number in ("2", "3", "4"):
        desk.start(find(number))
    roots = [place / "02-tree/__pycache__/of_root.pyc", place / "03-record/__pycache__/of_root.pyc"]
    for path in roots:
        path.parent.mkdir()
        path.touch()
    assert verbs.reset_all(desk, shown) == 1
    said = shown.console.export_text()
    assert all(
        f"{path.parts[-3]} stays, without what could be removed: {path}: Permission denied" in said for path in roots
    )
    assert "removed: 04-rule, progress.json, student.key" in said
    assert f"sudo rm -r {place}/02-tree {place}/03-record" in said
    assert sorted(path for path in place.rglob("*") if path.is_file()) == roots
    shutil.rmtree(place / "02-tree")
    shutil.rmtree(place / "03-record")
    assert verbs.reset_all(desk, shown) == 0 and not place.exists()


@pytest.mark.needs("root")
@pytest.mark.parametrize("what", ["place", "folder", PROGRESS])
def test_root_is_not_led_elsewhere(student: Student, tmp_path: Path, what: str) -> None:
    """A symlink of the user's, in the place of a folder or of a file, changes nothing that is root's."""
    (tmp_path / "roots").mkdir()
    (tmp_path / "roots/file").write_text("root's")
    tmp_path.chmod(0o755)
    link = {"place": student.place, "folder": student.place / RECORD.name, PROGRESS: student.place / PROGRESS}[what]
    with student.rights():
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(tmp_path / ("roots/file" if what == PROGRESS else "roots"))
    desk = Desk(student)
    for act in (lambda: desk.start(RECORD), lambda: desk.write(RECORD, "record.log", b"x"), desk.reset_all):
        try:
            act()
        except LabError as error:
            assert isinstance(error, NotAllowed) or "damaged" in error.message
    assert [path.name for path in (tmp_path / "roots").iterdir()] == ["file"]
    assert (tmp_path / "roots/file").read_text() == "root's"


@pytest.mark.needs("root")
def test_a_check_reads_with_the_owners_rights(student: Student) -> None:
    """An answer that is a symlink is not read, so no message shows a file of root's; nor is a FIFO waited for."""
    Desk(student).start(RECORD)
    folder = student.place / RECORD.name
    (folder / "answers.toml").unlink()
    (folder / "answers.toml").symlink_to("/etc/shadow")
    (folder / "record.log").unlink()
    os.mkfifo(folder / "record.log")
    for name, reason in (("answers.toml", r"this\s+is\s+a\s+symlink"), ("record.log", r"no\s+regular file")):
        with pytest.raises(pytest.fail.Exception, match=reason):
            Work(folder).read(name)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Exercise]:
    """An exercise whose check a test writes; in exercises/, for its conftest.py."""
    folder = EXERCISES / f"98-made-{os.getpid()}"
    try:
        (folder / "start").mkdir(parents=True)
        (folder / "start/answers.toml").touch()
        text = (RECORD.folder / "exercise.toml").read_text()
        for part in (', "record.log"', 'records = "record.log"', 'answers = "record"'):
            text = text.replace(part, "")
        (folder / "exercise.toml").write_text(text)
        yield Exercise.load(folder)
    finally:
        shutil.rmtree(folder)


def test_a_check_by_hand_leaves_no_bytecode(made: Exercise, tmp_path: Path) -> None:
    """Nor does what it starts; root's would stay in the student's folder."""
    (tmp_path / "own.py").touch()
    (made.folder / "test_made.py").write_text(
        "import subprocess, sys\ndef test_it(work):\n    sys.path.insert(0, str(work.path))\n    import own\n"
        "    subprocess.run([sys.executable, '-c', 'import own'], cwd=work.path, check=True)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    words = [sys.executable, "-m", "pytest", str(made.folder), "--work", str(tmp_path)]
    subprocess.run(words, env=environment, check=True, capture_output=True, timeout=60)
    assert [path.name for path in tmp_path.iterdir()] == ["own.py"]


def test_a_check_that_does_not_end_is_ended(made: Exercise, tmp_path: Path) -> None:
    """Its fixtures take back what they have set up."""
    (made.folder / "test_made.py").write_text(
        "import time, pathlib, pytest\n@pytest.fixture\ndef up(work):\n"
        "    (work.path / 'up').touch()\n    yield\n    (work.path / 'up').unlink()\n"
        "def test_it(up):\n    time.sleep(1000)\n"
    )
    began = time.monotonic()
    with pytest.raises(LabError, match="did not end within 5 s"):
        check(made, tmp_path, seconds=5)
    assert time.monotonic() - began < 25
    assert not (tmp_path / "up").exists()


@pytest.mark.parametrize(
    ("code", "failed", "unknown"),
    [
        ("raise LabError('lost', 'again')", "", "lab: lost"),
        ("raise ValueError('a bug')", "a bug", ""),
        ("teach(False, expected=1, seen=2, look='3')", "seen:     2", ""),
    ],
)
def test_what_the_student_can_mend_and_what_not(
    made: Exercise, tmp_path: Path, code: str, failed: str, unknown: str
) -> None:
    """An error of the lab is no mistake in the exercise; neither passes."""
    head = "from lab.errors import LabError\nfrom scenarios.classroom.lessons import teach\n"
    (made.folder / "test_made.py").write_text(f"{head}def test_it():\n    {code}\ndef test_other():\n    pass\n")
    result = check(made, tmp_path)
    assert [failed in one.message for one in result.failed] == [True] * bool(failed)
    assert [unknown in one.message for one in result.unknown] == [True] * bool(unknown)
    assert (list(result.passed), result.good) == (["test_other"], False)


def test_a_check_that_cannot_be_read_fails(made: Exercise, tmp_path: Path) -> None:
    """A test file with an error in it is no passed check; nor is a folder without one."""
    (made.folder / "test_made.py").write_text("import nothing_of_that_name\n")
    assert "nothing_of_that_name" in check(made, tmp_path).failed[0].message
    (made.folder / "test_made.py").write_text("")
    assert not check(made, tmp_path).good


@pytest.mark.needs("open-checkout")
def test_an_ordinary_user_learns_that_root_is_needed(tmp_path: Path) -> None:
    """The sentence names the command to type."""
    code = "from scenarios.classroom.exercise import find; find('4').require()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60,
        preexec_fn=lambda: os.setuid(65534) if os.geteuid() == 0 else None,
    )  # fmt: skip
    assert "04-rule needs root" in done.stderr


@pytest.mark.needs("root")
def test_a_check_beside_a_lab_shell(tmp_path: Path) -> None:
    """While a shell holds the lab's lock, a check has its own; without a shell, another run is refused as ever."""
    with Journal() as holder:
        with pytest.raises(Conflict), room.checks_journal():
            pass
        Watched.by_this_process("/etc/hostname", "lab-x", "lab shell").tell(holder.directory("watch", mode=0o755))
        with room.checks_journal() as journal:
            assert journal.path.parent == CHECKS
            with pytest.raises(Conflict), room.checks_journal():
                pass


@pytest.mark.needs("root", "audit")
def test_a_killed_check_is_taken_back(made: Exercise, tmp_path: Path) -> None:
    """After kill -9 of a check with a login, labd, a decoy and rules, beside a shell or not, `lab restore` does so."""
    before = observe()
    (made.folder / "test_made.py").write_text(
        "import time\nfrom lab.audit.watch import Watch\ndef test_it(stage, work):\n"
        "    with Watch(stage.target, journal=stage.journal):\n"
        "        (work.path / 'up').touch()\n        time.sleep(1000)\n"
    )
    for beside in (False, True):
        with Journal() as holder:
            Watched.by_this_process("/etc/hostname", "lab-x", "lab shell").tell(holder.directory("watch", mode=0o755))
            if not beside:
                holder.__exit__(None, None, None)
            words = [sys.executable, "-m", "pytest", str(made.folder), "--work", str(tmp_path)]
            process = subprocess.Popen(words, stdout=subprocess.DEVNULL, start_new_session=True)
            assert soon(lambda: (tmp_path / "up").exists(), 60)
            process.send_signal(signal.SIGKILL)
            process.wait()
            (tmp_path / "up").unlink()
            if not beside:
                holder.__enter__()
        subprocess.run([LAB, "restore"], check=True, capture_output=True, timeout=60)
        assert settled(before) == before

"""`lab learn`, typed into by hand: it checks when a file is saved, when a record arrives, and when it is told to."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import AS_ROOT
from typist import Typist, typists

from scenarios.classroom.desk import PROGRESS, Done, Progress
from scenarios.classroom.exercise import every, find

LAB = str(Path(sys.executable).parent / "lab")
RECORD = find("3")
Learn = Callable[..., Typist]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the exercises of these tests lie."""
    return tmp_path / "place"


@pytest.fixture
def learn(place: Path) -> Iterator[Learn]:
    """Start `lab learn` in a terminal of 80 columns."""
    env = {**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", "NO_COLOR": "1", "LAB_EXERCISES": str(place)}
    env.pop("SUDO_UID", None)
    with typists() as make:
        yield lambda *words, **more: make(*AS_ROOT, LAB, "learn", *words, env={**env, **more})


def predicted(learning: Typist, *answers: str) -> None:
    """Answer the questions, then wait for the prompt."""
    for answer in answers:
        learning.expect(r"\n\? ")
        learning.type(f"{answer}\r")
    learning.expect("q quit")


def save(folder: Path, answers: bytes) -> None:
    """As many editors do: a new file, in the place of the old one."""
    (folder / "answers.toml.new").write_bytes(answers)
    (folder / "answers.toml.new").replace(folder / "answers.toml")


def test_a_whole_exercise(learn: Learn, place: Path) -> None:
    """Predict, save something wrong, take a hint, save the solution, read why, go on, leave; all is kept."""
    learning = learn("3")
    learning.expect("Read an audit record")
    predicted(learning, "9", "2")
    right = RECORD.solution()["answers.toml"]
    save(place / "03-record", right.replace(b"login = 1000", b"login = 0"))
    learning.expect("seen:     login = 0")
    learning.expect("q quit")
    learning.type("h")
    learning.expect("Hint 1 of 3")
    save(place / "03-record", right)
    learning.expect("03-record: passed")
    learning.expect("You predicted auid, and so it is")
    learning.expect("auid and ses come from the login")
    learning.expect("n next")
    learning.type("c")  # it has passed: nothing runs
    learning.type("n")
    learning.expect("Write the rule that catches a write")
    predicted(learning, "")
    learning.type("l")
    learning.expect(r"Break the fork")
    learning.type("q")
    assert learning.ended() == 0
    done = Progress.model_validate_json((place / PROGRESS).read_text()).exercises
    assert (done["03-record"].checks, done["03-record"].hints) == (2, 1)
    assert done["03-record"].predictions["sudo"].answer == "auid"
    assert done["04-rule"].started and not done["04-rule"].passed


def test_it_goes_on_where_the_student_was(learn: Learn, place: Path) -> None:
    """Without a number it begins with the first that is not passed; when all are passed, it says so and ends."""
    names = [one.name for one in every()]
    place.mkdir()
    progress = Progress()
    for name in names[:3]:
        progress.exercises[name] = Done(passed=1)
    (place / PROGRESS).write_text(progress.model_dump_json())
    learning = learn()
    learning.expect("Read an audit record")
    predicted(learning, "")
    learning.type("q")
    assert learning.ended() == 0
    for name in names:
        progress.exercises[name] = Done(passed=1)
    (place / PROGRESS).write_text(progress.model_dump_json())
    learning = learn()
    learning.expect(f"You have passed all {len(names)} exercises")
    assert learning.ended() == 0


@pytest.mark.parametrize("end", ["q", "\x04", "\x03"])
def test_each_way_to_leave(learn: Learn, end: str) -> None:
    """q, Ctrl-D and Ctrl-C end it, with the terminal as it was."""
    learning = learn("3", "--plain")
    predicted(learning, "")
    learning.type(end)
    assert learning.ended() == 0
    assert learning.shown.isascii()


@pytest.mark.parametrize("end", ["q\r", "\x03"])
def test_each_way_to_leave_at_a_question(learn: Learn, place: Path, end: str) -> None:
    """What was typed before the question is no answer to it, and the screen says how to leave."""
    learning = learn("3")
    learning.type("\r1\r")  # while it is still loading
    learning.expect("q or Ctrl-C quits")
    learning.expect(r"\n\? ")
    learning.type(end)
    assert learning.ended() == 0
    assert "Question 2" not in learning.shown
    assert not Progress.model_validate_json((place / PROGRESS).read_text()).exercises["03-record"].predictions


def test_a_lost_terminal_ends_it(learn: Learn) -> None:
    """As over ssh, when the connection breaks."""
    learning = learn("3")
    predicted(learning, "")
    learning.hang_up()
    assert learning.process.wait(30) == 128 + signal.SIGHUP


def test_no_terminal_is_one_sentence(place: Path) -> None:
    """In a pipe there is `lab exercise check`."""
    done = subprocess.run([LAB, "learn"], capture_output=True, text=True, check=False, timeout=60, input="")
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr.startswith("lab: lab learn needs a terminal")


@pytest.mark.needs("open-checkout")
def test_a_check_that_cannot_run_here_ends_nothing(learn: Learn, place: Path) -> None:
    """An ordinary user who saves is told to use sudo, and the loop goes on."""
    if os.geteuid() == 0:
        place.mkdir()
        place.chmod(0o777)
        for folder in [place, *place.parents]:
            if folder.stat().st_mode & 0o001 == 0:
                folder.chmod(folder.stat().st_mode | 0o011)
    code = "import sys; from scenarios.cli import main; sys.exit(main(sys.argv[1:]))"
    env = {**os.environ, "TERM": "xterm", "LAB_EXERCISES": str(place)}
    with typists() as make:
        become = ["setpriv", "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []
        learning = make(*become, sys.executable, "-c", code, "learn", "4", env=env)
        predicted(learning, "")
        learning.type("c")
        learning.expect("04-rule needs root")
        learning.expect("sudo .venv/bin/lab exercise check 4")
        learning.type("q")
        assert learning.ended() == 0


@pytest.mark.needs("root", "audit", "sudo", "setpriv")
def test_a_record_of_a_lab_shell_arrives(learn: Learn, place: Path, user: pwd.struct_passwd) -> None:
    """What is touched in a `lab shell` takes the place of record.log, and the check runs on it."""
    with typists() as make:
        playing = make(LAB, "shell", "--no-pane", "--as", user.pw_name, env={**os.environ, "TERM": "xterm"})
        playing.expect(rf"\(lab: {user.pw_name}\)")
        session = playing.answer("cat /proc/self/sessionid")
        learning = learn("3")
        predicted(learning, "")
        playing.enter("sudo touch $WATCHED")
        learning.expect("A record has arrived:")
        learning.expect(rf"auid=\S*{user.pw_name}.*comm=touch")
        learning.expect("an answer for login")  # the saved record has woken the check
        assert f" ses={session} " in (place / "03-record/record.log").read_text()
        answers = f"login = {user.pw_uid}\nsession = {session}\nuser = 1\n"
        save(place / "03-record", answers.encode())
        learning.expect("seen:     user = 1")
        playing.type("exit\r")
        assert playing.ended() == 0
        learning.type("q")
        assert learning.ended() == 0


@pytest.mark.needs("root", "audit", "open-checkout")
def test_a_student_with_sudo(sudoer: pwd.struct_passwd) -> None:
    """A user types `sudo lab learn`: the kernel's answers are about that login, the files are that user's."""
    place = Path(sudoer.pw_dir) / "loginuid-exercises"
    become = ["setpriv", f"--reuid={sudoer.pw_uid}", f"--regid={sudoer.pw_gid}", "--init-groups"]
    code = "import os, sys, lab.identity as i; i.open_session(int(sys.argv[1])); os.execvp(sys.argv[2], sys.argv[2:])"
    words = [sys.executable, "-c", code, str(sudoer.pw_uid), *become, "sudo", LAB, "learn", "4"]
    with typists() as make:
        learning = make(*words, env={**os.environ, "TERM": "xterm"})
        predicted(learning, "no")
        rule = find("4").solution()["rule.txt"]
        (place / "04-rule/rule.txt").write_bytes(rule)
        learning.expect("04-rule: passed")
        learning.expect("You predicted no, and so it is")
        learning.type("q")
        assert learning.ended() == 0
    owners = {path.stat().st_uid for path in [place, *place.rglob("*")]}
    assert owners == {sudoer.pw_uid}


@pytest.mark.needs("root", "audit", "sudo", "setpriv")
def test_a_check_beside_a_lab_shell(place: Path, user: pwd.struct_passwd) -> None:
    """While a student plays in a `lab shell`, a check with rules, labd and containers runs, and disturbs nothing."""
    (place / "04-rule").mkdir(parents=True)
    (place / "04-rule/rule.txt").write_bytes(find("4").solution()["rule.txt"])
    with typists() as make:
        playing = make(LAB, "shell", "--no-pane", "--as", user.pw_name, env={**os.environ, "TERM": "xterm"})
        playing.expect(rf"\(lab: {user.pw_name}\)")
        done = subprocess.run(
            [*AS_ROOT, LAB, "exercise", "check", "4"], env={**os.environ, "LAB_EXERCISES": str(place)},
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        assert playing.answer("sudo dockerish run --rm host echo there") == "there"
        playing.type("exit\r")
        assert playing.ended() == 0 and "everything is as it was" in playing.shown

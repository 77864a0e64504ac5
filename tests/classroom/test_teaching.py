"""What a failed check says of the student's files: once, with the line, and in the language of the student."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from scenarios.classroom.answers import same
from scenarios.classroom.checking import check
from scenarios.classroom.exercise import EXERCISES, find
from scenarios.classroom.lessons import Taught, Work
from scenarios.languages.choice import CHINESE

RECORD = find("3")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the solution of exercise 3."""
    for name, data in {**RECORD.start(), **RECORD.solution()}.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "right"),
    [("a socket", "socket"), ("The  Socket ", "socket"), (" touch  /x", "touch /x"), ("7", 7), (7, "7"), ("A", "a")],
)
def test_what_is_the_same_answer(given: object, right: object) -> None:
    """Case, blanks, an article, and whether a number is written as a text."""
    assert same(given, right)


@pytest.mark.parametrize(
    ("given", "right"), [("socket a", "socket"), ("sockets", "socket"), ("", "a"), ("the", "a"), (70, 7)]
)
def test_what_is_another_answer(given: object, right: object) -> None:
    """Anything else."""
    assert not same(given, right)


@pytest.mark.parametrize(
    ("code", "seen"),
    [
        ("x = 1\nif x\n    y = 2\n", r"line 2: expected ':': if x$"),
        ("x = '\\d'\nx = \n", "line 2: invalid syntax: x ="),
        ("x = 1\0", "null bytes"),
    ],
)
def test_a_program_that_is_no_python(tmp_path: Path, code: str, seen: str) -> None:
    """The line is named, with its text; a warning of Python's is no failure."""
    (tmp_path / "own.py").write_text(code)
    with pytest.raises(Taught, match=rf"(?m)expected: own.py is Python\n.*{seen}"):
        Work(tmp_path).python("own.py")


def test_a_script_that_is_none(tmp_path: Path) -> None:
    """The line is named; nothing of the script runs."""
    (tmp_path / "own.sh").write_text(f"touch {tmp_path}/ran\nwhile )\n")
    with pytest.raises(Taught, match=r"seen: +line 2: Syntax error.*: while \)"):
        Work(tmp_path).shell("own.sh")
    (tmp_path / "own.sh").write_text("if true\n")
    with pytest.raises(Taught, match=r"Syntax error: end of file"):
        Work(tmp_path).shell("own.sh")
    (tmp_path / "own.sh").write_text("echo good\n")
    assert Work(tmp_path).shell("own.sh") == "echo good\n"
    assert not (tmp_path / "ran").exists()


def test_a_file_that_cannot_be_read_is_told_once(place: Path) -> None:
    """One failure, not one for each test that reads the file; and nothing is unknown."""
    (place / "answers.toml").write_text("login = \n")
    found = check(RECORD, place)
    assert [failure.parts[0][1] for failure in found.failed] == ["answers.toml is TOML: NAME = VALUE, text in quotes"]
    assert not found.unknown and not found.good


@pytest.mark.parametrize(
    ("text", "seen"), [("a = 1\nb = \n", "line 2, column 5: Invalid value"), ("a = [1", "at the end: Unclosed array")]
)
def test_where_a_file_is_no_toml(tmp_path: Path, text: str, seen: str) -> None:
    """Python has no words of another language; the place has."""
    (tmp_path / "answers.toml").write_text(text)
    with pytest.raises(Taught) as taught:
        Work(tmp_path).answers()
    assert taught.value.parts[1][1] == seen


def test_each_wrong_answer_is_told(place: Path) -> None:
    """One wrong answer hides no other; what is expected says of which kind an answer is."""
    (place / "answers.toml").write_text("login = 7\nuser = 'me'\n")
    told = {failure.test: failure.parts[0][1] for failure in check(RECORD, place).failed}
    assert len(told) == 6
    assert told["test_what_it_says[login]"] == "another answer for login: a number, or unset"
    assert told["test_what_it_says[user]"] == "another answer for user: the number of a user"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ("an answer for `here` under `[write]`", "none yet", "answers.toml: `here` under `[write]`")),
        ("[write]\nhere = 'no'", ("another answer for `here` under `[write]`: yes or no", "here = 'no'", "the log")),
    ],
)
def test_an_answer_in_a_table_is_named_as_it_stands_there(tmp_path: Path, text: str, parts: tuple[str, ...]) -> None:
    """No student has a line `write.here` in the file."""
    (tmp_path / "answers.toml").write_text(text)
    with pytest.raises(Taught) as taught:
        Work(tmp_path).answers().expect("write.here", "yes", "the log", kind="yes or no")
    assert tuple(what for _, what in taught.value.parts) == parts
    assert "here" in taught.value.told(CHINESE.translate) and "under" not in taught.value.told(CHINESE.translate)


def test_no_symlink_is_followed(tmp_path: Path, place: Path) -> None:
    """Neither as the file, nor as the folder: who makes one would choose with whose rights a check reads."""
    for name in ("answers.toml", "record.log"):
        (place / name).rename(tmp_path / f"real-{name}")
        (place / name).symlink_to(f"real-{name}")
    (tmp_path / "folder").symlink_to(EXERCISES / "03-record/solution")
    for folder in (place, tmp_path / "folder"):
        with pytest.raises(Taught, match=r"this\s+is\s+a\s+symlink,\s+which\s+a\s+check"):
            Work(folder).read("answers.toml")


@pytest.mark.parametrize(
    ("kept", "setting", "word"),
    [
        ("zh-TW", "C.UTF-8", "預期"),
        ("", "zh_TW.UTF-8", "預期"),
        ("en", "zh_TW.UTF-8", "expected:"),
        ("?", "C", "expected:"),
    ],
)
def test_pytest_speaks_the_students_language(kept: str, setting: str, word: str) -> None:
    """That in which the student began the exercise; else the environment's, as `lab` has it.

    Root looks with the rights of the student whose login this is, for whom pytest's own directories are closed.
    """
    with tempfile.TemporaryDirectory() as path:
        Path(path).chmod(0o755)
        begun(Path(path), kept)
        alone = {"LC_ALL": setting, "LAB_EXERCISES": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONUTF8": "1"}
        words = [sys.executable, "-m", "pytest", "-q", str(RECORD.folder)]
        done = subprocess.run(
            words, env={**os.environ, **alone}, capture_output=True, text=True, check=False, timeout=60
        )
    assert done.returncode == 1 and word in done.stdout, done.stdout


def begun(place: Path, language: str) -> None:
    """A student has begun the exercise in this language."""
    folder = place / RECORD.name
    folder.mkdir()
    for name, data in RECORD.start().items():
        (folder / name).write_bytes(data)
    (place / "progress.json").write_text(json.dumps({"language": language}))

"""What a student is told on the way: how many questions, which case is old, what to type, and when to compare."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from handed import TEACHER
from rich.console import Console

from lab.errors import NotAllowed
from scenarios.classroom import typed, verbs
from scenarios.classroom.attacking import reason
from scenarios.classroom.beginning import made_of, stale
from scenarios.classroom.checking import Failure, Result
from scenarios.classroom.desk import Desk, Done, Prediction, Progress
from scenarios.classroom.exercise import find
from scenarios.classroom.seeds import Seed
from scenarios.classroom.showing import Shown
from scenarios.classroom.student import Student
from scenarios.classroom.submission import enrolled
from scenarios.languages.choice import CHINESE
from scenarios.stage.engines import script

LAB = str(Path(sys.executable).parent / "lab")


@pytest.fixture
def shown() -> Shown:
    """Whose console.export_text() is what was said."""
    shown = Shown()
    shown.console = Console(width=80, record=True, no_color=True)
    return shown


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A student's, of this process's user."""
    return Desk(Student(os.geteuid(), os.getegid(), "ada", tmp_path / "place"))


@pytest.fixture
def which(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A program that was started as this file; PATH has this folder alone."""
    own = tmp_path / "bin/lab"
    own.parent.mkdir()
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(own)])
    monkeypatch.setenv("PATH", str(tmp_path))
    typed.lab.cache_clear()
    yield own
    typed.lab.cache_clear()


def test_what_to_type_for_lab(which: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: Shown) -> None:
    """Its path, from here if it is below; another program of that name is not meant."""
    (tmp_path / "lab").write_text("#!/bin/sh\n")
    (tmp_path / "lab").chmod(0o755)
    assert typed.lab() == str(which)
    monkeypatch.chdir(tmp_path)
    typed.lab.cache_clear()
    shown.naming()
    assert shown.console.export_text() == "Where a text says `lab`, type bin/lab\n"


def test_lab_alone_where_a_shell_finds_it(which: Path, tmp_path: Path, shown: Shown) -> None:
    """Then there is nothing to say."""
    (tmp_path / "lab").symlink_to(which)
    assert typed.lab() == "lab"
    shown.naming()
    assert not shown.console.export_text()


def test_questions_are_counted(desk: Desk, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which one of how many."""
    monkeypatch.setattr(verbs, "ask", lambda: "")
    verbs.predict(desk, find("1"), shown)
    said = shown.console.export_text()
    assert [f"Question {number} of 6\n" in said for number in range(1, 8)] == [True] * 6 + [False]


def test_questions_are_shown_where_nobody_can_type(desk: Desk, shown: Shown) -> None:
    """With what asks them; those that were answered are not shown again."""
    one = find("8")
    verbs.show_questions(desk, one, shown)
    said = shown.console.export_text()
    assert [question.ask.partition(" ")[0] in said for question in one.about.predict] == [True] * 3
    assert "1) accepts it  2) refuses it" in said and "exercise start 8 asks" in " ".join(said.split())
    progress = desk.progress()
    progress.of(one).predictions["daemon"] = Prediction(answer="accepts it", time=1)
    desk.keep(progress)
    verbs.show_questions(desk, one, shown)
    said = shown.console.export_text()
    assert "Question 1 of 3" not in said and "Question 2 of 3" in said
    progress.of(one).passed = 2
    desk.keep(progress)
    verbs.show_questions(desk, one, shown)
    assert not shown.console.export_text()


def test_q_leaves_the_questions(desk: Desk, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    """The screen says so before the first; the others are asked the next time."""
    monkeypatch.setattr(verbs, "ask", iter(["9", "1", "q"]).__next__)
    assert not verbs.predict(desk, find("1"), shown)
    said = shown.console.export_text()
    assert said.index("q or Ctrl-C quits") < said.index("Question 1") < said.index("Question 2")
    assert "Question 3" not in said and len(desk.progress().of(find("1")).predictions) == 1


def test_what_could_not_be_told_is_no_check(desk: Desk) -> None:
    """It was the machine's: busy, for example."""
    one, failure = find("3"), [Failure("test_it", "no")]
    for failed, unknown, checks in (([], failure, 0), (failure, failure, 1), (failure, [], 2)):
        verbs.keep(desk, one, Result(["t"], failed, unknown, {}))
        assert desk.progress().of(one).checks == checks


@pytest.mark.parametrize("number", ["9", "10"])
def test_a_log_needs_root_before_anything(
    desk: Desk, shown: Shown, monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    """What is to be typed is named, and nothing was made, nor said to be."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    words = argparse.Namespace(exercise=number, klass=TEACHER.klass.code, name="Ada", all=False)
    for act, verb in ((verbs.start, "start"), (verbs.reset, "reset")):
        with pytest.raises(NotAllowed, match="records a log of your own kernel") as raised:
            act(words, desk, shown)
        assert raised.value.hint.startswith(f"sudo {typed.lab()} exercise {verb} {number}\n")
    assert not desk.place.exists() and not shown.console.export_text()


@pytest.mark.parametrize(
    ("stderr", "why"),
    [
        ("sudo: no new privileges\nsudo: you may need to adjust\n", "sudo: no new privileges"),
        ("touch: first\npodmanish: no container\n  ask root\n", "podmanish: no container"),
        ("sudo: first\na line\n", "a line"),
        ("", ""),
    ],
)
def test_why_a_script_gave_up(stderr: str, why: str) -> None:
    """Of what the last program said, the first line; the others are advice."""
    assert reason(stderr) == why


def test_a_command_is_shown_with_its_first_slash(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check works in /, where nobody types; elsewhere a path from there is shorter."""
    own = Path(sys.executable).with_name("podmanish")
    monkeypatch.chdir("/")
    assert script("podmanish") == str(own)
    monkeypatch.chdir(own.parent.parent)
    assert script("podmanish") == f"{own.parent.name}/podmanish"


def test_predictions_are_compared_after_passing(shown: Shown) -> None:
    """A failed check does not tell the answers; it says when they are told."""
    one, done = find("3"), Done(predictions={"sudo": Prediction(answer="uid", time=1)})
    shown.result(one, Result(["t"], [Failure("test_it", "no")], [], {}), done)
    said = shown.console.export_text()
    assert "auid" not in said and "When the check has passed" in said
    shown.result(one, Result(["t"], [], [], {}), done)
    assert "You predicted uid. It is auid." in " ".join(shown.console.export_text().split())


def test_pages_in_another_language_are_marked(shown: Shown) -> None:
    """Where the student reads Chinese, and the lab has the page in English alone; a program has no language."""
    one = find("1")
    shown.passed(one)
    assert "in English" not in shown.console.export_text()
    shown.language = CHINESE
    shown.passed(one)
    said = shown.console.export_text()
    assert "  docs/stories/loginuid.md (in English)\n" in said and "docs/stories/gallery.md (in English): cron" in said
    assert "(in English)" not in said.partition("pam_loginuid(8)")[2]


def test_a_failure_in_ascii_says_so_in_the_students_language() -> None:
    """The mark is a word there."""
    shown = Shown(plain=True, language=CHINESE)
    shown.console = Console(width=80, record=True, no_color=True)
    shown.result(find("3"), Result([], [Failure("test_it", "no")], [], {}), Done())
    assert shown.console.export_text().startswith("未通過 it\n")


def test_the_mark_of_what_was_begun_is_explained(shown: Shown) -> None:
    """Below the list, where it is in it."""
    one = find("3")
    shown.listed([one], Progress())
    assert "begun" not in shown.console.export_text()
    shown.listed([one], Progress(exercises={one.name: Done(started=1)}))
    assert shown.console.export_text().endswith("· begun, not passed yet\n")


def test_a_case_from_before_the_class(desk: Desk, shown: Shown) -> None:
    """It keeps its old seed: the student is told, and how to begin anew; then it is the class's."""
    one = find("8")
    desk.start(one, made_of(one, Seed("0" * 32)))
    assert stale(desk, [one]) == []  # in no class, each seed is right
    klass, name = enrolled(desk, TEACHER.klass.code, "Ada")
    verbs.tell_stale(desk, [find("3"), one], shown)
    said = " ".join(shown.console.export_text().split())
    assert "08-frame was begun before you joined your class" in said and "exercise reset 8" in said
    desk.reset(one)
    desk.start(one, made_of(one, Seed(klass.seed(name))))
    assert stale(desk, [one]) == []


@pytest.mark.parametrize("words", [["exercise", "list", "--lang", "zh-TW"], ["--lang", "zh-TW", "exercise", "list"]])
def test_the_language_before_and_behind_a_verb(words: list[str]) -> None:
    """Both are the same."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run([LAB, *words], env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, "分鐘" in done.stdout) == (0, True), done.stderr

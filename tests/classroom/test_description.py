"""exercise.toml: what is wrong in it is told with the file and the field."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from lab.errors import InvalidArgument, NotFound
from scenarios.classroom import verbs
from scenarios.classroom.checking import Result, check
from scenarios.classroom.desk import Desk, Done, Prediction
from scenarios.classroom.exercise import EXERCISES, Exercise, Question, every, find
from scenarios.classroom.showing import Shown, compared
from scenarios.classroom.student import Student
from scenarios.languages.choice import LANGUAGES

CHECKOUT = Path(__file__).parent.parent.parent
GOOD = """
title = "T"
goal = "G"
minutes = 5
files = ["a.txt"]
hints = ["1", "2", "3"]
explanation = "E"
reading = ["R"]
[[predict]]
id = "q"
ask = "Q?"
choices = ["yes", "no"]
accept = ["yes"]
"""


def made(place: Path, text: str, name: str = "05-made") -> Path:
    """The folder of an exercise with this description."""
    folder = place / name
    (folder / "start").mkdir(parents=True)
    (folder / "start/a.txt").touch()
    (folder / "exercise.toml").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ('title = "T"\n', "", "title: Field required"),
        ("minutes = 5", "minutes = 0", "minutes: Input should be greater than or equal to 1"),
        ("minutes = 5", "minuets = 5", "minutes: Field required"),
        ('title = "T"', 'title = "T"\nhint = "x"', "hint: Extra inputs are not permitted"),
        ('["1", "2", "3"]', '["1", "2"]', "hints: Tuple should have at least 3 items"),
        ('["1", "2", "3"]', '["1", "2", "3", "4"]', "hints: Tuple should have at most 3 items"),
        ('accept = ["yes"]', 'accept = ["maybe"]', "predict.0: accept has maybe, which is not among the choices"),
        ('choices = ["yes", "no"]', 'choices = ["yes"]', "predict.0.choices: Tuple should have at least 2 items"),
        ('title = "T"', 'title = "T"\nneeds = ["a-dragon"]', "needs has a-dragon"),
        ('title = "T"', 'title = "T"\nrecords = "b.log"', "records is b.log, which is not among files"),
        ('title = "T"', 'title = "T"\ntrial = ["b.py"]', "trial has b.py, which is not among files"),
        ('title = "T"', 'title = "T"\ntrial = ["a.txt"]', "trial: there is no trial_*.py"),
        ('["a.txt"]', '["a.txt", "b.txt"]', "files: start/ has no b.txt"),
        ('["a.txt"]', '["../../etc/passwd"]', "files.0: String should match pattern"),
        ('title = "T"', "title = T", "Invalid value (at line 2"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, before: str, after: str, told: str) -> None:
    """The message begins with the path of the file, and names the field."""
    folder = made(tmp_path, GOOD.replace(before, after, 1))
    with pytest.raises(InvalidArgument, match=re.escape(f"{folder}/exercise.toml: ")) as caught:
        Exercise.load(folder)
    assert told in caught.value.message


def test_a_good_description_is_read(tmp_path: Path) -> None:
    """The text above is right; so the test before tests what it changes."""
    one = Exercise.load(made(tmp_path, GOOD))
    assert (one.number, one.about.title, one.start()) == (5, "T", {"a.txt": b""})


def test_a_folder_without_a_number_is_none(tmp_path: Path) -> None:
    """An exercise is called by its number."""
    with pytest.raises(InvalidArgument, match="is no exercise"):
        Exercise.load(made(tmp_path, GOOD, "made"))


@pytest.mark.parametrize("word", ["3", "03", "03-record", "record"])
def test_an_exercise_has_three_names(word: str) -> None:
    """Its number, its folder's name, and that name alone."""
    assert find(word).name == "03-record"


def test_an_unknown_exercise_is_told() -> None:
    """With the numbers that there are."""
    with pytest.raises(NotFound) as caught:
        find("99")
    assert "'99'" in caught.value.message and "0, 1, 2" in caught.value.hint


def test_an_archive_without_solutions(tmp_path: Path) -> None:
    """Where the teacher has left them out, that is what is said."""
    with pytest.raises(NotFound, match="no solution of 05-made"):
        Exercise.load(made(tmp_path, GOOD)).solution()


def test_the_page_lists_them_all() -> None:
    """docs/exercises.md has a row for each: number, title, minutes, what its check needs."""
    rows = re.findall(r"^\| (\d+) \| \[(.+)\]\(\.\./exercises/(.+)/README\.md\) \| (\d+) \| (.+) \|$",
                      (CHECKOUT / "docs/exercises.md").read_text(), re.MULTILINE)  # fmt: skip
    assert rows == [
        (str(one.number), one.about.title, one.name, str(one.about.minutes), ", ".join(one.about.needs) or "nothing")
        for one in every()
    ]


@pytest.mark.parametrize("one", every(), ids=lambda one: one.name)
@pytest.mark.parametrize(("plain", "code"), [(False, "en"), (True, "en"), (False, "zh-TW")])
def test_each_screen_fits(one: Exercise, plain: bool, code: str) -> None:
    """The task, the hints and the explanation each fit 22 lines of 80 columns; no line of the text is broken."""
    translate = LANGUAGES[code].translate
    shown = Shown(plain=plain, language=LANGUAGES[code])
    shown.console = Console(width=80, record=True, no_color=True)
    desk = Desk(Student(1000, 1000, "alice", Path("/home/alice/loginuid-exercises")))
    parts: list[Callable[[], None]] = [
        lambda: verbs.show_task(desk, one, shown),
        lambda: shown.passed(one),
        *(lambda number=number: shown.hint(one, number) for number in (1, 2, 3, 4)),
    ]
    for part in parts:
        part()
        lines = shown.console.export_text().splitlines()
        assert len(lines) <= 22 and max(map(cell_len, lines)) <= 80, "\n".join(lines)
    for line in "\n".join(map(translate, (one.about.goal, one.about.explanation))).splitlines():
        assert cell_len(line) <= 79, line


def test_what_a_failure_teaches_is_told_in_the_language(tmp_path: Path) -> None:
    """What was expected and where to look, but not what the student wrote."""
    one = find("3")
    work = tmp_path / one.name
    work.mkdir()
    for name, data in one.start().items():
        (work / name).write_bytes(data.replace(b'login = "?"', b'login = "4711"'))
    shown = Shown(language=LANGUAGES["zh-TW"])
    shown.console = Console(width=80, record=True, no_color=True)
    shown.result(one, check(one, work), Done())
    said = shown.console.export_text()
    assert "預期" in said and "login = '4711'" in said
    assert "expected" not in said and "look at" not in said


def test_a_prediction_may_be_typed_in_the_language() -> None:
    """The words of the choice as they were shown; what is kept is the English choice."""
    translated = {"yes": "是", "no": "否"}
    assert verbs.chosen(question(), "否", translated.__getitem__) == "no"


def question(*accept: str) -> Question:
    """Yes or no."""
    return Question(id="q", ask="Q?", choices=("yes", "no"), accept=accept)


@pytest.mark.parametrize(("typed", "taken"), [("1", "yes"), (" NO ", "no"), ("", ""), ("3", None), ("maybe", None)])
def test_a_prediction_is_a_number_or_a_word(typed: str, taken: str | None) -> None:
    """Enter alone is none; anything else is asked again."""
    assert verbs.chosen(question(), typed) == taken


@pytest.mark.parametrize(
    ("accept", "kernel", "guess", "told"),
    [
        ((), "yes", "yes", "Q? You predicted yes, and so it is."),
        ((), "yes", "no", "Q? You predicted no. The kernel said: yes."),
        (("no",), None, "yes", "Q? You predicted yes. It is no."),
        ((), None, "yes", None),
        ((), "yes", None, None),
    ],
)
def test_a_prediction_is_compared(accept: tuple[str, ...], kernel: str, guess: str, told: str | None) -> None:
    """With what was measured, or with what is known; without one of the two there is nothing to say."""
    one = Exercise.load(EXERCISES / "03-record")
    asked = one.about.model_copy(update={"predict": (question(*accept),)})
    done = Done(predictions={"q": Prediction(answer=guess, time=1)} if guess else {})
    result = Result(["t"], [], [], {"q": kernel} if kernel else {})
    assert [str(text) for text in compared(Exercise(one.folder, asked), result, done)] == ([told] if told else [])

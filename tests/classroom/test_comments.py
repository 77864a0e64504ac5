"""The comments of what a student begins with are in the student's language, and the code between them is the same."""

from __future__ import annotations

import ast
import re
import tomllib
from argparse import Namespace
from pathlib import Path
from textwrap import indent

import pytest
from rich.cells import cell_len

from scenarios.classroom.comments import in_language, translated
from scenarios.classroom.desk import Desk
from scenarios.classroom.exercise import Exercise, every, find
from scenarios.classroom.showing import Shown
from scenarios.classroom.student import Student
from scenarios.classroom.verbs import solution
from scenarios.languages.choice import LANGUAGES

CODES = [code for code in LANGUAGES if code != "en"]
SHOUTED = """#!/bin/sh
# FIRST LINE,
#     AND ANOTHER
echo "# no comment"  # BEHIND CODE
call(0x1)  # linux/mount.h
def f():
    \"\"\"A DOCSTRING.

    OF TWO PARTS.
    \"\"\"
    # INSIDE
"""


def test_a_comment_is_what_stands_behind_a_number_sign_or_in_a_docstring() -> None:
    """Indentation, the shell's first line, text in quotes, and names of files stay."""
    assert translated(SHOUTED.lower(), str.upper) == SHOUTED.replace("DEF F", "def f")


@pytest.mark.parametrize("one", every(), ids=lambda one: one.name)
@pytest.mark.parametrize("code", CODES)
def test_all_comments_are_translated_and_no_code_is(one: Exercise, code: str) -> None:
    """A start and a solution stay the same program, table or rule; no line is longer than the longest of the code."""
    for files in (one.start(), one.solution()):
        told = in_language(files, LANGUAGES[code].translate)
        for name, data in files.items():
            english, text = data.decode(), told[name].decode()
            assert code_of(name, text) == code_of(name, english)
            assert (text == english) == (translated(english, lambda _: "") == english), "a file has comments, or not"
            assert name.endswith(".log") or max(map(cell_len, text.splitlines())) <= 120


def code_of(name: str, text: str) -> object:
    """What a program makes of the file."""
    if name.endswith(".toml"):
        return tomllib.loads(text)
    if name.endswith(".py"):
        return ast.dump(ast.parse(re.sub(r'""".+?"""', '""" """', text, flags=re.DOTALL)))
    return [line for line in text.splitlines() if not line.startswith("# ")]


@pytest.mark.parametrize("code", CODES)
def test_a_student_begins_in_the_own_language(code: str, tmp_path: Path) -> None:
    """The names of the student's case stand in the translated comments."""
    desk, one = Desk(Student(0, 0, "alice", tmp_path / "exercises")), find("1")
    desk.start(one, translate=LANGUAGES[code].translate)
    begun = (desk.folder(one) / "own.sh").read_text(encoding="utf-8")
    assert begun.endswith('\necho "?"\n') and begun != one.start()["own.sh"].decode()
    assert one.page(code) == f"exercises/{one.name}/README.{code}.md"
    assert one.page("en") == f"exercises/{one.name}/README.md"


def test_a_solution_is_shown_in_the_own_language(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Comments are translated, also in lines that are wider than the terminal, which stay whole: they can be copied."""
    desk, one = Desk(Student(0, 0, "alice", tmp_path / "exercises")), find("0")
    for code, language in LANGUAGES.items():
        solution(Namespace(exercise="0"), desk, Shown(plain=True, language=language))
        told = in_language(one.solution(), language.translate)["container.py"].decode()
        assert capsys.readouterr().out == f"container.py:\n{indent(told, '    ')}", code
    assert max(map(len, one.solution()["container.py"].decode().splitlines())) > 80


def test_a_solution_is_what_differs_from_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is recorded to show it, and a file that stays as it begins is not shown."""
    one, student = find("9"), Student(0, 0, "alice", tmp_path / "exercises")
    solution(Namespace(exercise="9"), Desk(student), Shown(plain=True))
    assert capsys.readouterr().out == f"find.py:\n{indent(one.solution()['find.py'].decode(), '    ')}"

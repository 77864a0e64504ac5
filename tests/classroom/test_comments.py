"""The comments of what a student begins with are in the student's language, and the code between them is the same."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest
from rich.cells import cell_len

from scenarios.classroom.comments import in_language, translated
from scenarios.classroom.desk import Desk
from scenarios.classroom.exercise import Exercise, every, find
from scenarios.classroom.student import Student
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
    """Each file begins as the same program, table or rule; no line is longer than the longest of the lab's code."""
    files = in_language(one.start(), LANGUAGES[code].translate)
    for name, data in one.start().items():
        english, text = data.decode(), files[name].decode()
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

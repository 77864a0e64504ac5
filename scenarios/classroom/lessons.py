"""For an exercise's check: what a failure teaches, and what the check reads of the student's folder."""

from __future__ import annotations

import re
import subprocess
import tomllib
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from _pytest.outcomes import Failed
from rich.cells import cell_len

from lab.audit.records import Event
from scenarios.audiences.lines import units
from scenarios.classroom.answers import same
from scenarios.classroom.cases import LOG, Case
from scenarios.classroom.evidence import parsed
from scenarios.classroom.exercise import ANSWERS, LARGEST
from scenarios.classroom.reading import read_owned
from scenarios.performance.text import Translate, message

WIDTH, HEAD = 78, 10  # columns of what a failure says, and of the name before it
LINE = message("that line, or the one before it")
LARGEST_LOG = 64 << 20  # bytes of the log of a hidden run
ANOTHER = "lab exercise reset N makes another log, with other answers"
Found = TypeVar("Found")
PARTS = (message("expected"), message("seen"), message("look at"))  # of what a failure teaches
NUMBER, PERSON = message("a number, or unset"), message("the name of a person")  # kinds of answers
PROGRAM, PATH = message("the name of a program"), message("a path of a file")


class Taught(Failed):
    """A check that failed; parts has what it teaches, each with its name, so that it can be told in any language.

    whole: that says everything; the other tests of this check could only say it again.
    """

    def __init__(self, parts: Sequence[tuple[str, str]], *, whole: bool = False) -> None:
        super().__init__("\n".join(_part(*one) for one in parts), pytrace=False)
        self.parts, self.whole = parts, whole

    def told(self, translate: Translate) -> str:
        """The parts in that language."""
        return "\n".join(_part(translate(name), translate(what)) for name, what in self.parts)


def teach(good: bool, *, expected: object, seen: object, look: str, whole: bool = False) -> None:
    """Fail the check unless good, with what was expected, what was seen, and where to look. Raises Taught."""
    if not good:
        raise Taught(tuple(zip(PARTS, (str(expected), str(seen), look), strict=True)), whole=whole)


def _part(name: str, what: str) -> str:
    """Under its name, folded to the width; a text of several lines, an output, keeps its lines."""
    head = f"{name}:" + " " * (HEAD - 1 - cell_len(name))
    lines = what.splitlines() or [""]
    if len(lines) == 1:
        lines = _folded(what, WIDTH - HEAD)
    return "\n".join((head if number == 0 else " " * HEAD) + line for number, line in enumerate(lines))


def _folded(what: str, width: int) -> list[str]:
    """In lines of at most that width; a word that fits on none, such as a path, stays whole."""
    lines = [""]
    for unit in units(what):
        if lines[-1].strip() and cell_len(lines[-1] + unit.rstrip()) > width:
            lines.append("")
        lines[-1] += unit
    return [line.rstrip() for line in lines]


class Work:
    """The student's folder. What root reads there is read with the rights of the folder's owner, and no symlink is."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str, most: int = LARGEST) -> str:
        """A file's text; the check fails if there is none."""
        text, seen = "", ""
        try:
            text = read_owned(self.path, name, most).decode()
        except OSError as error:
            seen = f"{self.path / name}: {error.strerror}"
        except UnicodeDecodeError as error:
            seen = f"byte {error.start} is no UTF-8"
        teach(not seen, expected=f"a text file {name}", seen=seen, look="README.md of the exercise", whole=True)
        return text

    def python(self, name: str) -> Path:
        """The path of a program in Python; the check fails if it is none."""
        text, seen = self.read(name), ""
        try:
            with warnings.catch_warnings(action="ignore"):
                compile(text, name, "exec")
        except SyntaxError as error:
            seen = f"line {error.lineno}: {error.msg}: {(error.text or '').strip()}"
        except (ValueError, RecursionError) as error:  # a zero byte; brackets in thousands of brackets
            seen = str(error)
        teach(not seen, expected=f"{name} is Python", seen=seen, look=LINE, whole=True)
        return self.path / name

    def shell(self, name: str) -> str:
        """The text of a script; the check fails if sh(1) cannot read it."""
        text = self.read(name)
        done = subprocess.run(["sh", "-n"], input=text, capture_output=True, text=True, check=False)
        found = re.search(r"(\d+): (.+)", done.stderr)
        number, what = (int(found[1]), found[2]) if found else (0, done.stderr.strip())
        line = "".join(text.splitlines()[number - 1 : number]).strip()
        seen = f"line {number}: {what}: {line}" if line else f"at the end: {what}"
        teach(done.returncode == 0, expected=f"{name} is a shell script", seen=seen, look=LINE, whole=True)
        return text

    def solved(self, solve: Callable[[Case, Sequence[Event]], Found], case: Case) -> Found:
        """What that says of the log of the hidden run; the check fails if the log is not as it was made."""
        seen = ""
        try:
            found: Found = _solved(solve, case, self.read(LOG, LARGEST_LOG))
            return found
        except ValueError as error:  # RecordError is one
            seen = str(error)
        teach(False, expected=f"{LOG} as `lab exercise start` made it", seen=seen, look=ANOTHER)
        raise AssertionError

    def events(self) -> Sequence[Event]:
        """The events in the log of the hidden run. Raises RecordError."""
        return _events(self.read(LOG, LARGEST_LOG))

    def answers(self, name: str = ANSWERS) -> Answers:
        """The answers in a TOML file; the check fails if it is not TOML."""
        values, seen = dict[str, Any](), ""
        try:
            values = tomllib.loads(self.read(name))
        except tomllib.TOMLDecodeError as error:
            seen = _place(str(error))
        expected = f"{name} is TOML: NAME = VALUE, text in quotes"
        teach(not seen, expected=expected, seen=seen, look=f"{name}, toml.io", whole=True)
        return Answers(name, values)


def _place(error: str) -> str:
    """What tomllib says, the place first: it says "Invalid value (at line 1, column 13)"."""
    if found := re.fullmatch(r"(.+) \(at line (\d+), column (\d+)\)", error):
        what, line, column = found.groups()
        return f"line {line}, column {column}: {what}"
    what, end, _ = error.partition(" (at end of document)")
    return f"at the end: {what}" if end else error


@lru_cache(maxsize=1)
def _events(text: str) -> Sequence[Event]:
    """Parsed once for all tests of a check: that takes a second for a large log. So does to solve it."""
    return parsed(text.splitlines())


@lru_cache(maxsize=1)
def _solved(solve: Callable[[Case, Sequence[Event]], Any], case: Case, text: str) -> Any:
    return solve(case, _events(text))


class Answers:
    """What the student has written into a TOML file."""

    def __init__(self, file: str, values: dict[str, Any]) -> None:
        self._file, self._values = file, values

    def __getitem__(self, name: str) -> Any:
        """The value of `name`, or of `table.name`; the check fails if it is missing or still empty."""
        value: Any = self._values
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        empty = value is None or value in ("", "?", [])
        table, _, key = name.rpartition(".")
        look = f"{self._file}: `{key}` under `[{table}]`" if table else f"{self._file}, the line `{name}`"
        teach(not empty, expected=f"an answer for {_spoken(name)}", seen="none yet", look=look)
        return value

    def expect(self, name: str, right: object, look: str, *, kind: str) -> None:
        """Fail the check unless this is the value, as answers.same compares; kind says what an answer looks like."""
        value = self[name]
        expected, key = f"another answer for {_spoken(name)}: {kind}", name.rpartition(".")[2]
        teach(same(value, right), expected=expected, seen=f"{key} = {value!r}", look=look)


def _spoken(name: str) -> str:
    """A name as a student finds it in the file: table.key stands as `key` under the line `[table]`."""
    table, _, key = name.rpartition(".")
    return message(f"`{key}` under `[{table}]`") if table else name

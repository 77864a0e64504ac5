"""For an exercise's check: what a failure teaches, and what the check reads of the student's folder."""

from __future__ import annotations

import textwrap
import tomllib
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from _pytest.outcomes import Failed

from lab.audit.records import Event
from scenarios.classroom.answers import same
from scenarios.classroom.cases import LOG, Case
from scenarios.classroom.evidence import parsed
from scenarios.classroom.exercise import ANSWERS, LARGEST
from scenarios.classroom.reading import read_regular
from scenarios.classroom.student import rights_of
from scenarios.performance.text import message

WIDTH = 78
LARGEST_LOG = 64 << 20  # bytes of the log of a hidden run
ANOTHER = "lab exercise reset N makes another log, with other answers"
Found = TypeVar("Found")
PARTS = (message("expected"), message("seen"), message("look at"))  # of what a failure teaches


class Taught(Failed):
    """A check that failed; parts has what it teaches, each with its name, so that it can be told in any language."""

    def __init__(self, parts: Sequence[tuple[str, str]]) -> None:
        super().__init__("\n".join(_part(*one) for one in parts), pytrace=False)
        self.parts = parts


def teach(good: bool, *, expected: object, seen: object, look: str) -> None:
    """Fail the check unless good, with what was expected, what was seen, and where to look. Raises Taught."""
    if not good:
        raise Taught(tuple(zip(PARTS, (str(expected), str(seen), look), strict=True)))


def _part(name: str, what: str) -> str:
    """Under its name, folded to the width; a text of several lines, an output, keeps its lines."""
    head = f"{name + ':':10}"
    lines = what.splitlines() or [""]
    if len(lines) == 1:
        folding = {"break_long_words": False, "break_on_hyphens": False}
        lines = textwrap.wrap(what, WIDTH - len(head), **folding) or [""]  # type: ignore[arg-type]
    return "\n".join((head if number == 0 else " " * len(head)) + line for number, line in enumerate(lines))


class Work:
    """The student's folder. What root reads there is read with the rights of the folder's owner."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str, most: int = LARGEST) -> str:
        """A file's text; the check fails if there is none."""
        path, text, seen = self.path / name, "", ""
        try:
            owner = self.path.stat()
            with rights_of(owner.st_uid, owner.st_gid):
                text = read_regular(path, most).decode()
        except OSError as error:
            seen = f"{path}: {error.strerror}"
        except UnicodeDecodeError as error:
            seen = f"byte {error.start} is no UTF-8"
        teach(not seen, expected=f"a text file {name}", seen=seen, look="README.md of the exercise")
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
            seen = str(error)
        teach(not seen, expected=f"{name} is TOML: NAME = VALUE, text in quotes", seen=seen, look=f"{name}, toml.io")
        return Answers(name, values)


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
        teach(not empty, expected=f"an answer for {name}", seen="none yet", look=f"{self._file}, the line `{name}`")
        return value

    def expect(self, name: str, right: object, look: str) -> None:
        """Fail the check unless this is the value; a number may be written as a text, and the case does not count."""
        value = self[name]
        teach(same(value, right), expected=f"{name}: what the evidence says", seen=f"{name} = {value!r}", look=look)

"""An exercise: a folder exercises/NN-name/ with README.md, exercise.toml, start/, test_*.py, solution/ and wrong/WAY/.

README.CODE.md   README.md in the language of that code
trial_*.py       where a grader can run the student's code without root's rights: see `trial` below
start/           what is copied to the student, with its comments in the student's language
solution/        files that stand in the place of start/'s, with which the check passes
wrong/WAY/       files that stand in the place of solution/'s, or edit.toml (Edit), with which the check fails;
                 expected.txt: part of its words
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lab.errors import InvalidArgument, MissingFeature, NotAllowed, NotFound
from scenarios import doctor, needs
from scenarios.classroom.cases import CASES
from scenarios.classroom.typed import lab

EXERCISES = Path(__file__).parent.parent.parent / "exercises"
NAME = re.compile(r"(\d\d)-([a-z0-9]+(?:-[a-z0-9]+)*)")
Line = Annotated[str, Field(min_length=1, max_length=400)]
ANSWERS = "answers.toml"
LARGEST = 1 << 20  # bytes of a file in start/ or in the student's folder


class Strict(BaseModel):
    """A table of exercise.toml: a word that is not known is an error, not a wish that nobody hears."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Question(Strict):
    """What the student predicts before anything runs.

    choices   of which one is taken, by its number or as a word
    accept    the right ones; none where the check measures the answer, and tells it by kernel_said(id, answer)
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    ask: Line
    choices: Annotated[tuple[Line, ...], Field(min_length=2, max_length=9)]
    accept: tuple[Line, ...] = ()

    @model_validator(mode="after")
    def _accepts_what_can_be_chosen(self) -> Question:
        if unknown := set(self.accept) - set(self.choices):
            raise ValueError(f"accept has {', '.join(sorted(unknown))}, which is not among the choices")
        return self


class Edit(BaseModel):
    """edit.toml of a wrong way: in that file of the solution, other lines stand in the place of these."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    file: str
    lines: Annotated[str, Field(min_length=1)]
    instead: str

    def apply(self, files: Mapping[str, bytes]) -> dict[str, bytes]:
        """The files with the edit made. Raises ValueError unless the lines stand there once."""
        before = files[self.file].decode()
        if before.count(self.lines) != 1:
            raise ValueError(f"{self.file} has these lines {before.count(self.lines)} times: {self.lines!r}")
        return {**files, self.file: before.replace(self.lines, self.instead).encode()}


class Description(Strict):
    """exercise.toml.

    goal          what to find out or to make, in a few lines
    minutes       how long it takes
    needs         what the check needs here: root, audit, or a program of scenarios/needs.py
    files         those of the student's folder that the student edits; the first one first
    predict       asked before anything runs
    hints         three, each stronger than the one before
    explanation   after the check has passed
    reading       what to read then: pages of this checkout, man pages, addresses
    records       the file of the student's folder that a record of `lab shell` is written to when it arrives
    answers       how a grader knows what is right in answers.toml: "solution" the same for everybody, "record" what
                  the event in `records` says; "" it does not
    evidence      what the check keeps by keep_records, and whether the file's records are expected there
    trial         the files that trial_*.py judges, which runs them for the grader in a container: cell.py
    trial_misses  what of these files it cannot judge there, in a few words; "" if it judges everything
    case          what differs by student: one of scenarios/classroom/cases.py; "" if nothing does
    """

    title: Line
    goal: Annotated[str, Field(min_length=1, max_length=900)]
    minutes: Annotated[int, Field(ge=1, le=180)]
    needs: tuple[str, ...] = ()
    files: Annotated[tuple[Annotated[str, Field(pattern=r"^[\w.-]+$")], ...], Field(min_length=1)]
    predict: tuple[Question, ...] = ()
    hints: Annotated[tuple[Line, ...], Field(min_length=3, max_length=3)]
    explanation: Annotated[str, Field(min_length=1, max_length=1500)]
    reading: Annotated[tuple[Line, ...], Field(min_length=1)]
    records: str = ""
    answers: Literal["solution", "record", ""] = ""
    evidence: dict[str, bool] = {}
    trial: tuple[str, ...] = ()
    trial_misses: Annotated[str, Field(max_length=80)] = ""
    case: str = ""

    @model_validator(mode="after")
    def _is_whole(self) -> Description:
        if unknown := set(self.needs) - {"root", "audit"} - needs.PROGRAMS.keys():
            raise ValueError(f"needs has {', '.join(sorted(unknown))}; known are root, audit and programs of needs.py")
        if self.records and self.records not in self.files:
            raise ValueError(f"records is {self.records}, which is not among files")
        if unknown := set(self.trial) - set(self.files):
            raise ValueError(f"trial has {', '.join(sorted(unknown))}, which is not among files")
        if self.answers and ANSWERS not in self.files:
            raise ValueError(f"answers is {self.answers}, and {ANSWERS} is not among files")
        if self.answers == "record" and not self.records:
            raise ValueError("answers is record, and records names no file")
        if self.case and self.case not in CASES:
            raise ValueError(f"case is {self.case}; known are {', '.join(CASES)}")
        ids = [question.id for question in self.predict]
        if len(ids) != len(set(ids)):
            raise ValueError("two questions of predict have the same id")
        return self


@dataclass(frozen=True)
class Exercise:
    """An exercise by its folder; number and name are the folder's."""

    folder: Path
    about: Description

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def number(self) -> int:
        return int(self.name.partition("-")[0])

    @classmethod
    def load(cls, folder: Path) -> Exercise:
        """Read a folder. Raises InvalidArgument, which names the file and the field."""
        path = folder / "exercise.toml"
        if not NAME.fullmatch(folder.name):
            raise InvalidArgument(f"{folder} is no exercise", "name the folder NN-name, for example 03-record")
        try:
            about = Description.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise InvalidArgument(
                f"{path}: {error.strerror}", "an exercise is described in its exercise.toml"
            ) from None
        except tomllib.TOMLDecodeError as error:
            raise InvalidArgument(f"{path}: {error}", "correct that line; see toml.io") from None
        except ValidationError as error:
            raise InvalidArgument(_told(path, error), "see scenarios/classroom/exercise.py for the fields") from None
        exercise = cls(folder, about)
        missing = [name for name in about.files if name not in exercise.start()]
        if missing:
            raise InvalidArgument(f"{path}: files: start/ has no {', '.join(missing)}", "write that file")
        if about.trial and not exercise.trial.is_file():
            raise InvalidArgument(f"{path}: trial: there is no trial_*.py", "write one, as exercises/02-tree has it")
        return exercise

    @property
    def trial(self) -> Path:
        """The program that judges the files of `about.trial`, within a container: trial_*.py."""
        return next(self.folder.glob("trial_*.py"), self.folder / "trial_.py")

    def page(self, code: str) -> str:
        """Where the page of the task lies in the checkout, in the language of that code if it has been translated."""
        translated = f"README.{code}.md"
        return f"exercises/{self.name}/{translated if (self.folder / translated).is_file() else 'README.md'}"

    def start(self) -> dict[str, bytes]:
        """The files that the student begins with, by name."""
        return contents(self.folder / "start")

    @property
    def has_solution(self) -> bool:
        """Whether it is in this checkout: not in a student's archive."""
        return (self.folder / "solution").is_dir()

    def solution(self) -> dict[str, bytes]:
        """The files of the student's folder with which the check passes. Raises NotFound in a student's archive."""
        if not self.has_solution:
            raise NotFound(f"this checkout has no solution of {self.name}", "ask your teacher")
        return {**self.start(), **contents(self.folder / "solution")}

    def wrong(self) -> dict[str, dict[str, bytes]]:
        """The files of the student's folder by the name of the wrong way."""
        found = {}
        for folder in sorted(path for path in (self.folder / "wrong").glob("*") if path.is_dir()):
            own = contents(folder)
            own.pop("expected.txt")
            edit = own.pop("edit.toml", None)
            files = {**self.solution(), **own}
            found[folder.name] = Edit.model_validate(tomllib.loads(edit.decode())).apply(files) if edit else files
        return found

    def expected(self, way: str) -> str:
        """What the check says of that wrong way."""
        return (self.folder / "wrong" / way / "expected.txt").read_text(encoding="utf-8").strip()

    def require(self, verb: str = "check") -> None:
        """Raise NotAllowed or MissingFeature where the check, or that verb, cannot run here."""
        if "root" in self.about.needs and os.geteuid() != 0:
            again = f"sudo {lab()} exercise {verb} {self.number}\n  or sudo {lab()} learn"
            if verb == "check":
                raise NotAllowed(f"the check of {self.name} needs root, since it asks the kernel", again)
            raise NotAllowed(f"to begin {self.name} needs root, since it records a log of your own kernel", again)
        needs.require(*(name for name in self.about.needs if name in needs.PROGRAMS))
        if "audit" in self.about.needs:
            audit = doctor.audit()
            if not audit.usable:
                raise MissingFeature(
                    f"the check of {self.name} needs the kernel's audit: {'; '.join(audit.reasons)}",
                    "`sudo .venv/bin/lab doctor` shows what this machine lacks",
                )


def contents(folder: Path) -> dict[str, bytes]:
    """The files directly in a folder of an exercise, by name."""
    paths = sorted(path for path in folder.glob("*") if path.is_file())
    return {path.name: path.read_bytes() for path in paths}


def every() -> list[Exercise]:
    """All exercises, in their order. Raises InvalidArgument for one that is not as it must be."""
    return [Exercise.load(path) for path in sorted(EXERCISES.glob("[0-9]*")) if path.is_dir()]


def find(word: str, among: Sequence[Exercise] | None = None) -> Exercise:
    """The exercise with this number, this name, or this name without its number. Raises NotFound."""
    among = every() if among is None else among
    for exercise in among:
        names = {exercise.name, exercise.name.partition("-")[2], str(exercise.number), f"{exercise.number:02}"}
        if word in names:
            return exercise
    known = ", ".join(str(exercise.number) for exercise in among)
    raise NotFound(f"there is no exercise {word!r}", f"`lab exercise list` shows them; there are {known}")


def _told(path: Path, error: ValidationError) -> str:
    """The first of the errors, as FILE: FIELD: what is wrong."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    return f"{path}: {field + ': ' if field else ''}{first['msg'].removeprefix('Value error, ')}"

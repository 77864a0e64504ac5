"""The student's desk: a folder for each exercise, and what has been done so far.

~/loginuid-exercises/NN-name/       what the student edits; a copy of the exercise's start/
                     progress.json  replaced as a whole, so that a killed lab leaves the old one or the new one
                     student.key    made at the first start, mode 600: signs what the student hands in
                     NN-name.evidence.json  what the check that passed first has seen
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from lab.errors import InvalidArgument, NotAllowed
from scenarios.classroom.comments import in_language
from scenarios.classroom.exercise import LARGEST, Exercise
from scenarios.classroom.reading import read_regular
from scenarios.classroom.seeds import Names, filled
from scenarios.classroom.student import Student
from scenarios.performance.text import Translate, in_english

PROGRESS = "progress.json"
KEY, KEY_BYTES = "student.key", 32  # the seed of an Ed25519 key, RFC 8032: any 32 random bytes


class Prediction(BaseModel):
    """What the student thought before, and when (seconds since 1970)."""

    answer: str
    time: float


class Done(BaseModel):
    """What has been done of one exercise; times in seconds since 1970, 0 for never."""

    model_config = ConfigDict(extra="forbid")
    started: float = 0
    passed: float = 0
    checks: int = 0
    hints: int = 0
    solution_seen: float = 0
    predictions: dict[str, Prediction] = {}


class Progress(BaseModel):
    """progress.json: by the name of the exercise. language: of the last start, as --lang has it; "" for none yet."""

    model_config = ConfigDict(extra="forbid")
    version: int = 1
    language: str = ""
    exercises: dict[str, Done] = {}

    def of(self, exercise: Exercise) -> Done:
        """What has been done of it; kept, if it is changed."""
        return self.exercises.setdefault(exercise.name, Done())


@dataclass(frozen=True)
class Made:
    """What was made for one student: names (see cases.py), and files of the folder, the one that comes last last."""

    names: Names
    files: Mapping[str, bytes]


NOTHING_MADE = Made({}, {})


class Desk:
    """The place of one student; everything in it is done with the student's own rights."""

    def __init__(self, student: Student, language: str = "") -> None:
        """language: the code of that in which an exercise is begun; pytest then answers in it."""
        self.student, self.language = student, language
        self.place = student.place

    def folder(self, exercise: Exercise) -> Path:
        return self.place / exercise.name

    def progress(self) -> Progress:
        """Raises InvalidArgument for a file that is no progress."""
        data, path = self.get(PROGRESS), self.place / PROGRESS
        try:
            return Progress() if data is None else Progress.model_validate_json(data)
        except ValidationError:
            raise InvalidArgument(f"{path} is damaged", f"begin a new one: mv {path} {path}.damaged") from None

    def keep(self, progress: Progress) -> None:
        """Write progress.json. Raises NotAllowed if the student may not."""
        self.put(PROGRESS, progress.model_dump_json(indent=1).encode() + b"\n")

    def put(self, name: str, data: bytes, mode: int = 0o644) -> None:
        """Replace a file beside progress.json as a whole. Raises NotAllowed."""
        path = self.place / name
        with self._writing(path):
            self.place.mkdir(mode=0o755, exist_ok=True)
            new = path.with_name(f"{path.name}.new")
            _write(new, data, mode)
            new.replace(path)

    def get(self, name: str) -> bytes | None:
        """A file beside progress.json, or NN-name/FILE; None if there is none. Raises NotAllowed."""
        path = self.place / name
        try:
            with self.student.rights():
                return read_regular(path, LARGEST)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise NotAllowed(f"cannot read {path}: {error.strerror}", f"look at it: ls -l {path}") from None

    def key(self) -> bytes:
        """The secret key of the student, which is made the first time; 32 bytes. Raises InvalidArgument, NotAllowed."""
        text = self.get(KEY)
        if text is None:
            text = secrets.token_hex(KEY_BYTES).encode()
            self.put(KEY, text + b"\n", 0o600)
        try:
            key = bytes.fromhex(text.decode("ascii"))
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            path = self.place / KEY
            raise InvalidArgument(f"{path} is no key", f"begin a new one: mv {path} {path}.damaged")
        return key

    def start(
        self, exercise: Exercise, made: Made = NOTHING_MADE, began: float = 0, translate: Translate = in_english
    ) -> list[str]:
        """Copy what is not there yet of start/, and all that was made for this student; the names of what was copied.

        began: when this start began, seconds since 1970, if that is not now.
        translate: the student's language, for the comments in the files.
        """
        files, copied = filled(in_language(exercise.start(), translate), made.names), list[str]()
        folder = self.folder(exercise)
        with self._writing(folder):
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            for name, data in made.files.items():
                _write(folder / name, data)
                copied.append(name)
            for name, data in files.items():
                if not os.path.lexists(folder / name):
                    _write(folder / name, data)
                    copied.append(name)
        progress = self.progress()
        done = progress.of(exercise)
        done.started = done.started or began or time.time()
        progress.language = self.language or progress.language
        self.keep(progress)
        self.key()
        return copied

    def reset(self, exercise: Exercise) -> Path | None:
        """Begin an exercise anew; what was there is kept as NN-name.old, or .old2 and so on, whose path is returned.

        Nothing is removed from a folder, since that may fail half-way: it may hold a file that is root's.
        """
        folder = self.folder(exercise)
        with self._writing(folder):
            there, old = os.path.lexists(folder), _free(self.place / f"{exercise.name}.old")
            if there:
                folder.rename(old)
            (self.place / evidence_of(exercise)).unlink(missing_ok=True)
        progress = self.progress()
        progress.exercises.pop(exercise.name, None)
        self.keep(progress)
        return old if there else None

    def reset_all(self) -> tuple[list[str], dict[str, str]]:
        """Remove the whole place, for the next class on this machine. Raises NotAllowed.

        The names of what is gone, and of what is not, with the reason: what stays, such as root's, hinders no other.
        """
        gone, left = list[str](), dict[str, str]()
        with self._writing(self.place):
            whole = self.place.is_symlink() or not self.place.is_dir()
            for path in [] if whole else sorted(self.place.iterdir()):
                if errors := [*_remove(path)]:
                    left[path.name] = f"{errors[0].filename}: {errors[0].strerror}"
                else:
                    gone.append(path.name)
            for error in () if left else _remove(self.place):
                raise error
        return gone, left

    def write(self, exercise: Exercise, name: str, data: bytes) -> None:
        """Replace a file of the student's folder, for example by a record that has arrived."""
        path = self.folder(exercise) / name
        with self._writing(path):
            new = path.with_name(f".{name}.new")
            _write(new, data)
            new.replace(path)

    def _writing(self, path: Path) -> _Writing:
        return _Writing(self.student, path)


class _Writing:
    """The student's rights, and a sentence for what they do not reach."""

    def __init__(self, student: Student, path: Path) -> None:
        self._rights, self._path, self._name = student.rights(), path, student.name

    def __enter__(self) -> None:
        self._rights.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._rights.__exit__(None, None, None)
        if isinstance(error, OSError):
            raise NotAllowed(
                f"{self._name} cannot write {error.filename or self._path}: {error.strerror}",
                f"look at it: ls -ld {self._path}",
            ) from None


def evidence_of(exercise: Exercise) -> str:
    """The name of the file with what its check has seen."""
    return f"{exercise.name}.evidence.json"


def _write(path: Path, data: bytes, mode: int = 0o644) -> None:
    """A new file; one of that name, or a symlink, is replaced and never written through."""
    with suppress(FileNotFoundError):
        path.unlink()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as file:
        file.write(data)


def _free(path: Path) -> Path:
    """This path, or with the first number behind it, from 2 on, that nothing has."""
    numbered = (path.with_name(f"{path.name}{number}") for number in chain([""], count(2)))
    return next(one for one in numbered if not os.path.lexists(one))


def _remove(path: Path) -> Iterator[OSError]:
    """Remove a file, a symlink itself, or a folder with all that may be removed in it; why something stays, first."""
    try:
        if path.is_dir() and not path.is_symlink():
            for one in sorted(path.iterdir()):
                yield from _remove(one)
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        yield error

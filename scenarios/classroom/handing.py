"""`lab class new`, `lab exercise submit`, `lab grade`: a class is made, a hand-in is written, hand-ins are graded."""

from __future__ import annotations

import argparse
import os
from contextlib import nullcontext, suppress
from importlib.util import find_spec
from pathlib import Path

from lab.errors import Conflict, InvalidArgument, MissingFeature, NotAllowed
from scenarios.classroom import cell, classes, submission
from scenarios.classroom.desk import Desk
from scenarios.classroom.exercise import every
from scenarios.classroom.sealing import fingerprint, public_of
from scenarios.classroom.showing import Shown
from scenarios.classroom.student import rights_of
from scenarios.performance.text import message
from scenarios.playing import HELD_ALL, SOME_UNKNOWN


def class_new(arguments: argparse.Namespace) -> int:
    """Write NAME.class, to hand out, and NAME.key, mode 600, to keep; neither replaces a file."""
    _require("nacl")
    shown, folder = Shown(language=arguments.language), Path(arguments.output)
    key = classes.new(arguments.name)
    secret, public = folder / f"{key.klass.name}.key", folder / f"{key.klass.name}.class"
    _create(secret, key.model_dump_json(indent=1) + "\n", 0o600)
    _create(public, key.code + "\n", 0o644)
    shown.say("{file}: hand this out, as a file or as its one line:", file=str(public))
    shown.say("  {code}", code=key.code)
    shown.say("{file}: keep this; without it no hand-in can be opened", file=str(secret))
    return HELD_ALL


def submit(arguments: argparse.Namespace, desk: Desk, shown: Shown) -> int:
    """Write one file with everything that the student has done; nothing is sent."""
    _require("nacl")
    klass, name = submission.enrolled(desk, arguments.klass, arguments.name)
    hand_in = submission.gathered(desk, klass, name)
    if not hand_in.exercises:
        raise InvalidArgument("there is nothing to hand in yet", "begin with `lab exercise start 0`")
    data = submission.sealed(desk, hand_in, klass)
    usual = desk.place / f"{klass.name}-{fingerprint(public_of(desk.key()))}.handin"
    file = Path(arguments.output).absolute() if arguments.output else usual
    desk.put(str(file), data)
    passed = sum(bool(work.passed) for work in hand_in.exercises.values())
    shown.say("{passed} of {begun} exercises passed", passed=passed, begun=len(hand_in.exercises))
    shown.say("For {name} in {klass}, signed by your key, sealed to your teacher's:", name=name, klass=klass.name)
    shown.say("  {file}", file=str(file))
    return HELD_ALL


def grade(arguments: argparse.Namespace) -> int:
    """Write the reports; exit status 3 if a file could not be opened."""
    _require("nacl", "jinja2")
    from scenarios.classroom import grading, reports

    exercises, key, folder = every(), classes.TeacherKey.load(Path(arguments.key)), Path(arguments.output)
    grading.require_solutions(exercises)
    reason = message("--no-code was given") if arguments.no_code else cell.why_not()
    with nullcontext() if reason else cell.Cell() as place:
        run = place.run if place else None
        rows = grading.graded([Path(file) for file in arguments.files], key, exercises, run=run)
    code = reports.NOT_RUN.format(why=reason) if reason else reports.RUN
    _write_all(folder, reports.every_form(rows, exercises, key.klass, code))
    shown, damaged = Shown(language=arguments.language), [row for row in rows if row.trouble]
    for row in damaged:
        shown.say("{file}: {trouble}", file=reports.plain(row.file), trouble=reports.plain(row.trouble))
    flagged = sum(bool(row.odd) for row in rows)
    shown.say("Files: {files}. With something to look at: {flagged}.", files=len(rows), flagged=flagged)
    shown.say("  {summary}", summary=str(folder / "summary.html"))
    shown.say(reports.HONEST)
    if reason:
        shown.say(reports.NOT_RUN, why=arguments.language.translate(reason))
    else:
        shown.say(reports.RUN)
    return SOME_UNKNOWN if damaged else HELD_ALL


def _write_all(folder: Path, texts: dict[str, str]) -> None:
    """Replace these files of a folder that only the teacher can read. Raises NotAllowed.

    Under sudo they are made with the rights of the folder's owner, so that the teacher can read them.
    """
    path = folder.absolute()
    there = next(place for place in (path, *path.parents) if place.exists()).stat()
    try:
        with rights_of(there.st_uid, there.st_gid):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name, text in texts.items():
                new = folder / f"{name}.new"
                with suppress(FileNotFoundError):
                    new.unlink()
                _create(new, text, 0o600)
                new.replace(folder / name)
    except OSError as error:
        raise NotAllowed(f"cannot write {folder}: {error.strerror}", "give another folder with -o") from None


def _create(path: Path, text: str, mode: int) -> None:
    """A new file. Raises Conflict if there is one, NotAllowed."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            file.write(text)
    except FileExistsError:
        raise Conflict(f"{path} exists already", "take another name, or another folder with -o") from None
    except OSError as error:
        raise NotAllowed(f"cannot write {path}: {error.strerror}", "give another folder with -o") from None


def _require(*packages: str) -> None:
    if missing := [name for name in packages if not find_spec(name)]:
        raise MissingFeature(f"Python packages are missing: {', '.join(missing)}", "run `tools/setup venv`, then again")

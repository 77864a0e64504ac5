"""answers.toml, judged without running anything: by the solution, or by the record that the student had."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from lab.audit.records import PATH, Event, RecordError
from lab.errors import InvalidArgument
from lab.identity import UNSET
from scenarios.classroom.cases import Case
from scenarios.classroom.evidence import parsed
from scenarios.classroom.exercise import ANSWERS, Exercise
from scenarios.classroom.seeds import Seed, filled_text

ARTICLES = ("a", "an", "the")
PROCTITLE = 1327  # linux/audit.h
LONGEST = 4096  # bytes of an answers.toml: what tomllib needs grows with the square of a dotted key


def same(value: object, right: object) -> bool:
    """Whether an answer is this value. Case, spaces and an article do not count: "A  Socket" is socket, "7" is 7."""
    return _tidy(value) == _tidy(right)


def _tidy(value: object) -> str:
    first, *others = str(value).lower().split() or [""]
    return " ".join(others if others and first in ARTICLES else [first, *others])


def told_by(event: Event) -> dict[str, str | int]:
    """The answers of exercise 3 by their names. Raises RecordError for an event that has no such fields."""
    names = (record.fields.get("name") for record in event.of_type(PATH) if record.fields.get("nametype") != "PARENT")
    titles = (record.fields.get("proctitle") for record in event.of_type(PROCTITLE))
    path, title = next(names, None), next(titles, None)
    if path is None or title is None:
        raise RecordError(f"audit event {event.serial} lacks a PATH or a PROCTITLE record")
    auid = event.auid
    return {
        "login": "unset" if auid == UNSET else auid,
        "session": "unset" if event.ses == UNSET else event.ses,
        "user": event.uid,
        "program": event.field("exe"),
        "file": path,
        "command": title.replace("\0", " "),
    }


def wrong(exercise: Exercise, files: Mapping[str, str], seed: str = "") -> list[str]:
    """What is wrong in these files' answers.toml, in short sentences; none where all is right.

    seed: of the student's case, where the exercise has one.
    """
    text = files.get(ANSWERS, "")
    if len(text.encode()) > LONGEST:
        return [f"{ANSWERS} has more than {LONGEST} bytes"]
    try:
        right = dict(_flat(_right(exercise, files, seed)))
        given = dict(_flat(tomllib.loads(text)))
        return [f"{name} is wrong" for name in right if not same(given.get(name, ""), right[name])]
    except InvalidArgument:
        return ["the seed of its case is missing"]
    except RecordError as error:
        return [f"{exercise.about.records}: {str(error)[:100]}"]
    except tomllib.TOMLDecodeError:
        return [f"{ANSWERS} is no TOML"]
    except (RecursionError, ValueError):  # nested too deep; a number of more digits than str() prints
        return [f"{ANSWERS} holds values that no answer has"]


def _right(exercise: Exercise, files: Mapping[str, str], seed: str) -> Mapping[str, Any]:
    if exercise.about.answers == "solution":
        names = Case.of(exercise.about.case, Seed(seed)).names if exercise.about.case else {}
        return tomllib.loads(filled_text(exercise.solution()[ANSWERS].decode(), names))
    found = parsed(files.get(exercise.about.records, "").splitlines())
    if not found:
        raise RecordError("there is no record")
    return told_by(found[0])


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value

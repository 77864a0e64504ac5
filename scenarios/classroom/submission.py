"""What a student hands in: one file with the answers, the code, the evidence and the progress of all exercises."""

from __future__ import annotations

import time
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from lab.errors import InvalidArgument
from scenarios.classroom import sealing
from scenarios.classroom.cases import FILE as CASE
from scenarios.classroom.cases import Case
from scenarios.classroom.classes import Class, named
from scenarios.classroom.desk import Desk, evidence_of
from scenarios.classroom.evidence import Evidence, Label, Machine, Time, Told, machine
from scenarios.classroom.exercise import Exercise, every

ENROLMENT = "class.json"
LONGEST_FILE = 64 << 10  # bytes of a file that is handed in
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$")]
Contents = Annotated[str, StringConstraints(max_length=LONGEST_FILE)]
Count = Annotated[int, Field(ge=0, le=10**6)]


class Enrolment(BaseModel):
    """class.json: the code of the class and the student's name, once given, are known from then on."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    code: str = ""
    name: str = ""


class Predicted(Told):
    """As desk.Prediction."""

    answer: Label
    time: Time


class Work(Told):
    """One exercise: its progress as in desk.Done, the student's files as text, and the evidence of the check.

    seed    of its case, if it has one: the class's for this name, or, where it was begun before that, the key's
    """

    started: Time = 0
    passed: Time = 0
    checks: Count = 0
    hints: Count = 0
    solution_seen: Time = 0
    predictions: dict[Label, Predicted] = Field(default_factory=dict, max_length=50)
    files: dict[Name, Contents] = Field(default_factory=dict, max_length=20)
    evidence: Evidence | None = None
    seed: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{32})?$")] = ""


class HandIn(Told):
    """The body of a hand-in. `seed` is Class.seed(student); `made` is when, by the student's clock."""

    version: Literal[1] = 1
    student: str
    seed: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    machine: Machine
    made: Time
    exercises: Annotated[dict[Name, Work], Field(max_length=99)]

    @field_validator("student")
    @classmethod
    def _can_be_seen(cls, name: str) -> str:
        try:
            tidy = named(name)
        except InvalidArgument as error:
            raise ValueError(error.message) from None
        if tidy != name:
            raise ValueError("the name is not in the form that `lab exercise submit` gives it")
        return name


def enrolled(desk: Desk, code: str = "", name: str = "") -> tuple[Class, str]:
    """The class and the name, kept for the next time; "" for what was given before. Raises InvalidArgument."""
    data = desk.get(ENROLMENT)
    try:
        before = Enrolment() if data is None else Enrolment.model_validate_json(data)
    except ValidationError:
        path = desk.place / ENROLMENT
        raise InvalidArgument(f"{path} is damaged", f"remove it, and give --class and --name: rm {path}") from None
    if not (code or before.code) or not (name or before.name):
        hint = 'lab exercise submit --class CODE --name "YOUR NAME"; the code is your teacher\'s'
        raise InvalidArgument("which class is it, and what is your name?", hint)
    now = Enrolment(code=Class.given(code).code if code else before.code, name=named(name or before.name))
    if now != before:
        desk.put(ENROLMENT, now.model_dump_json(indent=1).encode() + b"\n")
    return Class.parse(now.code), now.name


def gathered(desk: Desk, klass: Class, name: str) -> HandIn:
    """All that the student has done. Raises InvalidArgument for a file that is too large or damaged."""
    begun = desk.progress().exercises
    works = {one.name: _work(desk, one) for one in every() if one.name in begun}
    return HandIn(student=name, seed=klass.seed(name), machine=machine(), made=time.time(), exercises=works)


def _work(desk: Desk, one: Exercise) -> Work:
    files = {}
    for file in one.about.files:
        data = desk.get(f"{one.name}/{file}")
        if data is not None and len(data) > LONGEST_FILE:
            path = desk.folder(one) / file
            raise InvalidArgument(f"{path} has {len(data)} bytes", f"a hand-in takes {LONGEST_FILE}: make it shorter")
        if data is not None:
            files[file] = data.decode(errors="backslashreplace")
    done = desk.progress().of(one)
    kept, path = desk.get(evidence_of(one)), desk.place / evidence_of(one)
    try:
        evidence = None if kept is None else Evidence.model_validate_json(kept)
        seed = {"seed": _seed(desk, one)} if one.about.case else {}
        return Work.model_validate({**done.model_dump(), "files": files, "evidence": evidence, **seed})
    except ValidationError:
        raise InvalidArgument(f"{path}, or the progress of {one.name}, is damaged", f"rm {path}") from None


def _seed(desk: Desk, one: Exercise) -> str:
    """Of the student's case.toml; "" if that is gone. Raises InvalidArgument for an edited one."""
    text = desk.get(f"{one.name}/{CASE}")
    return "" if text is None else Case.parse(one.about.case, text.decode(errors="replace")).seed.digits


def sealed(desk: Desk, hand_in: HandIn, klass: Class) -> bytes:
    """The file to hand in. Raises InvalidArgument if it is too large."""
    data = sealing.sealed(hand_in.model_dump_json().encode(), desk.key(), klass)
    if len(data) > sealing.MOST:
        raise InvalidArgument(f"the hand-in has {len(data)} bytes", f"a teacher's lab takes {sealing.MOST}")
    return data


def opened(data: bytes, secret: bytes, klass: Class) -> tuple[str, HandIn]:
    """The fingerprint of the student's key, and what was handed in. Raises Damaged."""
    key, body = sealing.opened(data, secret, klass)
    try:
        return sealing.fingerprint(key), HandIn.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise sealing.Damaged(f"it is not as a hand-in must be: {first['msg']}") from None

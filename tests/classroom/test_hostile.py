"""A hand-in that is damaged, forged or made to harm costs only itself."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from handed import EVERY, NOW, TEACHER, graded, honest, sealed
from nacl.public import PublicKey, SealedBox
from nacl.signing import SigningKey

from scenarios.classroom import answers, classes, grading, sealing, suspicion
from scenarios.classroom.exercise import find
from scenarios.classroom.submission import LONGEST_FILE

NOT_AS_IT_MUST_BE = "it is not as a hand-in must be: "
CANNOT = "cannot read it: "
OTHER = "it is damaged, or it is for another class"


def flipped(data: bytes, at: int) -> bytes:
    """One bit is another."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def unsigned(body: bytes) -> bytes:
    """Sealed by hand: somebody's public key before a signature of another class."""
    key = SigningKey.generate()
    other = classes.new("os-2026").klass
    signature = key.sign(sealing.MAGIC + other.code.encode() + b"\0" + body).signature
    inside = bytes(key.verify_key) + signature + body
    return sealing.MAGIC + SealedBox(PublicKey(TEACHER.klass.key)).encrypt(inside)


def short(body: bytes) -> bytes:
    """Sealed, with nothing in it."""
    return sealing.MAGIC + SealedBox(PublicKey(TEACHER.klass.key)).encrypt(body[:40])


BODY = json.dumps(honest()).encode()
GOOD = sealed(BODY)


@pytest.mark.parametrize(
    ("data", "trouble"),
    [
        (b"", "this is no hand-in"),
        (b"PK\x03\x04" + bytes(100), "this is no hand-in"),
        (sealing.MAGIC, OTHER),
        (GOOD[:-1], OTHER),
        (GOOD + b"x", OTHER),
        (flipped(GOOD, 200), OTHER),
        (flipped(GOOD, len(sealing.MAGIC)), OTHER),
        (sealing.sealed(BODY, bytes(32), classes.new("os-2026").klass), OTHER),
        (unsigned(BODY), "its signature is not that of the student's key"),
        (short(BODY), "its signature is not that of the student's key"),
        (bytes(sealing.MOST + 1), f"cannot read it: this has more than {sealing.MOST} bytes"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_a_damaged_file_is_named(tmp_path: Path, data: bytes, trouble: str) -> None:
    """It has no mark, and the honest ones around it have theirs."""
    rows = graded(tmp_path, sealed(honest()), data, sealed(honest("Bob", 500)))
    assert [(row.trouble, row.points, row.counts) for row in rows] == [
        ("", 3, True),
        (trouble, 0, False),
        ("", 3, True),
    ]


Bodies = dict[str, Callable[[], bytes]]


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """An honest body with one thing in it changed."""
    body = honest()
    change(body)
    return json.dumps(body).encode()


def files(value: object) -> bytes:
    """Other files of exercise 3."""
    return changed(lambda body: body["exercises"]["03-record"].update(files=value))


BODIES: Bodies = {
    "no JSON": lambda: b"\xff\xfe{",
    "nothing": lambda: b"",
    "a list": lambda: b"[]",
    "deep lists": lambda: b"[" * 500_000,
    "deep objects": lambda: b'{"exercises":' * 100_000,
    "deep where text should be": lambda: BODY.replace(
        b'"version": 1', b'"version": ' + b"[" * 900_000 + b"]" * 900_000
    ),
    "a number of a million digits": lambda: BODY.replace(b'"version": 1', b'"version": ' + b"9" * 1_000_000),
    "not a number": lambda: changed(lambda body: body.update(made=float("nan"))),
    "an infinite time": lambda: changed(lambda body: body.update(made=float("inf"))),
    "a time of 1e300": lambda: changed(lambda body: body.update(made=1e300)),
    "a time before 1970": lambda: changed(lambda body: body["exercises"]["03-record"].update(started=-1)),
    "a million keys": lambda: b"{" + b",".join(b'"%d":0' % number for number in range(100_000)) + b"}",
    "one more field": lambda: changed(lambda body: body.update(more=1)),
    "no student": lambda: changed(lambda body: body.pop("student")),
    "a student without a name": lambda: changed(lambda body: body.update(student=" ")),
    "a student of 10000 letters": lambda: changed(lambda body: body.update(student="a" * 10_000)),
    "a name that clears the screen": lambda: changed(lambda body: body.update(student="\x1b[2JAda")),
    "a name that turns the line": lambda: changed(lambda body: body.update(student="\u202eadA")),
    "a name of two lines": lambda: changed(lambda body: body.update(student="Ada\nBob")),
    "a name that is half a character": lambda: BODY.replace(b"Ada Lovelace", b"\\ud800"),
    "a name without a shape": lambda: changed(lambda body: body.update(student="\u3164")),
    "a name of joiners": lambda: changed(lambda body: body.update(student="\u200d\u200c")),
    "a name that only looks like another": lambda: changed(lambda body: body.update(student="Ada\u200d Lovelace")),
    "a name below a pile of marks": lambda: changed(lambda body: body.update(student="A" + "\u0301" * 70)),
    "a number for a name": lambda: changed(lambda body: body.update(student=7)),
    "true for a number": lambda: changed(lambda body: body["exercises"]["03-record"].update(checks=True)),
    "text for a number": lambda: changed(lambda body: body["exercises"]["03-record"].update(checks="1")),
    "half a check": lambda: changed(lambda body: body["exercises"]["03-record"].update(checks=0.5)),
    "a list for exercises": lambda: changed(lambda body: body.update(exercises=[])),
    "a hundred exercises": lambda: changed(
        lambda body: body.update(exercises={f"{number}-x": {} for number in range(100)})
    ),
    "a path for an exercise": lambda: changed(lambda body: body["exercises"].update({"../../etc": {}})),
    "a path for a file": lambda: files({"../../../root/.ssh/authorized_keys": "x"}),
    "an absolute path": lambda: files({"/etc/passwd": "x"}),
    "a zero byte in a name": lambda: files({"a\0b": "x"}),
    "a line end in a name": lambda: files({"answers.toml\n": "x"}),
    "a file that is too long": lambda: files({"answers.toml": "x" * (LONGEST_FILE + 1)}),
    "a file that is a list": lambda: files({"answers.toml": ["x"]}),
    "a boot that is no boot": lambda: changed(lambda body: body["machine"].update(boot="<script>")),
    "a kernel that is HTML": lambda: changed(lambda body: body["machine"].update(kernel="<script>")),
    "a seed that is a formula": lambda: changed(lambda body: body.update(seed="=1+1")),
    "a record of a megabyte": lambda: changed(
        lambda body: body["exercises"]["04-rule"]["evidence"]["seen"]["a reader"].update(lines=["x" * 1_000_000])
    ),
    "ten thousand records": lambda: changed(
        lambda body: body["exercises"]["04-rule"]["evidence"]["seen"]["a reader"].update(lines=["x"] * 10_000)
    ),
}


@pytest.mark.parametrize("what", BODIES)
def test_a_well_signed_body_that_is_none(tmp_path: Path, what: str) -> None:
    """A student can sign anything; what is not as it must be is told in one short line, soon."""
    body = BODIES[what]()
    assert len(body) < sealing.MOST
    begin = time.monotonic()
    row = graded(tmp_path, sealed(body))[0]
    assert row.trouble.startswith(NOT_AS_IT_MUST_BE) and len(row.trouble) < 200 and row.trouble.isprintable()
    assert (row.points, row.marks, row.student) == (0, {}, "")
    assert time.monotonic() - begin < 5


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    """A FIFO is not waited for, an endless device and a folder are not read, and what is missing is said."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    paths = [tmp_path / "fifo", tmp_path / "zero", tmp_path, tmp_path / "none"]
    rows = grading.graded(paths, TEACHER, EVERY, NOW)
    regular = f"{CANNOT}this is no regular file"
    assert [row.trouble for row in rows] == [
        regular,
        regular,
        f"{CANNOT}Is a directory",
        f"{CANNOT}No such file or directory",
    ]


def test_a_sparse_file_of_a_terabyte(tmp_path: Path) -> None:
    """It is not read beyond the limit."""
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    row = grading.graded([tmp_path / "sparse"], TEACHER, EVERY, NOW)[0]
    assert row.trouble == f"cannot read it: this has more than {sealing.MOST} bytes"


TOMLS = {
    "no TOML": ("login = = 1", "answers.toml is no TOML"),
    "too long": ("#" * 5000, "answers.toml has more than 4096 bytes"),
    "deep": ("login = " + "[" * 4000, "answers.toml holds values that no answer has"),
    "a key of two thousand parts": (".".join("a" * 2000) + " = 1", "answers.toml holds values that no answer has"),
    "a number that str() does not print": ("login = 0x" + "f" * 4000, "answers.toml holds values that no answer has"),
    "a table for an answer": ("[login]\nx = 1", "login is wrong"),
    "not a number": ("login = nan", "login is wrong"),
}


@pytest.mark.parametrize("what", TOMLS)
def test_answers_made_to_harm(what: str) -> None:
    """They are wrong, and are found so in a second."""
    text, why = TOMLS[what]
    one = find("3")
    given = {"answers.toml": text, "record.log": one.start()["record.log"].decode()}
    begin = time.monotonic()
    assert answers.wrong(one, given)[0] == why
    assert time.monotonic() - begin < 1


@pytest.mark.parametrize(
    "record",
    [
        "",
        "type=SYSCALL",
        "type=SYSCALL msg=audit(1.000:1): ",
        'type=SYSCALL msg=audit(1.000:1): auid=x ses=1\ntype=PATH msg=audit(1.000:1): name="a"',
        "type=PATH msg=audit(1.000:1): name=00\ntype=PROCTITLE msg=audit(1.000:1): proctitle=GG",
        "type=SYSCALL msg=audit(999999999999.000:99999999999999999999): auid=1",
        "type=SYSCALL msg=audit(1.000:1): " + '"' * 60_000,
        "type=SYSCALL msg=audit(1.000:1): " + "a=" * 30_000,
        "type=SYSCALL msg=audit(1.000:1): auid=" + "9" * 60_000,
    ],
    ids=range(9),
)
def test_records_made_to_harm(tmp_path: Path, record: str) -> None:
    """The exercise gives no point, and the rest of the hand-in is judged as ever, in a second."""
    body = honest()
    body["exercises"]["03-record"]["files"]["record.log"] = record
    seen = body["exercises"]["04-rule"]["evidence"]["seen"]
    seen["a write on the host"]["lines"] = record[:16000].splitlines()
    begin = time.monotonic()
    row = graded(tmp_path, sealed(body))[0]
    assert (row.trouble, row.points) == ("", 1)
    assert time.monotonic() - begin < 1


def test_what_nobody_has_thought_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the grader itself costs the file that it comes from."""
    asked = suspicion.alone

    def fails(hand_in: Any, *rest: Any) -> list[str]:
        if hand_in.student == "Bob":
            raise KeyError("a mistake")
        return asked(hand_in, *rest)

    monkeypatch.setattr(grading, "alone", fails)
    rows = graded(tmp_path, sealed(honest()), sealed(honest("Bob", 500)))
    assert [row.trouble for row in rows] == ["", "it cannot be graded: KeyError"]
    assert (rows[0].points, rows[1].points) == (3, 0)

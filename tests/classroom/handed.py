"""Hand-ins for tests: an honest one, and what a student could make of it."""

from __future__ import annotations

import copy
import json
import os
import secrets
from pathlib import Path
from typing import Any

from lab.identity import UNSET
from scenarios.classroom import classes, grading, sealing
from scenarios.classroom.exercise import every, find
from scenarios.classroom.grading import Graded

NOW = 1_800_000_000.0
EVERY = every()
TEACHER = classes.new("os-2026").model_copy(update={"made": NOW - 30 * 86400})
BOOT = "e7c2826f-31fa-4f2b-a696-9d531bff3e16"
TARGET = "/run/lab/decoy-0d93f1aa/shadow"
ADA = "Ada Lovelace"
# Before a command with files below pytest's directories: in a login, root's `lab` works with the rights of the
# user who logged in, and that user may not enter them.
AS_ROOT = ("sh", "-c", f'echo {UNSET} >/proc/self/loginuid; exec "$@"', "sh") if os.geteuid() == 0 else ()


def lines(serial: int, seconds: float, path: str = TARGET) -> list[str]:
    """One event about the file, as lines of audit.log."""
    stamp = f"msg=audit({seconds:.3f}:{serial}):"
    return [
        f"type=SYSCALL {stamp} arch=c000003e syscall=257 success=yes exit=3 pid=9 auid=1000 uid=0 ses=3 comm=\"sh\" "
        'exe="/bin/sh" key="lab-1"',
        f'type=PATH {stamp} item=0 name="{path}" nametype=NORMAL',
        f"type=EOE {stamp} ",
    ]  # fmt: skip


def evidence(began: float, first: int = 100, boot: str = BOOT) -> dict[str, Any]:
    """What the check of exercise 4 keeps."""
    seen = {
        label: {"path": TARGET, "lines": lines(first + number, began + 1) if some else []}
        for number, (label, some) in enumerate(find("4").about.evidence.items())
    }
    machine = {"boot": boot, "kernel": "6.1.0-40-amd64"}
    return {"machine": machine, "began": began, "ended": began + 4, "said": {"filter": "no"}, "seen": seen}


def work(number: str, began: float = NOW - 7200) -> dict[str, Any]:
    """An exercise that was started, and passed five minutes later, with the files of its solution."""
    one = find(number)
    files = {name: one.solution()[name].decode() for name in one.about.files}
    done = {"started": began, "passed": began + 300, "checks": 2, "hints": 1, "files": files}
    return {**done, "evidence": evidence(began + 296)} if one.about.evidence else done


def honest(name: str = ADA, first: int = 100) -> dict[str, Any]:
    """A hand-in of three exercises: 0 is code, 3 is answers, 4 is records."""
    works = {find(number).name: copy.deepcopy(work(number)) for number in ("0", "3", "4")}
    works["04-rule"]["evidence"] = evidence(NOW - 6904, first)
    return {
        "version": 1, "student": name, "seed": TEACHER.klass.seed(name), "made": NOW - 60,
        "machine": {"boot": BOOT, "kernel": "6.1.0-40-amd64"}, "exercises": works,
    }  # fmt: skip


def sealed(body: dict[str, Any] | bytes, key: bytes = b"") -> bytes:
    """As `lab exercise submit` seals it; with a new key of a student if none is given."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return sealing.sealed(text, key or secrets.token_bytes(32), TEACHER.klass)


def graded(place: Path, *files: bytes) -> list[Graded]:
    """What the grader makes of these files."""
    paths = [place / f"{number}.handin" for number in range(len(files))]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    return grading.graded(paths, TEACHER, EVERY, NOW)

"""How long `lab grade` takes for a class: .venv/bin/python -m bench.grading [NUMBER]

Each hand-in has every exercise with its solution, and the records that a check keeps. As root, the class is graded a
second time, and the students' code is run.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scenarios.classroom import classes, sealing
from scenarios.classroom.evidence import Evidence, Seen, machine
from scenarios.classroom.exercise import Exercise, every
from scenarios.classroom.submission import HandIn, Work

EVENTS = 20  # of each thing that a check has seen
RECORD = """type=SYSCALL msg=audit({stamp}): arch=c000003e syscall=257 success=yes exit=3 a0=ffffff9c a1=7ffd1ad05f62 \
a2=941 a3=1b6 items=1 pid=10664 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=(none) ses=8363 \
comm="touch" exe="/usr/bin/touch" key="lab-0c1ca3de36c4"
type=PATH msg=audit({stamp}): item=0 name="/x" inode=16638609 dev=fe:00 mode=0100640 ouid=0 ogid=0 nametype=NORMAL
type=EOE msg=audit({stamp}): """


def main() -> None:
    """Make that many hand-ins, grade them, and print the seconds that `lab grade` took."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    with tempfile.TemporaryDirectory() as place:
        key = classes.new("bench")
        Path(place, "bench.key").write_text(key.model_dump_json())
        files = [Path(place, f"{student}.handin") for student in range(number)]
        for student, file in enumerate(files):
            file.write_bytes(hand_in(student, key.klass))
        size = sum(file.stat().st_size for file in files) / number / 1024
        print(f"{number} hand-ins of {size:.0f} KiB, on {os.cpu_count()} processors")
        words = [str(Path(sys.executable).with_name("lab")), "grade", *map(str, files), "--key", "bench.key"]
        print(f"without their code: {graded(place, [*words, '--no-code']):.1f} s")
        if os.geteuid() == 0:
            trials = number * sum(bool(one.about.trial) for one in every())
            seconds = graded(place, words)
            print(f"with {trials} trials of their code: {seconds:.1f} s, {seconds / trials * 1000:.0f} ms each")


def graded(place: str, words: list[str]) -> float:
    """The seconds of a `lab grade`, from end to end."""
    begin = time.monotonic()
    subprocess.run(words, cwd=place, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begin


def hand_in(student: int, klass: classes.Class) -> bytes:
    """A sealed one, with every exercise passed."""
    now, name = time.time(), f"Student {student}"
    works = {one.name: work(one, student, now - 7200) for one in every()}
    body = HandIn(student=name, seed=klass.seed(name), machine=machine(), made=now, exercises=works)
    return sealing.sealed(body.model_dump_json().encode(), secrets.token_bytes(32), klass)


def work(one: Exercise, student: int, began: float) -> Work:
    """The exercise with its solution."""
    files = {name: one.solution()[name].decode() for name in one.about.files}
    stamps = [f"{began + 297:.3f}:{student * 1000 + event}" for event in range(EVENTS)]
    lines = tuple(line for stamp in stamps for line in RECORD.format(stamp=stamp).splitlines())
    seen = {label: Seen(path="/x", lines=lines if some else ()) for label, some in one.about.evidence.items()}
    evidence = Evidence(machine=machine(), began=began + 296, ended=began + 300, seen=seen)
    return Work(started=began, passed=began + 300, checks=3, files=files, evidence=evidence)


if __name__ == "__main__":
    main()

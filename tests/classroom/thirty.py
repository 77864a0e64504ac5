"""A class of thirty, by `lab exercise start` and `submit`: python tests/classroom/thirty.py DIR makes it there.

What their checks saw is made up, since real checks of thirty students take an hour; the rest is what a student types.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from handed import lines

from scenarios.classroom.checking import Result
from scenarios.classroom.desk import Desk
from scenarios.classroom.evidence import Evidence, Seen, machine
from scenarios.classroom.exercise import Exercise, find
from scenarios.classroom.student import Student
from scenarios.classroom.verbs import keep
from scenarios.cli import main

CLASS = "os-2026"
GOOD = (
    "Ada Lovelace", "Alan Turing", "Barbara Liskov", "Dennis Ritchie", "Donald Knuth", "Edsger Dijkstra",
    "Frances Allen", "Grace Hopper", "Ken Thompson", "Margaret Hamilton", "Radia Perlman", "林淑芬",
)  # fmt: skip
SLOW = ("Fernando Corbató", "John Backus", "Kathleen Booth", "Maurice Wilkes", "Tony Brooker")  # exercises 0 to 2
STUCK = ("Charles Bachman", "Ivan Sutherland", "Peter Naur", "Robin Milner")  # in exercise 3
WRONG = {
    "Richard Hamming": {"0": "name-of-the-host"},
    "Tony Hoare": {"1": "the-uid"},
    "John McCarthy": {"2": "one-step"},
}
BOMBS = {"Robert Morris": {"2": "walk.sh"}, "Kevin Mitnick": {"1": "own.sh"}}
BOMB = "f() { f | f & }; f; sleep 1000\n"
ODD = '=HYPERLINK("x") <script>alert(1)</script>'
# The second has the first one's whole folder; the third has it with a key of another.
COPIES = ("Marvin Minsky", "Seymour Papert", "Allen Newell")


class Seat:
    """A student at a machine, and the folder with what that student does."""

    def __init__(self, room: Path, name: str) -> None:
        self.name, self.room = name, room
        self.place = room / f"seat-{sum(path.is_dir() for path in room.iterdir()):02}"
        self.desk = Desk(Student(os.geteuid(), os.getegid(), "student", self.place))

    def type(self, *words: str) -> int:
        """At this seat."""
        before = os.environ.get("LAB_EXERCISES")
        os.environ["LAB_EXERCISES"] = str(self.place)
        try:
            return main([*words])
        finally:
            os.environ.pop("LAB_EXERCISES")
            if before:
                os.environ["LAB_EXERCISES"] = before

    def start(self, number: str, minutes: float, checks: int = 0, hints: int = 0) -> Exercise:
        """An exercise that was started that many minutes ago."""
        one = find(number)
        self.type("exercise", "start", number)
        progress = self.desk.progress()
        done = progress.of(one)
        done.started, done.checks, done.hints = time.time() - minutes * 60, checks, hints
        self.desk.keep(progress)
        return one

    def do(self, number: str, minutes: float, files: Mapping[str, bytes] | None = None, hints: int = 0) -> None:
        """Solve it, with other files if some are given, and note what a check that passes would have seen."""
        one = self.start(number, minutes, checks=2, hints=hints)
        for name, data in {**one.solution(), **(files or {})}.items():
            self.desk.write(one, name, data)
        now = time.time()
        first = int(self.place.name[-2:]) * 100 + one.number * 10
        seen = {
            label: Seen(
                path="/run/lab/decoy/shadow", lines=tuple(lines(first + row, now - 2, "/run/lab/decoy/shadow")) * some
            )
            for row, (label, some) in enumerate(one.about.evidence.items())
        }
        keep(self.desk, one, Result(["test"], [], [], {}, seen, now - 4))

    def submit(self, code: str) -> Path:
        """Hand in."""
        file = self.room / f"{self.place.name}.handin"
        assert self.type("exercise", "submit", "--class", code, "--name", self.name, "-o", str(file)) == 0
        return file


def boot_of(seat: Seat, number: int) -> None:
    """Let the evidence of this seat be of another machine than the next one's."""
    for path in seat.place.glob("*.evidence.json"):
        kept = Evidence.model_validate_json(path.read_bytes())
        own = machine().model_copy(update={"boot": f"{number:08x}-0000-4000-8000-000000000000"})
        path.write_text(kept.model_copy(update={"machine": own}).model_dump_json())


def thirty(room: Path) -> list[Path]:
    """The hand-ins of the class, whose .class and .key are beside them."""
    assert main(["class", "new", CLASS, "-o", str(room)]) == 0
    code = str(room / f"{CLASS}.class")
    seats: list[Seat] = []
    for name in (*GOOD, *SLOW, *STUCK, *WRONG, *BOMBS, ODD, COPIES[0]):
        seat = Seat(room, name)
        seat.place.mkdir()
        work(seat, name)
        boot_of(seat, len(seats))
        seats.append(seat)
    files = [seat.submit(code) for seat in seats]
    for name in COPIES[1:]:
        copier = Seat(room, name)
        shutil.copytree(seats[-1].place, copier.place)
        (copier.place / "class.json").unlink()
        if name == COPIES[2]:
            (copier.place / "student.key").unlink()
        files.append(copier.submit(code))
    damaged = room / "damaged.handin"
    damaged.write_bytes(files[0].read_bytes()[:-1])
    return [*files, damaged]


def work(seat: Seat, name: str) -> None:
    """What one of them has done."""
    wrong = {number: find(number).wrong()[way] for number, way in WRONG.get(name, {}).items()}
    wrong |= {number: {file: BOMB.encode()} for number, file in BOMBS.get(name, {}).items()}
    numbers: Sequence[str] = ("0", "1", "2", "3", "4")
    if name in SLOW or name in STUCK:
        numbers = ("0", "1", "2")
    for number in numbers:
        spent = find(number).about.minutes * (0.6 + (len(name) % 7) / 10)
        files = wrong.get(number)
        own = {file: data for file, data in (files or {}).items() if file != "answers.toml"}
        seat.do(number, spent, own, hints=len(name) % 3)
    if name in STUCK:
        one = seat.start("3", 40, checks=9, hints=3)
        seat.desk.write(one, "answers.toml", one.wrong()["root-did-it"]["answers.toml"])


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.mkdir()
    print(json.dumps([str(path) for path in thirty(place)], indent=1))

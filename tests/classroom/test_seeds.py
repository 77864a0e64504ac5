"""What differs by student: the same for one seed, another for another, and nothing that a file cannot hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import InvalidArgument
from scenarios.classroom import beginning, cases, classes
from scenarios.classroom.cases import CASES, Case
from scenarios.classroom.desk import Desk
from scenarios.classroom.exercise import every
from scenarios.classroom.seeds import Seed, filled
from scenarios.classroom.student import Student
from scenarios.classroom.submission import enrolled
from scenarios.languages.choice import LANGUAGES

ADA, BOB = Seed("0" * 32), Seed("1" * 32)
KINDS = sorted(CASES)
NAMES = [f"student {number}" for number in range(100)]


def desk(place: Path) -> Desk:
    """Of root, as the tests are."""
    return Desk(Student(0, 0, "root", place))


def test_a_draw_is_the_same_each_time() -> None:
    """Also on another machine and in another version of Python: these values were written down."""
    assert ADA.number("x", 1, 6) == 4
    assert ADA.pick("x", "abc") == "a"
    assert ADA.word("x") == "dimeke"
    assert ADA.sample("x", "abcdef", 3) == ["e", "f", "a"]


def test_draws_of_one_seed_have_nothing_to_do_with_each_other() -> None:
    """100 labels give many words, and the whole range of numbers."""
    assert len({ADA.word(name) for name in NAMES}) > 95
    assert {ADA.number(name, 3, 9) for name in NAMES} == set(range(3, 10))


def test_a_sample_has_nobody_twice() -> None:
    """All of them, each once."""
    assert sorted(ADA.sample("x", cases.PEOPLE, len(cases.PEOPLE))) == sorted(cases.PEOPLE)


@pytest.mark.parametrize("digits", ["", "0" * 31, "G" * 32, "0" * 32 + "\n", "A" * 32])
def test_what_is_no_seed(digits: str) -> None:
    """A seed is 32 small hexadecimal digits."""
    with pytest.raises(InvalidArgument):
        Seed(digits)


@pytest.mark.parametrize("kind", KINDS)
def test_a_case_differs_by_student(kind: str) -> None:
    """Of 100 students of a class, nearly everyone has other names and numbers; the same student has the same."""
    klass = classes.new("os-2026").klass
    found = {Case.of(kind, Seed(klass.seed(name))).toml().partition("seed")[2][38:] for name in NAMES}
    assert len(found) > 95
    seed = Seed(klass.seed(NAMES[0]))
    assert Case.of(kind, seed) == Case.of(kind, Seed(klass.seed(NAMES[0].upper())))


@pytest.mark.parametrize("kind", KINDS)
def test_a_case_is_read_as_it_was_written(kind: str) -> None:
    """An edited one is refused, and so is one with another's seed in it."""
    case = Case.of(kind, ADA)
    assert Case.parse(kind, case.toml()) == Case.parse(kind, case.toml(LANGUAGES["zh-TW"].translate)) == case
    for text in (case.toml().replace("0" * 32, "1" * 32), case.toml() + "more = 1\n", "seed = ", ""):
        with pytest.raises(InvalidArgument):
            Case.parse(kind, text)


def test_who_has_no_class_has_a_seed_too(tmp_path: Path) -> None:
    """The key's; from the enrolment on it is the class's."""
    ours, theirs = desk(tmp_path / "ours"), desk(tmp_path / "theirs")
    own = beginning.seed_of(ours)
    assert own == beginning.seed_of(ours) != beginning.seed_of(theirs)
    klass = classes.new("os-2026").klass
    enrolled(ours, klass.code, "Ada Lovelace")
    assert beginning.seed_of(ours) == Seed(klass.seed("ada  lovelace")) != own


def test_placeholders_are_filled() -> None:
    """{{name}} alone: a shell's braces and dollars stay."""
    assert filled({"a": b"{{uid}} ${uid} {uid} {{uid}}"}, {"uid": 7}) == {"a": b"7 ${uid} {uid} 7"}
    with pytest.raises(KeyError):
        filled({"a": b"{{other}}"}, {"uid": 7})


def test_every_case_is_an_exercises() -> None:
    """And every exercise's placeholders are names of its case."""
    assert {one.about.case for one in every()} - {""} == set(KINDS)
    for one in every():
        names = Case.of(one.about.case, ADA).names if one.about.case else {}
        for files in (one.start(), one.solution(), *one.wrong().values()):
            filled({name: data for name, data in files.items() if one.about.case}, names)

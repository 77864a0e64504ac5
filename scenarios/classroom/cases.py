"""The cases: what the exercises that differ by student are about. exercise.toml names one: case = "frame".

A case is a function from a seed to names. They stand in the student's folder in case.toml, with the seed; they replace
{{name}} in start/, solution/ and wrong/; and a check finds them in its fixture `case`.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

from lab.errors import InvalidArgument
from scenarios.classroom.seeds import Names, Seed
from scenarios.performance.text import Translate, in_english, message

FILE, LOG, PASSWD = "case.toml", "events.log", "passwd"  # in the student's folder
PEOPLE = (
    "mara", "tomas", "ivana", "jonas", "leila", "pavel", "noemi", "oskar", "yuki", "amir", "zora", "felix", "chiara",
    "emil", "priya", "lars",
)  # fmt: skip
LOWEST, HIGHEST = 21000, 21999  # uids of these people; no account of the machine has one of them
ABOVE = message("Yours alone: made from your class and your name, or from your key. Do not edit.")  # in case.toml
STAFF = 6  # people in a log


@dataclass(frozen=True)
class Case:
    """A student's case."""

    seed: Seed
    names: Names = field(hash=False)  # they follow from the seed

    @classmethod
    def of(cls, kind: str, seed: Seed) -> Self:
        return cls(seed, CASES[kind](seed))

    @classmethod
    def parse(cls, kind: str, text: str) -> Self:
        """From case.toml. Raises InvalidArgument for a file that Case.toml() has not written."""
        try:
            values = tomllib.loads(text)
            found = cls.of(kind, Seed(str(values.pop("seed", ""))))
        except tomllib.TOMLDecodeError as error:
            raise InvalidArgument(f"{FILE} is no TOML: {error}", "begin anew: lab exercise reset N") from None
        if values != found.names:
            raise InvalidArgument(f"{FILE} is not as it was made", "begin anew: lab exercise reset N")
        return found

    def toml(self, translate: Translate = in_english) -> str:
        """The text of case.toml, its comment in the student's language."""
        rows = {"seed": self.seed.digits, **self.names}
        lines = (f"{name} = {json.dumps(value)}\n" for name, value in rows.items())  # of ASCII text, JSON's is TOML's
        return f"# {translate(ABOVE)}\n" + "".join(lines)


def person(seed: Seed, what: str) -> tuple[str, int]:
    """Somebody's name and uid."""
    name = seed.pick(what, PEOPLE)
    return name, seed.number(f"uid of {name}", LOWEST, HIGHEST)


def frame(seed: Seed) -> Names:
    """Exercise 8: whom to blame."""
    colleague, uid = person(seed, "colleague")
    return {"colleague": colleague, "colleague_uid": uid}


def staff(seed: Seed) -> dict[str, int]:
    """Uids by name of the people in a log."""
    names = seed.sample("staff", PEOPLE, STAFF)
    return dict(zip(names, seed.sample("uids", range(LOWEST, HIGHEST + 1), STAFF), strict=True))


def forger(seed: Seed) -> Names:
    """Exercise 9: what the people in the log work at. Who did what is not for the student's eyes."""
    return {"project": seed.word("project")}


def culprit(seed: Seed) -> Names:
    """Exercise 10: that, and which file is gone."""
    kind = seed.pick("removed", ("salaries", "orders", "grades", "budget", "invoices", "rota"))
    return {**forger(seed), "removed": f"{kind}-{seed.word('file')}.csv"}


CASES: Mapping[str, Callable[[Seed], Names]] = {"frame": frame, "forger": forger, "culprit": culprit}

"""What differs by student: names, numbers and words, drawn from the student's seed.

    seed = Seed(klass.seed("Ada Lovelace"))
    seed.pick("colleague", ["mara", "tomas"])      always the same one for this seed
    seed.number("uid", 21000, 21999)               both ends included
    seed.word("unit")                              such as "tulopa": six letters, no shell quotes them

Two draws with different labels have nothing to do with each other. A seed is no secret: who reads this module can
compute every draw. What only the log of a hidden run tells (pids, times, serials) follows from no seed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from lab.errors import InvalidArgument

T = TypeVar("T")
Names = Mapping[str, str | int]
_CONSONANTS, _VOWELS = "bdfgklmnprstv", "aeiou"


@dataclass(frozen=True)
class Seed:
    """A student's seed: 32 hexadecimal digits. Raises InvalidArgument for anything else."""

    digits: str

    def __post_init__(self) -> None:
        if not re.fullmatch("[0-9a-f]{32}", self.digits):
            raise InvalidArgument(f"{self.digits[:40]!a} is no seed", "begin anew: lab exercise reset N")

    @classmethod
    def of_key(cls, fingerprint: str) -> Seed:
        """The seed of a student who has not joined a class; fingerprint is that of the student's key."""
        return cls(hashlib.sha256(f"loginuid lab, seed of a key 1\0{fingerprint}".encode()).hexdigest()[:32])

    def number(self, what: str, low: int, high: int) -> int:
        """A number from low to high."""
        drawn = hashlib.sha256(f"{self.digits}\0{what}".encode()).digest()
        return low + int.from_bytes(drawn, "big") % (high - low + 1)

    def pick(self, what: str, among: Sequence[T]) -> T:
        """One of them."""
        return among[self.number(what, 0, len(among) - 1)]

    def sample(self, what: str, among: Sequence[T], count: int) -> list[T]:
        """So many different ones, in an order of the seed's."""
        order = sorted(range(len(among)), key=lambda place: self.number(f"{what} {place}", 0, 2**64))
        return [among[place] for place in order[:count]]

    def word(self, what: str) -> str:
        """Six small letters that can be spoken."""
        letters = (_CONSONANTS, _VOWELS) * 3
        return "".join(self.pick(f"{what}, letter {place}", row) for place, row in enumerate(letters))


def filled(files: Mapping[str, bytes], names: Names) -> dict[str, bytes]:
    """The files of an exercise with each {{name}} of a case replaced by what it is for this student."""
    return {file: filled_text(data.decode(), names).encode() for file, data in files.items()} if names else {**files}


def filled_text(text: str, names: Names) -> str:
    """A text with each {{name}} replaced. Raises KeyError for a name that the case does not have."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: str(names[found[1]]), text)

"""A class: a code that the teacher hands out, a secret key that the teacher keeps, and the seed of each student.

The code is NAME.LETTERS: in base32 (RFC 4648) the class's public key, 32 bytes of X25519 (RFC 7748), and four bytes of
SHA-256 over the name and the key, which catch a typing error.
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import StringConstraints, ValidationError

from lab.errors import InvalidArgument
from scenarios.classroom.evidence import Time, Told
from scenarios.classroom.reading import read_regular

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
LONGEST_NAME = 80  # characters of a student's name
# Letters and marks that show nothing: Default_Ignorable_Code_Point of Unicode that is printable, and the empty Braille
SHAPELESS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {*map(chr, range(0xFE00, 0xFE10))}
MOST_MARKS = 5  # on one letter
JOINED = re.compile("(?=(.)[\u200c\u200d]+(.))")  # what stands before and after joiners
_LETTERS = 58  # of 36 bytes in base32
_MOST = 4096  # bytes of a class file or of a key file


@dataclass(frozen=True)
class Class:
    """What the code says: the name, and the public key that hand-ins are sealed to."""

    name: str
    key: bytes

    @property
    def code(self) -> str:
        letters = base64.b32encode(self.key + self._check()).decode().rstrip("=").lower()
        return f"{self.name}.{letters}"

    def _check(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\0" + self.key).digest()[:4]

    def seed(self, student: str) -> str:
        """The student's seed, 32 hexadecimal digits: SHA-256 over code and name; raises InvalidArgument for no name."""
        told = f"loginuid lab, seed 1\0{self.code}\0{named(student).casefold()}"
        return hashlib.sha256(told.encode()).hexdigest()[:32]

    @classmethod
    def parse(cls, code: str) -> Self:
        """Raises InvalidArgument; blanks, line ends and capitals do not matter."""
        name, _, letters = "".join(code.split()).lower().rpartition(".")
        try:
            data = base64.b32decode(letters.upper() + "=" * (-len(letters) % 8))
        except ValueError:
            data = b""
        found = cls(name, data[:32])
        if not NAME.fullmatch(name) or len(letters) != _LETTERS or data[32:] != found._check():
            raise InvalidArgument("this is no class code", "copy the whole line from your teacher: NAME.LETTERS")
        return found

    @classmethod
    def given(cls, text: str) -> Self:
        """From a code, or from the path of a file that holds one. Raises InvalidArgument."""
        if re.fullmatch(rf"[\w-]+\.[a-zA-Z2-7]{{{_LETTERS}}}", text.strip()):
            return cls.parse(text)
        return cls.parse(_read(Path(text)).decode(errors="replace"))


class TeacherKey(Told):
    """NAME.key: what opens the hand-ins of a class. `made`: when, seconds since 1970."""

    version: Literal[1] = 1
    code: str
    secret: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    made: Time

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises InvalidArgument, also for a secret that is not the code's."""
        try:
            key = cls.model_validate_json(_read(path))
        except ValidationError:
            raise InvalidArgument(f"{path} is no teacher's key", "give the .key of `lab class new`") from None
        if public(bytes.fromhex(key.secret)) != key.klass.key:
            raise InvalidArgument(f"{path}: the secret is not the one of its code", "look for a copy of the key")
        return key

    @property
    def klass(self) -> Class:
        return Class.parse(self.code)


def new(name: str) -> TeacherKey:
    """A class with a new pair of keys. Raises InvalidArgument for a name that cannot be in a code."""
    from nacl.public import PrivateKey

    if not NAME.fullmatch(name):
        raise InvalidArgument(
            f"{name!a} cannot be a class's name", "take up to 40 of a-z, 0-9 and -, for example os-2026"
        )
    secret = bytes(PrivateKey.generate())
    return TeacherKey(code=Class(name, public(secret)).code, secret=secret.hex(), made=time.time())


def public(secret: bytes) -> bytes:
    """The public half of an X25519 key."""
    from nacl.public import PrivateKey

    return bytes(PrivateKey(secret).public_key)


def named(text: str) -> str:
    """A student's name: NFC, single blanks, only what can be seen. Raises InvalidArgument."""
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not legible(name) or len(name) > LONGEST_NAME:
        raise InvalidArgument(f"{name[:20]!a} is no name", f"take 1 to {LONGEST_NAME} characters that can be seen")
    return name


def legible(name: str) -> bool:
    """Whether a name can be seen, and hides nothing: no letter without a shape, no joiner at ASCII, no heap."""
    joined = any(end.isascii() for pair in JOINED.findall(f" {name} ") for end in pair)
    marks = "".join("m" if unicodedata.category(character)[0] == "M" else " " for character in name)
    hidden = joined or "m" * (MOST_MARKS + 1) in marks or SHAPELESS & {*name}
    return bool(name) and all(map(shown, name)) and not hidden


def shown(character: str) -> bool:
    """Whether it can be seen; so can the joiners that some scripts need within a word, U+200C and U+200D."""
    return character.isprintable() or character in "\u200c\u200d"


def _read(path: Path) -> bytes:
    try:
        return read_regular(path, _MOST)
    except OSError as error:
        raise InvalidArgument(
            f"cannot read {path}: {error.strerror}", "give the code of the class, or its file"
        ) from None

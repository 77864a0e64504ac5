"""Audit records: parse them so that no user can forge a field, and print them as `ausearch -i` does.

A record is one line of `name=value` words. The kernel writes each value that a user can choose (comm, exe, paths,
arguments, keys) as "text" if all its bytes are 0x21 to 0x7e and none is a quote, and else as hexadecimal digits;
audit_log_untrustedstring() and audit_string_contains_control() in kernel/audit.c. So such a value cannot form a second
word if the line is split as here: at quotes first, then at blanks; the first of two equal names wins; values are
decoded after that. A program chooses the text of a user message (`msg='...'`, always last), so its words are kept apart
from the kernel's fields.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from lab.audit.interpret import WORD, decode, interpreted
from lab.audit.names import RECORD_TYPES, TYPE_NUMBERS

SYSCALL, PATH, EOE = 1300, 1302, 1320
USER, LOGIN, URINGOP = 1005, 1006, 1336
_CLOSED_BY_EOE = (SYSCALL, URINGOP)

_STAMP = re.compile(r"audit\((\d{1,12})\.(\d{3}):(\d{1,20})\): ?(.*)", re.DOTALL | re.ASCII)
_LINE = re.compile(r"(?:node=\S+ )?type=(?:UNKNOWN\[(\d{1,9})\]|(\w+)) msg=(.*)", re.DOTALL | re.ASCII)
_MESSAGE = " msg='"
_ENRICHED = "\x1d"  # auditd with log_format=ENRICHED appends names behind this character


class RecordError(ValueError):
    """The text is not an audit record, or the event lacks a field that was asked for."""


@dataclass(frozen=True)
class Record:
    """One record.

    type        number, 1300 is SYSCALL (linux/audit.h)
    time        (seconds, milliseconds) since 1970
    serial      the event's number; the records of one event share it and the time
    body        the words after the stamp, as the kernel wrote them
    message     the text of a user message, else ""
    """

    type: int
    time: tuple[int, int]
    serial: int
    body: str
    message: str = ""

    @classmethod
    def from_netlink(cls, kind: int, text: bytes) -> Self:
        """The record that AuditReader gave as (type, text). Raises RecordError."""
        return cls._stamped(kind, text.rstrip(b"\0\n").decode("utf-8", "surrogateescape"))

    @classmethod
    def from_line(cls, line: str) -> Self:
        """The record in a line of audit.log or `ausearch --raw`. Raises RecordError.

        A process that can write the file can write any line, so a line proves less than a netlink record.
        """
        parts = _LINE.match(line.rstrip("\n"))
        kind = (int(parts[1]) if parts[1] else TYPE_NUMBERS.get(parts[2])) if parts else None
        if parts is None or kind is None:
            raise RecordError(f"not a line of an audit log: {line[:80]!r}")
        text, enriched, _ = parts[3].rpartition(_ENRICHED)
        return cls._stamped(kind, text if enriched else parts[3])

    @classmethod
    def _stamped(cls, kind: int, text: str) -> Self:
        parts = _STAMP.match(text)
        if not parts:
            raise RecordError(f"an audit record starts with audit(SECONDS.MS:SERIAL): and this does not: {text[:80]!r}")
        body, message = parts[4], ""
        if _from_a_program(kind):
            body, _, message = body.partition(_MESSAGE)
            message = message.rstrip().removesuffix("'")
        return cls(kind, (int(parts[1]), int(parts[2])), int(parts[3]), body, message)

    @property
    def name(self) -> str:
        return RECORD_TYPES.get(self.type, f"UNKNOWN[{self.type}]")

    @cached_property
    def words(self) -> dict[str, str]:
        """The fields as the kernel wrote them, quotes and hexadecimal included."""
        return _words(self.body)

    @cached_property
    def fields(self) -> dict[str, str]:
        """The fields, decoded; bytes that are not UTF-8 become surrogates (os.fsencode gives them back)."""
        return {name: decode(self.type, name, value) for name, value in self.words.items()}

    def to_line(self) -> str:
        """The record as a line of audit.log; from_line() is the reverse. Bytes that are not UTF-8 become \\xNN."""
        message = f"{_MESSAGE}{self.message}'" if _from_a_program(self.type) else ""
        seconds, milliseconds = self.time
        line = f"type={self.name} msg=audit({seconds}.{milliseconds:03d}:{self.serial}): {self.body}{message}"
        return line.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")

    def render(self) -> str:
        """One line as `ausearch -i` prints it, control characters as octal escapes; times in the local zone."""
        message = f"{_MESSAGE}{self.message}'" if _from_a_program(self.type) else ""
        return interpreted(self.type, self.name, self.time, self.serial, self.body, message)


@dataclass(frozen=True)
class Event:
    """The records with one time and serial, in the order in which the kernel wrote them; at least one."""

    records: tuple[Record, ...]

    @property
    def serial(self) -> int:
        return self.records[0].serial

    @property
    def time(self) -> tuple[int, int]:
        return self.records[0].time

    @property
    def complete(self) -> bool:
        """Whether the last record is there: EOE for an event with a SYSCALL record; others have one record only."""
        kinds = {record.type for record in self.records}
        return EOE in kinds or kinds.isdisjoint(_CLOSED_BY_EOE)

    def of_type(self, kind: int) -> list[Record]:
        return [record for record in self.records if record.type == kind]

    def field(self, name: str) -> str:
        """The decoded field of the SYSCALL record, else of the first record that has it. Raises RecordError."""
        for record in sorted(self.records, key=lambda record: record.type != SYSCALL):
            if name in record.fields:
                return record.fields[name]
        raise RecordError(f"audit event {self.serial} has no field {name!r}")

    def number(self, name: str) -> int:
        """The field as a decimal number; raises RecordError."""
        text = self.field(name)
        try:
            return int(text)
        except ValueError:
            raise RecordError(f"audit event {self.serial}: {name}={text!r} is not a number") from None

    @property
    def auid(self) -> int:
        """The login uid; lab.identity.UNSET if nobody logged in."""
        return self.number("auid")

    @property
    def ses(self) -> int:
        """The session id; lab.identity.UNSET if nobody logged in."""
        return self.number("ses")

    @property
    def uid(self) -> int:
        return self.number("uid")

    @property
    def pid(self) -> int:
        return self.number("pid")

    @property
    def exit(self) -> int:
        """What the system call returned; an error is a negative errno."""
        return self.number("exit")

    @property
    def success(self) -> bool:
        """`success=yes` of a SYSCALL record, else `res=1` (or `success`, as programs write it)."""
        record = next((record for record in self.records if "success" in record.fields), None)
        if record:
            return record.fields["success"] == "yes"
        return self.field("res") in ("1", "success", "yes")

    @property
    def comm(self) -> str:
        return self.field("comm")

    @property
    def tty(self) -> str:
        return self.field("tty")

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the rule that matched; none if it has no key."""
        for record in [*self.of_type(SYSCALL), *self.of_type(URINGOP)]:
            key = record.fields.get("key", "(null)")
            return () if key == "(null)" else tuple(key.split("\x01"))
        return ()

    @property
    def key(self) -> str:
        """The first key, or ""."""
        return next(iter(self.keys), "")

    @property
    def paths(self) -> list[str]:
        """The names in the PATH records, as the caller gave them: possibly relative, and inside the caller's root."""
        return [record.fields["name"] for record in self.of_type(PATH) if "name" in record.fields]

    def render(self) -> list[str]:
        """The lines of `ausearch -i`: the last record first, without EOE, which audit.log never holds."""
        return [record.render() for record in reversed(self.records) if record.type != EOE]


def events(records: Iterable[Record]) -> Iterator[Event]:
    """Records grouped into events, in the order of their first records; several may be interleaved."""
    groups: dict[tuple[tuple[int, int], int], list[Record]] = {}
    for record in records:
        groups.setdefault((record.time, record.serial), []).append(record)
    return (Event(tuple(group)) for group in groups.values())


def _from_a_program(kind: int) -> bool:
    return kind == USER or 1100 <= kind < 1200 or 2100 <= kind < 3000


def _words(text: str) -> dict[str, str]:
    words: dict[str, str] = {}
    for name, value in WORD.findall(text):
        words.setdefault(name, value)
    return words

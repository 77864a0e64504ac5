"""Audit rules: struct audit_rule_data (linux/audit.h) and the line that auditctl(8) takes for it.

Rule.parse("-a always,exit -F arch=b64 -S utimensat -F path=/etc/shadow -F key=k")   text -> Rule
watch("/etc/shadow", perm="wa").with_key("k")                                         as `-w FILE -p wa`
Rule.pack(), Rule.unpack(bytes)                                                       the kernel's form
Rule.to_auditctl()                                                                    a line to paste
"""

import errno
import os
import platform
import re
import shlex
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Self

from lab.audit.values import LOWER_32_BITS
from lab.errors import InvalidArgument
from lab.identity import UNSET
from lab.syscall_table import ARCHES, NUMBERS, SYSCALLS

_MAX_FIELDS, _MASK_WORDS = 64, 64
_RULE = struct.Struct(f"=3I{_MASK_WORDS}I{3 * _MAX_FIELDS}II")
_EVERY_SYSCALL = (LOWER_32_BITS,) * _MASK_WORDS

_LISTS = {"user": 0, "task": 1, "exit": 4, "exclude": 5, "filesystem": 6, "io_uring": 7}
_ACTIONS = {"never": 0, "possible": 1, "always": 2}
_PREPEND = 0x10
_OPERATORS = {
    "!=": 0x30000000, ">=": 0x60000000, "<=": 0x50000000, "&=": 0x48000000,
    "=": 0x40000000, ">": 0x20000000, "<": 0x10000000, "&": 0x08000000,
}  # fmt: skip
_FILTER = re.compile(r"(?P<name>\w+)(?P<op>!=|>=|<=|&=|=|>|<|&)(?P<value>.+)", re.DOTALL)
_FIELDS = {
    "pid": 0, "uid": 1, "euid": 2, "suid": 3, "fsuid": 4, "gid": 5, "egid": 6, "sgid": 7, "fsgid": 8, "auid": 9,
    "pers": 10, "arch": 11, "msgtype": 12, "subj_user": 13, "subj_role": 14, "subj_type": 15, "subj_sen": 16,
    "subj_clr": 17, "ppid": 18, "obj_user": 19, "obj_role": 20, "obj_type": 21, "obj_lev_low": 22,
    "obj_lev_high": 23, "sessionid": 25, "fstype": 26, "devmajor": 100, "devminor": 101, "inode": 102, "exit": 103,
    "success": 104, "path": 105, "perm": 106, "dir": 107, "filetype": 108, "obj_uid": 109, "obj_gid": 110,
    "field_compare": 111, "exe": 112, "saddr_fam": 113, "a0": 200, "a1": 201, "a2": 202, "a3": 203, "key": 210,
}  # fmt: skip
_FIELD_NAMES = {number: name for name, number in _FIELDS.items()}
_TEXT_FIELDS = {
    "path", "dir", "exe", "key", "subj_user", "subj_role", "subj_type", "subj_sen", "subj_clr",
    "obj_user", "obj_role", "obj_type", "obj_lev_low", "obj_lev_high",
}  # fmt: skip
_UNSETTABLE = {"auid", "sessionid", "uid", "euid", "suid", "fsuid", "gid", "egid", "sgid", "fsgid"}
_ARGUMENTS = {"a0", "a1", "a2", "a3"}  # auditctl -l prints these in hexadecimal
_PERMISSIONS = {"r": 4, "w": 2, "x": 1, "a": 8}  # in auditctl's order

# touch(1) calls one of these if it does not open the file for writing; no perm, not even rwxa, matches any of them:
# they are in no class of audit_match_perm(), kernel/auditsc.c.
TOUCH_CALLS = ("utime", "utimes", "futimesat", "utimensat")


@dataclass(frozen=True, slots=True)
class Field:
    """One `-F NAME OP VALUE`. value is text for paths and keys, and else an unsigned 32-bit number."""

    name: str
    op: str
    value: int | str

    def __str__(self) -> str:
        return f"{self.name}{self.op}{self._value()}"

    def _value(self) -> str:
        if isinstance(self.value, str):
            return self.value
        if self.name == "arch":
            return "b64" if self.value & 0x80000000 else "b32"
        if self.name == "perm":
            return "".join(letter for letter, bit in _PERMISSIONS.items() if self.value & bit)
        if self.name in _UNSETTABLE and self.value == UNSET:
            return "unset"
        if self.name in _ARGUMENTS:
            return f"0x{self.value:x}"
        return str(self.value - 2**32 if self.name == "exit" and self.value >= 2**31 else self.value)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The field in "auid>=1000", "auid!=unset", "path=/etc/shadow", ... Raises InvalidArgument."""
        parts = _FILTER.fullmatch(text)
        if not parts or parts["name"] not in _FIELDS:
            raise InvalidArgument(f"not an audit filter: {text!r}", "write NAME=VALUE, for example auid>=1000")
        return cls(parts["name"], parts["op"], _number(parts["name"], parts["value"]))


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. syscalls None means every system call; only the filter list `exit` takes others."""

    fields: tuple[Field, ...]
    syscalls: frozenset[int] | None = None
    filter: str = "exit"
    action: str = "always"

    @property
    def key(self) -> str:
        return next((str(field.value) for field in self.fields if field.name == "key"), "")

    def with_key(self, key: str) -> Self:
        """The same rule with one more key; its events carry the key."""
        return replace(self, fields=(*self.fields, Field("key", "=", key)))

    @property
    def machine(self) -> str:
        """The machine whose numbers `syscalls` are: that of the arch field, else this machine."""
        arch = next((field.value for field in self.fields if field.name == "arch"), None)
        return ARCHES.get(arch, "") if isinstance(arch, int) else platform.machine()

    def pack(self, *, first: bool = False) -> bytes:
        """The bytes for AUDIT_ADD_RULE and AUDIT_DEL_RULE; first: before all other rules, as with `auditctl -A`.

        If several rules match an event, only the first gives its key. The kernel does not keep `first`: such a rule is
        listed and deleted without it.
        """
        kinds, values, flags, strings = [], [], [], b""
        for field in self.fields:
            kinds.append(_FIELDS[field.name])
            flags.append(_OPERATORS[field.op])
            if isinstance(field.value, str):
                text = os.fsencode(field.value)
                strings += text
                values.append(len(text))
            else:
                values.append(field.value)
        padding = [0] * (_MAX_FIELDS - len(kinds))
        head = (_LISTS[self.filter] | (_PREPEND if first else 0), _ACTIONS[self.action], len(kinds), *self._mask())
        columns = (*kinds, *padding, *values, *padding, *flags, *padding)
        return _RULE.pack(*head, *columns, len(strings)) + strings

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """From what AUDIT_LIST_RULES gives; raises ValueError for anything else. Unknown fields become `fNUMBER`."""
        if len(packed) < _RULE.size:
            raise ValueError(f"an audit rule has at least {_RULE.size} bytes, not {len(packed)}")
        words = _RULE.unpack_from(packed)
        mask = words[3 : 3 + _MASK_WORDS]
        columns = words[3 + _MASK_WORDS : -1]
        fields, at = [], _RULE.size
        for index in range(min(words[2], _MAX_FIELDS)):
            kind, value, flags = columns[index::_MAX_FIELDS]
            name = _FIELD_NAMES.get(kind, f"f{kind}")
            op = next((op for op, bits in _OPERATORS.items() if bits == flags & 0x78000000), "=")
            if name in _TEXT_FIELDS:
                fields.append(Field(name, op, os.fsdecode(packed[at : at + value])))
                at += value
            else:
                fields.append(Field(name, op, value))
        listed = _name_of(_LISTS, words[0] & ~_PREPEND)
        return cls(tuple(fields), _syscalls_in(listed, mask), listed, _name_of(_ACTIONS, words[1]))

    @classmethod
    def parse(cls, line: str) -> Self:
        """From a line of auditctl(8): -a, -F, -S, -k, or -w with -p and -k; raises InvalidArgument."""
        listed, action, names, fields = "exit", "always", list[str](), list[Field]()
        words = _words(line)
        for option in words:
            value = next(words, "")
            if not value:
                raise InvalidArgument(
                    f"the option {option!r} of an audit rule lacks its value",
                    "write a line as auditctl(8) takes it, such as -w /etc/shadow -p wa -k KEY",
                )
            if option == "-a":
                action, listed = sorted(value.partition(",")[::2], key=lambda word: word in _LISTS)
            elif option == "-S":
                names += value.split(",")
            elif option == "-w":  # as auditctl(8) sends it: every access, unless -p says which
                fields += [Field("dir" if os.path.isdir(value) else "path", "=", value), Field.parse("perm=rwxa")]
            elif option == "-p":
                fields = [field for field in fields if field.name != "perm"] + [Field.parse(f"perm={value}")]
            elif option in ("-F", "-k"):
                fields.append(Field.parse({"-F": "", "-k": "key="}[option] + value))
            else:
                raise InvalidArgument(f"not an option of an audit rule: {option!r}", "write -a, -F, -S, -k, -w or -p")
        if not fields or listed not in _LISTS or action not in _ACTIONS:
            raise InvalidArgument(
                f"not an audit rule: {line!r}",
                "write a line as auditctl(8) takes it, such as -w /etc/shadow -p wa -k KEY",
            )
        return cls(tuple(fields), _numbers_of(names, cls(tuple(fields)).machine), listed, action)

    def to_auditctl(self) -> str:
        """The line for auditctl(8), in the syscall form, to which audit 4.0's manual says to convert `-w`.

        A rule made from `-w` has no arch, as `-w` has none: 64-bit and 32-bit calls match.
        """
        words = ["-a", f"{self.action},{self.filter}"]
        for field in sorted(self.fields, key=lambda field: field.name != "arch"):
            words += ["-F", str(field)]
            if field.name == "arch" and self.syscalls is not None:
                words += ["-S", ",".join(self._syscall_names())]
        if self.syscalls is not None and "-S" not in words:
            words[2:2] = ["-S", ",".join(self._syscall_names())]
        return shlex.join(words)

    def _syscall_names(self) -> list[str]:
        names = SYSCALLS.get(self.machine, {})
        return [names.get(number, str(number)) for number in sorted(self.syscalls or ())]

    def _mask(self) -> tuple[int, ...]:
        if self.syscalls is None:
            return _EVERY_SYSCALL
        mask = [0] * _MASK_WORDS
        for number in self.syscalls:
            mask[number // 32] |= 1 << number % 32
        return tuple(mask)


def watch(path: str, *, perm: str = "wa") -> Rule:
    """The rule of `auditctl -w PATH -p PERM`: calls that open or change the file in one of these ways.

    A directory is watched with everything below it. Raises InvalidArgument if the path is not absolute.
    """
    if not path.startswith("/"):
        raise InvalidArgument(f"audit cannot watch {path!r}", "write an absolute path")
    kind = "dir" if os.path.isdir(path) else "path"
    return Rule((Field(kind, "=", path), Field.parse(f"perm={perm}")))


def syscalls(names: Iterable[str], *, filters: Iterable[str] = ()) -> Rule:
    """The rule of `auditctl -a always,exit -F arch=b64 -S NAMES -F FILTER...` for this machine.

    Names that this machine does not have are left out: aarch64 has utimensat but no utime. Raises InvalidArgument if
    none is left, since a rule without a system call would match each of them.
    """
    machine = platform.machine()
    known = [name for name in names if name in NUMBERS.get(machine, {})]
    if not known:
        raise InvalidArgument(
            f"none of these is a system call of {machine}: {', '.join(names)}", "ausyscall --dump lists the names"
        )
    return Rule((Field.parse("arch=b64"), *map(Field.parse, filters)), _numbers_of(known, machine))


def _words(line: str) -> Iterator[str]:
    """The words of a line, as a shell takes them; none of a line with a quote that is not closed."""
    try:
        return iter(shlex.split(line))
    except ValueError:
        return iter(())


def _number(name: str, text: str) -> int | str:
    if name in _TEXT_FIELDS:
        return text
    if name == "arch":
        return _arch(text)
    if name == "perm" and set(text) <= set(_PERMISSIONS):
        return sum(_PERMISSIONS[letter] for letter in set(text))
    if name in _UNSETTABLE and text in ("unset", "-1"):
        return UNSET
    digits = text.lstrip("-")
    base = 8 if digits.startswith("0") and digits.isdigit() else 0  # as strtoul(3) reads it for auditctl
    try:
        number = getattr(errno, digits, None) or int(digits, base)
        return (-number if text.startswith("-") else number) & LOWER_32_BITS
    except ValueError:
        raise InvalidArgument(f"not a value for the audit field {name}: {text!r}", "write a number") from None


def _arch(text: str) -> int:
    machine = {"b64": platform.machine(), "b32": {"x86_64": "i386"}.get(platform.machine(), "arm")}.get(text, text)
    for word, name in ARCHES.items():
        if name == machine:
            return word
    raise InvalidArgument(f"unknown machine for an audit rule: {text!r}", "write b64, b32, x86_64 or aarch64")


def _numbers_of(names: Iterable[str], machine: str) -> frozenset[int] | None:
    names = list(names)
    if not names or names == ["all"]:
        return None
    known = NUMBERS.get(machine, {})
    for name in names:
        if name not in known and not name.isdecimal():
            raise InvalidArgument(f"{machine} has no system call {name!r}", "ausyscall --dump lists the names")
    return frozenset(known.get(name, int(name) if name.isdecimal() else 0) for name in names)


def _syscalls_in(listed: str, mask: tuple[int, ...]) -> frozenset[int] | None:
    """The numbers in a mask; None for every system call, whatever the last word is: it has the kernel's class bits."""
    if listed != "exit" or mask[:-1] == _EVERY_SYSCALL[:-1]:
        return None
    return frozenset(word * 32 + bit for word, bits in enumerate(mask) for bit in range(32) if bits >> bit & 1)


def _name_of(names: dict[str, int], number: int) -> str:
    return next((name for name, value in names.items() if value == number), str(number))

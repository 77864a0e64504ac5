"""Audit records in words, in the form of `ausearch -i`; tests compare with ausearch 3.0, no code is taken from it.

A field that is not in these tables prints as the kernel wrote it, as with ausearch. Arguments of system calls that are
neither flags, modes, ids nor signals print as 0xHEX, as with ausearch. Other than ausearch, this module does not know
the commands of ioctl, fcntl, bpf, ptrace and the socket options, and it shows the text of a user message that has no
`name=value` word.
"""

import os
import re
import socket
import time as clock
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lab.audit import names, values
from lab.audit.values import LOWER_32_BITS
from lab.identity import UNSET
from lab.syscall_table import ARCHES, SYSCALLS

_EXECVE = 1309
_AT_FDCWD = 0xFFFFFF9C

WORD = re.compile(r"(?:^|(?<=\s))([A-Za-z][\w\-\[\]]*)=(\"[^\"]*\"|\S*)", re.ASCII)
_HEXADECIMAL = re.compile(r"(?:[0-9A-F]{2})+")

# The fields which the kernel, or libaudit for programs, writes "quoted" or in hexadecimal.
_ENCODED_NAMES = (
    "path comm exe file name watch cwd cmd acct dir key vm old-chardev new-chardev old-disk new-disk old-fs new-fs "
    "old-net new-net device cgroup apparmor operation denied_mask info profile requested_mask old-rng new-rng ocomm "
    "proctitle grp new_group invalid_context sw root_dir"
)
_ENCODED = frozenset(_ENCODED_NAMES.split())
_LISTS = {0: "user", 1: "task", 4: "exit", 5: "exclude", 6: "filesystem"}


@dataclass(frozen=True, slots=True)
class _Call:
    """The system call that a record is about: what its arguments mean depends on it."""

    machine: str
    name: str
    a0: int
    a1: int


def decode(kind: int, name: str, value: str) -> str:
    """A field's value, decoded if the kernel wrote it "quoted" or in hexadecimal."""
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return value[1:-1]
    if _is_encoded(kind, name) and _HEXADECIMAL.fullmatch(value):
        return bytes.fromhex(value).decode("utf-8", "surrogateescape")
    return value


def interpreted(kind: int, name: str, time: tuple[int, int], serial: int, body: str, message: str) -> str:
    """One record as a line of `ausearch -i`; `message` is the text of a user message, with its `msg='` and `'`."""
    call = _call(dict(WORD.findall(body)))

    def in_words(match: re.Match[str]) -> str:
        return f"{match[1]}={_printable(_in_words(kind, match[1], match[2], call))}"

    text = WORD.sub(in_words, body)
    if message:
        start = message.index("'") + 1
        text += message[:start] + WORD.sub(in_words, message[start:-1]) + "'"
    stamp = clock.strftime("%x %T", clock.localtime(time[0]))
    return _printable(f"type={name} msg=audit({stamp}.{time[1]:03d}:{serial}) : {text}").rstrip()


def _call(words: Mapping[str, str]) -> _Call:
    try:
        machine = ARCHES.get(int(words["arch"], 16), "")
        number = int(words["syscall"])
        a0, a1 = (int(words.get(name, "0"), 16) for name in ("a0", "a1"))
    except (KeyError, ValueError):
        return _Call("", "", 0, 0)
    return _Call(machine, SYSCALLS.get(machine, {}).get(number, f"unknown-syscall({number})"), a0, a1)


def _in_words(kind: int, name: str, value: str, call: _Call) -> str:
    try:
        if _is_encoded(kind, name):
            text = decode(kind, name, value)
            return text.replace("\0", " ") if name == "proctitle" else text.partition("\0")[0]
        if call.name and name in _ARGUMENTS:
            return _argument(name, value, call)
        if name == "syscall" and call.name:
            return call.name
        return _FIELDS[name](value) if name in _FIELDS else value
    except ValueError:
        return value


def _argument(name: str, value: str, call: _Call) -> str:
    meaning = _MEANINGS.get(f"{call.name} {name}")
    return (meaning(value, call) if meaning else "") or f"0x{value}"


def _is_encoded(kind: int, name: str) -> bool:
    if kind == _EXECVE:
        return name[0] == "a" and name != "argc" and not name.endswith("_len")
    return name in _ENCODED


def _printable(text: str) -> str:
    """The text with control and format characters and stray bytes as \\ooo: no record can move the reader's cursor."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _octal(character) for character in text)


def _octal(character: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogateescape"))


def _open_flags(value: str, call: _Call) -> str:
    table = names.OPEN_FLAGS_AARCH64 if call.machine == "aarch64" else names.OPEN_FLAGS
    return values.flags(value, table, "O_RDONLY" if int(value, 16) & 3 == 0 else "")


def _clone_flags(value: str, call: _Call) -> str:
    bits = int(value, 16) & LOWER_32_BITS
    words = [name for bit, name in names.CLONE_FLAGS.items() if bits & bit]
    if 0 < bits & 0xFF < 32:
        words.append(values.signal_name(bits & 0xFF, value))
    return "|".join(words) or f"0x{bits:x}"


def _protocol(value: str, call: _Call) -> str:
    known = {socket.IPPROTO_IP: "ip", socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp"}
    return known.get(int(value, 16), "")


# Takes an argument in hexadecimal and the call; returns "" if there is no word for the number.
_Meaning = Callable[[str, _Call], str]
_KINDS: dict[str, tuple[_Meaning, str]] = {
    "directory": (
        lambda value, call: "AT_FDCWD" if int(value, 16) & LOWER_32_BITS == _AT_FDCWD else "",
        "renameat:0,2 renameat2:0,2 readlinkat:0 mkdirat:0 mknodat:0 fchownat:0 futimesat:0 fchmodat:0 faccessat:0 "
        "faccessat2:0 unlinkat:0 utimensat:0 linkat:0,2 newfstatat:0 openat:0 openat2:0 name_to_handle_at:0",
    ),
    "open": (_open_flags, "open:1 openat:2 open_by_handle_at:2 mq_open:1"),
    "permissions": (
        lambda value, call: values.permissions(value),
        "chmod:1 fchmod:1 creat:1 mkdir:1 fchmodat:2 mkdirat:2 mknodat:2",
    ),
    "mode": (lambda value, call: values.mode(value, 16), "mknod:1"),
    "access": (
        lambda value, call: values.flags(value, names.ACCESS_MODES) if int(value, 16) & 15 else "F_OK",
        "access:1 faccessat:2 faccessat2:2",
    ),
    "user": (
        lambda value, call: values.user(int(value, 16) & LOWER_32_BITS),
        "setuid:0 setreuid:0,1 setresuid:0,1,2 setfsuid:0 chown:1",
    ),
    "group": (
        lambda value, call: values.group(int(value, 16) & LOWER_32_BITS),
        "setgid:0 setregid:0,1 setresgid:0,1,2 setfsgid:0",
    ),
    "signal": (
        lambda value, call: values.signal_name(int(value, 16), f"0x{value}"),
        "rt_sigaction:0 kill:1 tkill:1 tgkill:2",
    ),
    "clone": (_clone_flags, "unshare:0 setns:1 clone:2"),
    "mount": (lambda value, call: values.flags(value, names.MOUNT_FLAGS), "mount:3"),
    "umount": (lambda value, call: values.flags(value, names.UMOUNT_FLAGS), "umount2:1"),
    "protection": (
        lambda value, call: values.flags(value, names.PROTECTIONS) if int(value, 16) & 7 else "PROT_NONE",
        "mmap:2 mprotect:2",
    ),
    "map": (lambda value, call: values.map_flags(value), "mmap:3"),
    "prctl": (lambda value, call: names.PRCTL_OPTIONS.get(int(value, 16), ""), "prctl:0"),
    "family": (lambda value, call: names.SOCKET_FAMILIES.get(int(value, 16), ""), "socket:0"),
    "socket": (lambda value, call: names.SOCKET_TYPES.get(int(value, 16) & 0xFF, ""), "socket:1"),
    "protocol": (_protocol, "socket:2"),
    "status": (
        lambda value, call: {"0": "EXIT_SUCCESS", "1": "EXIT_FAILURE"}.get(value, "UNKNOWN"),
        "exit:0 exit_group:0",
    ),
}
_MEANINGS: dict[str, _Meaning] = {
    f"{use.partition(':')[0]} a{position}": meaning
    for meaning, uses in _KINDS.values()
    for use in uses.split()
    for position in use.partition(":")[2].split(",")
}


def _prctl_argument(value: str, call: _Call) -> str:
    option = names.PRCTL_OPTIONS.get(call.a0, "")
    if option == "PR_SET_PDEATHSIG":
        return values.signal_name(int(value, 16), f"0x{value}")
    return names.CAPABILITIES.get(int(value, 16), "") if option.startswith("PR_CAPBSET") else ""


_MEANINGS["prctl a1"] = _prctl_argument
_MEANINGS["open a2"] = lambda value, call: values.permissions(value) if call.a1 & os.O_CREAT else ""
_MEANINGS["mq_open a2"] = _MEANINGS["open a2"]

_USERS = "auid uid euid suid fsuid ouid oauid old-auid iuid id inode_uid sauid obj_uid"
_GROUPS = "gid egid sgid fsgid ogid igid inode_gid new_gid obj_gid"
_BITMAPS = "cap_pi cap_pe cap_pp cap_pa cap_fi cap_fp fp fi old_pp old_pi old_pe old_pa new_pp new_pi new_pe"
_FIELDS: dict[str, Callable[[str], str]] = {
    **dict.fromkeys(_USERS.split(), lambda value: values.user(int(value) & LOWER_32_BITS)),
    **dict.fromkeys(_GROUPS.split(), lambda value: values.group(int(value) & LOWER_32_BITS)),
    **dict.fromkeys([*_BITMAPS.split(), "pp", "pi", "pe", "pa"], values.capabilities),
    "arch": lambda value: ARCHES.get(int(value, 16), f"unknown-elf-type({value})"),
    "exit": values.exit_value,
    "mode": values.mode,
    "ses": lambda value: "unset" if value == str(UNSET) else value,
    "res": values.success,
    "result": values.success,
    "sig": lambda value: values.signal_name(int(value), value),
    "list": lambda value: _LISTS.get(int(value), f"unknown-list({value})"),
    "saddr": values.address,
    "flags": values.map_flags,
    "capability": lambda value: names.CAPABILITIES.get(int(value), f"unknown-capability({value})"),
    "code": lambda value: names.SECCOMP_ACTIONS.get(int(value, 16) & 0xFFFF0000, f"unknown-seccomp-code({value})"),
    "nl-mcgrp": lambda value: "audit-netlink-multicast" if value == "1" else "audit-none",
    "prom": lambda value: "no" if value == "0" else "yes",
    "old_prom": lambda value: "no" if value == "0" else "yes",
}
_ARGUMENTS = ("a0", "a1", "a2", "a3")

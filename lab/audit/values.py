"""One value of an audit record in words, as `ausearch -i` prints it; lab.audit.interpret chooses which of these."""

import grp
import os
import pwd
import signal
import socket
import stat
from collections.abc import Mapping
from errno import errorcode
from functools import lru_cache

from lab.audit import names
from lab.identity import ELSEWHERE, UNSET

MAX_ERRNO = 4095  # linux/err.h
S_IFMT = 0o170000  # the type in st_mode, inode(7); stat.S_IFMT() refuses numbers that no mode can be
SUN_PATH_BYTES = 108  # of struct sockaddr_un; unix(7)
LOWER_32_BITS = 0xFFFFFFFF  # of a register: all that the kernel looks at in an int or a uid_t


def user(uid: int) -> str:
    """The user's name as ausearch prints it: `unset` for (uid_t)-1, `unknown(UID)` for one without a name."""
    if uid == UNSET:
        return "unset"
    return ELSEWHERE[uid] if uid in ELSEWHERE else _local_user(uid)


@lru_cache(maxsize=256)
def _local_user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return f"unknown({uid})"


@lru_cache(maxsize=256)
def group(gid: int) -> str:
    """The group's name as ausearch prints it, likewise."""
    if gid == UNSET:
        return "unset"
    try:
        return grp.getgrgid(gid).gr_name
    except (KeyError, OverflowError):
        return f"unknown({gid})"


def exit_value(value: str) -> str:
    """What a system call returned: EACCES(Permission denied) for -13, else the number."""
    code = int(value)
    return f"{errorcode.get(-code, 'unknown')}({os.strerror(-code)})" if -MAX_ERRNO <= code < 0 else value


def mode(value: str, base: int = 8) -> str:
    """A file's type and permissions, "file,644", from st_mode in this base; inode(7)."""
    bits = int(value, base)
    kind = names.FILE_TYPES.get(bits & S_IFMT, f"{(bits & S_IFMT) >> 12:03o}")
    return ",".join([kind, *_special(bits), f"{bits & 0o777:03o}"])


def permissions(value: str, base: int = 16) -> str:
    """The permissions alone, "0644"."""
    bits = int(value, base)
    return ",".join([*_special(bits), f"0{bits & 0o777:03o}"])


def _special(bits: int) -> list[str]:
    known = {stat.S_ISUID: "suid", stat.S_ISGID: "sgid", stat.S_ISVTX: "sticky"}
    return [name for bit, name in known.items() if bits & bit]


def capabilities(value: str) -> str:
    """The names behind a bit mask in hexadecimal, without CAP_ and in lower case; "none" for no bit."""
    bits = int(value, 16)
    return ",".join(name for number, name in names.CAPABILITIES.items() if bits >> number & 1) or "none"


def success(value: str) -> str:
    """A result: "yes" for 1, "no" for 0, "unset" for another number; a word comes back as the program wrote it."""
    return {"0": "no", "1": "yes"}.get(value, "unset") if value.isdigit() else value


def signal_name(number: int, value: str) -> str:
    """SIGKILL for 9; value is shown for a number without a name."""
    try:
        return signal.Signals(number).name if number < 32 else f"unknown-signal({value})"
    except ValueError:
        return "SIG0" if number == 0 else f"unknown-signal({value})"


def address(value: str) -> str:
    """A struct sockaddr in hexadecimal; the families that containers use."""
    packed = bytes.fromhex(value)
    number = int.from_bytes(packed[:2], "little")
    family = names.SOCKET_FAMILIES.get(number, f"unknown-family({number})")
    if number == socket.AF_UNIX and len(packed) >= 4:
        start = 3 if packed[2] == 0 else 2  # a NUL in front stands for the abstract namespace
        path = packed[start : start + SUN_PATH_BYTES].partition(b"\0")[0]
        return f"{{ saddr_fam={family} path={path.decode('utf-8', 'surrogateescape')} }}"
    port = int.from_bytes(packed[2:4], "big")
    if number == socket.AF_INET and len(packed) >= 16:
        return f"{{ saddr_fam={family} laddr={socket.inet_ntop(number, packed[4:8])} lport={port} }}"
    if number == socket.AF_INET6 and len(packed) >= 28:
        return f"{{ saddr_fam={family} laddr={socket.inet_ntop(number, packed[8:24])} lport={port} }}"
    if number == socket.AF_NETLINK and len(packed) >= 12:
        port = int.from_bytes(packed[4:8], "little")
        return f"{{ saddr_fam={family} nlnk-fam={number} nlnk-pid={port} }}"
    return f"{{ saddr_fam={family} }}"


def flags(value: str, table: Mapping[int, str], zero: str = "") -> str:
    """The names of the bits, joined by "|"; zero is a name that stands first without a bit, such as O_RDONLY."""
    bits = int(value, 16) & LOWER_32_BITS
    words = [zero] if zero else []
    return "|".join(words + [name for bit, name in table.items() if bits & bit]) or f"0x{value}"


def map_flags(value: str) -> str:
    """The flags of mmap(2); MAP_FILE is the name for no type."""
    return flags(value, names.MAP_FLAGS, "" if int(value, 16) & 15 else "MAP_FILE")

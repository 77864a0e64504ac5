"""The credentials of the container's process: user, groups, capabilities; credentials(7), capabilities(7)."""

from __future__ import annotations

import os

from lab import syscalls
from lab.errors import CannotStart, InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# include/uapi/linux/capability.h, in the order of their numbers; Linux 5.9 and later know all of them.
CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip

NO_ID = 2**32 - 1  # (uid_t)-1, which setresuid(2) takes for "leave it as it is"
LIMIT = 1 << 20  # bytes of /etc/passwd that are read: the image may come from anybody


def capability_set(base: Iterable[str], add: Sequence[str], drop: Sequence[str]) -> list[str]:
    """base plus `--cap-add` minus `--cap-drop`; names with or without CAP_, or ALL. Raises InvalidArgument."""
    added, dropped = ({full for name in names for full in _expand(name)} for names in (add, drop))
    if len(dropped) == len(CAPABILITIES):  # --cap-drop ALL --cap-add X leaves X
        return sorted(added)
    return sorted((added | set(base)) - dropped)


def _expand(name: str) -> set[str]:
    upper = name.upper()
    if upper in ("ALL", "CAP_ALL"):
        return set(CAPABILITIES)
    full = upper if upper.startswith("CAP_") else f"CAP_{upper}"
    if full not in CAPABILITIES:
        raise InvalidArgument(f'unknown capability "{name}"', "capabilities(7) lists them, for example NET_ADMIN")
    return {full}


def mask(names: Iterable[str]) -> int:
    """The bit mask of these capabilities, as /proc/PID/status shows it."""
    return sum(1 << CAPABILITIES.index(name) for name in names)


class Identity:
    """The numbers behind `--user`: uid, gid, supplementary groups, and the home directory for $HOME."""

    __slots__ = ("gid", "groups", "home", "uid")

    def __init__(self, uid: int, gid: int, groups: list[int], home: str) -> None:
        self.uid, self.gid, self.groups, self.home = uid, gid, groups, home


def look_up(user: str, more: Sequence[str] = ()) -> Identity:
    """Resolve `UID|NAME[:GID|GROUP]` with this root's /etc/passwd and /etc/group; passwd(5), group(5).

    more are further supplementary groups, each a GID or a name.
    The C library would load NSS modules from the container's root, so the files are read here.
    Raises CannotStart for a name that is not in them.
    """
    wanted, _, group = (user or "0").partition(":")
    name, uid, gid, home = _user(wanted)
    added = [_group(name) for name in more]
    if group:
        return Identity(uid, _group(group), added, home)
    groups = [int(row[2]) for row in _rows("/etc/group", 4, name) if name in row[3].split(",")]
    return Identity(uid, gid, list(dict.fromkeys([*groups, *added])), home)


def _user(wanted: str) -> tuple[str, int, int, str]:
    for row in _rows("/etc/passwd", 7, wanted):
        if row[3].isdigit() and (wanted == row[0] or (wanted.isdigit() and wanted == row[2])):
            return row[0], int(row[2]), int(row[3]), row[5]
    if not _is_id(wanted):
        raise CannotStart(
            f"unable to find user {wanted}: no matching entries in passwd file",
            "name a user of the image, or give a number from 0 to 4294967294",
        )
    return wanted, int(wanted), 0, "/"


def _group(wanted: str) -> int:
    for row in _rows("/etc/group", 4, wanted):
        if wanted in (row[0], row[2]):
            return int(row[2])
    if not _is_id(wanted):
        raise CannotStart(
            f"unable to find group {wanted}: no matching entries in group file",
            "name a group of the image, or give a number",
        )
    return int(wanted)


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < NO_ID


def _rows(path: str, columns: int, containing: str) -> list[list[str]]:
    """The well-formed lines that contain this text; none if the file is missing."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return []
    data = b""
    while len(data) < LIMIT and (chunk := os.read(fd, 1 << 16)):  # not LIMIT at once: allocating that takes time
        data += chunk
    os.close(fd)
    text = os.fsdecode(data)
    rows = [line.split(":") for line in text.split("\n") if containing in line]
    return [row for row in rows if len(row) >= columns and row[2].isdigit()]


def assume(identity: Identity, capabilities: Iterable[str], *, no_new_privileges: bool, may_setgroups: bool) -> None:
    """Become that user with these capabilities at most. As with runc, only uid 0 keeps them across exec."""
    permitted = 0
    for number, name in enumerate(CAPABILITIES):
        if name not in capabilities:
            syscalls.prctl(syscalls.PR_CAPBSET_DROP, number)
        elif syscalls.prctl(syscalls.PR_CAPBSET_READ, number):
            permitted |= 1 << number
    if may_setgroups:
        os.setgroups(identity.groups)
    try:
        os.setresgid(identity.gid, identity.gid, identity.gid)
        os.setresuid(identity.uid, identity.uid, identity.uid)
    except OSError as error:
        raise CannotStart(
            f"cannot become user {identity.uid}:{identity.gid}: {error.strerror}",
            "a user namespace has mapped ids only: install newuidmap (package uidmap) to map more than one",
        ) from None
    if identity.uid == 0:
        syscalls.capset(permitted)
    if no_new_privileges:
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)

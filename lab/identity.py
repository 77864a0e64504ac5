"""Who logged in, as the kernel tells it: loginuid, session id, and who forked whom.

Sources: Documentation/ABI/stable/procfs-audit_loginuid (proc(5) names the file and says nothing about it);
kernel/auditsc.c, audit_set_loginuid(); pam_loginuid(8).
"""

from __future__ import annotations

import os
import pwd

from lab.errors import NotAllowed

UNSET = 2**32 - 1  # (uid_t)-1: no ancestor of this process logged in


class Ancestor:
    """One process of an ancestry, as the host's /proc shows it. uid is the effective one."""

    __slots__ = ("comm", "loginuid", "pid", "ppid", "sessionid", "uid")

    def __init__(self, pid: int, ppid: int, comm: str, uid: int, loginuid: int, sessionid: int) -> None:
        self.pid, self.ppid, self.comm, self.uid = pid, ppid, comm, uid
        self.loginuid, self.sessionid = loginuid, sessionid

    def to_dict(self) -> dict[str, int | str]:
        """As plain values, for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def loginuid(pid: int | str = "self") -> int:
    """/proc/PID/loginuid, translated through the caller's user namespace; UNSET if no ancestor logged in.

    Raises ProcessLookupError or FileNotFoundError when there is no such process.
    """
    return _number(f"/proc/{pid}/loginuid")


def sessionid(pid: int | str = "self") -> int:
    """/proc/PID/sessionid: the audit session, `ses=` in a record; UNSET as above."""
    return _number(f"/proc/{pid}/sessionid")


def _number(path: str) -> int:
    with open(path, encoding="ascii") as file:
        return int(file.read())


def set_loginuid(uid: int) -> None:
    """Set the caller's own loginuid, or clear it with UNSET. Raises PermissionError where the kernel refuses.

    A process whose loginuid is unset may set it without privilege. Every other change needs CAP_AUDIT_CONTROL in the
    initial user namespace, so only a child that soon ends should call this without privilege.
    """
    # thread-self, since a thread may write its own loginuid only; os.write(), since open().write() hides the error.
    fd = os.open("/proc/thread-self/loginuid", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, str(uid).encode())
    finally:
        os.close(fd)


def open_session(uid: int) -> None:
    """Do what pam_loginuid does at login, in a child that is about to become the user's session.

    Nothing is changed if the loginuid is that user's already. Raises NotAllowed if the kernel refuses the change.
    """
    if loginuid() == uid:
        return
    try:
        set_loginuid(uid)
    except PermissionError:
        raise NotAllowed(
            f"the kernel refuses to change this session's loginuid from {loginuid()} to {uid}",
            "log in as that user, or start from a process whose loginuid is unset, such as a systemd unit",
        ) from None


def ancestry(pid: int) -> list[Ancestor]:
    """The processes from pid up to pid 1, or to the top of this pid namespace; empty if pid has ended."""
    found: list[Ancestor] = []
    while pid:
        try:
            found.append(_ancestor(pid))
        except (FileNotFoundError, ProcessLookupError):
            break
        pid = found[-1].ppid
    return found


def _ancestor(pid: int) -> Ancestor:
    fields = status(pid)
    return Ancestor(
        pid, int(fields["PPid"]), fields["Name"], int(fields["Uid"].split()[1]), loginuid(pid), sessionid(pid)
    )


def status(pid: int | str = "self") -> dict[str, str]:
    """The fields of /proc/PID/status, such as "Uid" and "CapEff"; proc_pid_status(5).

    Raises ProcessLookupError or FileNotFoundError when there is no such process.
    """
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}


def capabilities(pid: int | str = "self", which: str = "CapEff") -> int:
    """One of a process's capability sets, as a bit mask: CapEff, CapPrm, CapInh, CapBnd or CapAmb; capabilities(7).

    lab.runtime.credentials.mask() makes the same mask from names. Raises what status() raises.
    """
    return int(status(pid)[which], 16)


ELSEWHERE: dict[int, str] = {}  # users of the machine that a recording was made on; they come before this one's


def name_of(uid: int) -> str:
    """The user's name, "unset", or the number, as `ausearch -i` prints it."""
    if uid == UNSET:
        return "unset"
    if uid in ELSEWHERE:
        return ELSEWHERE[uid]
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)

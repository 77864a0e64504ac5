"""Who is behind a connection: what the kernel says of the process at the other end of a UNIX socket; unix(7)."""

from __future__ import annotations

import errno
import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

SO_PEERPIDFD = 77  # include/uapi/asm-generic/socket.h, Linux 6.5
UCRED = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class Peer:
    """pid, uid and gid when it connected; loginuid as it is now, None if that cannot be told; how it was looked up."""

    pid: int
    uid: int
    gid: int
    loginuid: int | None
    method: str

    def __str__(self) -> str:
        loginuid = "unknown" if self.loginuid is None else "unset" if self.loginuid == 2**32 - 1 else self.loginuid
        return f"pid={self.pid} uid={self.uid} gid={self.gid} loginuid={loginuid} ({self.method})"


def peer_of(connection: socket.socket, *, by_pid: bool = False) -> Peer:
    """SO_PEERCRED, and the loginuid through SO_PEERPIDFD; on an older kernel, or if asked to, through the pid alone.

    A pid alone may by now be another process's: then the wrong user is named.
    """
    pid, uid, gid = UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size))
    try:
        pidfd = -1 if by_pid else connection.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:  # the peer has been reaped
            return Peer(pid, uid, gid, None, "SO_PEERPIDFD")
        pidfd = -1
    if pidfd < 0:
        return Peer(pid, uid, gid, _read(pid), "SO_PEERCRED")
    try:
        return Peer(pid, uid, gid, _loginuid(pidfd), "SO_PEERPIDFD")
    finally:
        os.close(pidfd)


def _loginuid(pidfd: int) -> int | None:
    """Read between two looks at the pidfd, which says -1 once its process is gone."""
    pid = _pid(pidfd)
    loginuid = _read(pid)
    return loginuid if _pid(pidfd) == pid else None


def _read(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/loginuid").read_text())
    except OSError:
        return None


def _pid(pidfd: int) -> int:
    for line in Path(f"/proc/self/fdinfo/{pidfd}").read_text().splitlines():
        if line.startswith("Pid:"):
            return int(line.split()[1])
    return -1

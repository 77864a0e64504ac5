"""What the kernel says about the process at the other end of a UNIX socket; unix(7)."""

from __future__ import annotations

import errno
import os
import socket
import struct
from dataclasses import dataclass

from lab import identity
from lab.identity import UNSET
from lab.pidfd import pid_of

SO_PEERPIDFD = 77  # include/uapi/asm-generic/socket.h, Linux 6.5
UCRED = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class Peer:
    """The process at the other end of a connection.

    pid, uid and gid  when it called connect(2)
    loginuid          now; None if the process is gone
    method            the socket option through which the loginuid was found
    """

    pid: int
    uid: int
    gid: int
    loginuid: int | None
    method: str

    def __str__(self) -> str:
        known = "unknown" if self.loginuid is None else str(self.loginuid)
        loginuid = "unset" if self.loginuid == UNSET else known
        return f"pid={self.pid} uid={self.uid} gid={self.gid} loginuid={loginuid} ({self.method})"


def peer_of(connection: socket.socket, *, by_pid: bool = False) -> Peer:
    """The peer by SO_PEERCRED, its loginuid through SO_PEERPIDFD; through the pid alone if by_pid or on an old kernel.

    A pid alone may belong to another process by now: then the wrong user is named.
    """
    pid, uid, gid = UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size))
    try:
        pidfd = -1 if by_pid else connection.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:  # the peer has been reaped
            return Peer(pid, uid, gid, None, "SO_PEERPIDFD")
        pidfd = -1
    if pidfd < 0:
        return Peer(pid, uid, gid, _loginuid(pid), "SO_PEERCRED")
    try:
        return Peer(pid, uid, gid, _loginuid_of(pidfd), "SO_PEERPIDFD")
    finally:
        os.close(pidfd)


def _loginuid_of(pidfd: int) -> int | None:
    """Read by pid, between two checks that the pidfd's process still has that pid."""
    pid = pid_of(pidfd)
    loginuid = _loginuid(pid)
    return loginuid if pid_of(pidfd) == pid else None


def _loginuid(pid: int) -> int | None:
    try:
        return identity.loginuid(pid)
    except OSError:  # no such process, or a kernel without audit
        return None

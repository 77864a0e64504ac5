"""Who has forked whom, as the kernel tells it at each fork: also of a process that has ended meanwhile.

The process events connector: Documentation/driver-api/connector.rst, include/uapi/linux/cn_proc.h. The kernel sends the
event before the child runs for the first time, so a message of the child's is never earlier than its fork.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Self

from lab.identity import ancestry

NETLINK_CONNECTOR = 11  # linux/netlink.h
CN_IDX_PROC = CN_VAL_PROC = 1  # linux/connector.h
PROC_CN_MCAST_LISTEN, PROC_EVENT_FORK = 1, 1  # linux/cn_proc.h
HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
MESSAGE = struct.Struct("=IIIIHH")  # struct cn_msg
FORK = struct.Struct("=IIQIIII")  # struct proc_event: what, cpu, time; parent pid and tgid, child pid and tgid
NLMSG_DONE = 3
ROOM = 8 << 20  # bytes of events that may wait
LARGEST = 4096


class Forks:
    """All forks from now on; a context manager. Where the kernel tells nobody, as in a pid namespace, it knows none."""

    def __init__(self) -> None:
        self._parents: dict[int, int] = {}
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        words = struct.pack("=I", PROC_CN_MCAST_LISTEN)
        message = MESSAGE.pack(CN_IDX_PROC, CN_VAL_PROC, 0, 0, len(words), 0) + words
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, NETLINK_CONNECTOR)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
            self._socket.bind((0, CN_IDX_PROC))
            size = HEADER.size + len(message)
            self._socket.send(HEADER.pack(size, NLMSG_DONE, 0, 0, os.getpid()) + message)
        except OSError:
            pass  # no such connector, or not for us
        return self

    def __exit__(self, *error: object) -> None:
        if self._socket:
            self._socket.close()

    def read(self) -> None:
        """Take what the kernel has told since."""
        while self._socket:
            try:
                data = self._socket.recv(LARGEST)
            except OSError:  # no more; or some were lost, ENOBUFS, and then /proc must do
                return
            at = HEADER.size + MESSAGE.size
            if len(data) >= at + FORK.size:
                what, _, _, _, parent, _, child = FORK.unpack_from(data, at)
                if what == PROC_EVENT_FORK and child != parent:  # not a thread of the same process
                    self._parents[child] = parent

    def line(self, pid: int) -> list[int]:
        """The process and who forked it, and so on; from the last whose fork was not told, as /proc has it now.

        Empty if nobody can tell: the process has ended, and its fork was not told.
        """
        self.read()
        line = [pid]
        while (parent := self._parents.get(line[-1])) and parent not in line:
            line.append(parent)
        above = [process.pid for process in ancestry(line[-1])]
        return line[:-1] + above if above else line if len(line) > 1 else []

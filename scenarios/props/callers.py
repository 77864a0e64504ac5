"""Processes that ask a daemon through its socket, and what becomes of them meanwhile: the races of an attribution.

Each is a child of this process, with a loginuid that is given to it, and ends with this process, however that ends.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from lab.identity import loginuid, set_loginuid
from lab.syscalls import PR_SET_PDEATHSIG, clone3, prctl
from scenarios.needs import CannotTell

REQUEST = b"run\n"
Act = Callable[[], object]


class Process:
    """A child that has done something, and waits. Raises CannotTell if it could not do it.

    uid   its loginuid
    act   what it does; what it returns stays alive, a connection for example
    pid   the pid that it gets, if not 0: the number of a process that has ended; clone(2), set_tid
    """

    def __init__(self, uid: int, act: Act, pid: int = 0) -> None:
        ready, done = os.pipe2(os.O_CLOEXEC)
        parent = os.getpid()
        try:
            self.pid, self._pidfd = clone3(0, set_tid=pid)
        except FileExistsError:
            raise CannotTell(f"the pid {pid} is in use again", "run this again") from None
        if self.pid == 0:
            _live(uid, act, parent, done)
        os.close(done)
        with os.fdopen(ready, "rb") as file:
            self._alive = True
            if not file.read(1):
                self.end()
                raise CannotTell(f"a process with the loginuid {uid} could not ask", "run this again")

    def end(self) -> None:
        """Kill and reap it: from now on its pid may be another's."""
        if self._alive:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            os.close(self._pidfd)
            self._alive = False


def _live(uid: int, act: Act, parent: int, done: int) -> NoReturn:
    try:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            if loginuid() != uid:
                set_loginuid(uid)
            kept = act()
            os.write(done, b"r")
            signal.pause()
            del kept
    finally:
        os._exit(1)  # the child must not unwind the parent's stack


@contextmanager
def process(uid: int, act: Act = lambda: None, pid: int = 0) -> Iterator[Process]:
    """A Process for the length of the block."""
    made = Process(uid, act, pid)
    try:
        yield made
    finally:
        made.end()


class Listener:
    """A daemon's socket, with SO_PASSCRED: each message brings its sender's pid, uid and gid, SCM_CREDENTIALS; unix(7).

    A context manager.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind("")  # autobind to an abstract name; unix(7)
        self._socket.listen()

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self._socket.getsockname())
        return connection

    def ask(self) -> socket.socket:
        """Connect, and send the request."""
        connection = self.connect()
        connection.sendall(REQUEST)
        return connection

    def accept(self) -> socket.socket:
        return self._socket.accept()[0]

    def hand_on(self, channel: socket.socket) -> socket.socket:
        """Connect, and pass the connection through the channel; SCM_RIGHTS of unix(7)."""
        connection = self.connect()
        socket.send_fds(channel, [b"c"], [connection.fileno()])
        return connection


def take_over(channel: socket.socket) -> socket.socket:
    """Send the request on a connection that comes through the channel."""
    connection = socket.socket(fileno=socket.recv_fds(channel, 1, 1)[1][0])
    connection.sendall(REQUEST)
    return connection

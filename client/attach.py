"""The attached client: one thread, one poll(2) over the connection, the caller's input and the caller's signals."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Callable

from lab import syscalls
from lab.frames import FrameReader
from lab.signals import FORWARDED

CHUNK = 1 << 18


class Attachment:
    """Carries bytes between a taken-over connection and the caller's descriptors until the daemon ends it.

    framed     standard output and error come in frames (no terminal)
    stdin      whether the caller's input is wanted
    on_signal  gets the number of each signal that the caller gets
    """

    def __init__(
        self, connection: socket.socket, early: bytes, *, framed: bool, stdin: bool, on_signal: Callable[[int], None]
    ) -> None:
        self.connection, self.on_signal = connection, on_signal
        self._frames = FrameReader() if framed else None
        connection.setblocking(False)
        self._poll = select.poll()
        self._signals = syscalls.signalfd(FORWARDED)
        self._poll.register(self._signals, select.POLLIN)
        self._poll.register(connection, select.POLLIN)
        self._stdin = 0 if stdin else -1
        if stdin:
            self._poll.register(0, select.POLLIN)
        self._outgoing = memoryview(b"")
        self._closed: set[int] = set()
        if early:
            self._receive(memoryview(early))

    def run(self) -> None:
        """Returns at the daemon's end of file."""
        buffer = bytearray(CHUNK)
        while True:
            for fd, event in self._poll.poll():
                if fd == self._signals:
                    self.on_signal(int.from_bytes(os.read(fd, 128)[:4], "little"))
                elif fd == self._stdin:
                    self._read_stdin()
                elif fd == self.connection.fileno():
                    if event & select.POLLOUT:
                        self._send()
                    if event & (select.POLLIN | select.POLLHUP | select.POLLERR) and not self._read(buffer):
                        return

    def _read(self, buffer: bytearray) -> bool:
        try:
            count = self.connection.recv_into(buffer)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        self._receive(memoryview(buffer)[:count])
        return count > 0

    def _receive(self, data: memoryview) -> None:
        if self._frames is None:
            self._write(1, data)
            return
        for target, piece in self._frames.feed(data):
            self._write(target, piece)

    def _write(self, target: int, data: memoryview) -> None:
        try:
            while data and target not in self._closed:
                data = data[os.write(target, data) :]
        except OSError:  # the reader went away: the container goes on, as under docker
            self._closed.add(target)

    def _read_stdin(self) -> None:
        """Read once and send it; read more only when all is gone."""
        try:
            data = os.read(0, CHUNK)
        except OSError:  # the caller's terminal is gone
            data = b""
        self._poll.unregister(0)
        if data:
            self._outgoing = memoryview(data)
            self._send()
        else:
            self._stdin = -1
            with contextlib.suppress(OSError):  # the daemon was faster
                self.connection.shutdown(socket.SHUT_WR)

    def _send(self) -> None:
        try:
            self._outgoing = self._outgoing[self.connection.send(self._outgoing) :]
        except BlockingIOError:
            pass
        except ConnectionError:
            self._outgoing = memoryview(b"")
        self._poll.modify(self.connection, select.POLLIN | (select.POLLOUT if self._outgoing else 0))
        if not self._outgoing and self._stdin == 0:
            self._poll.register(0, select.POLLIN)


def window_size() -> tuple[int, int]:
    """(height, width) of the caller's terminal, (0, 0) if it has none."""
    for fd in (0, 1, 2):
        with contextlib.suppress(OSError):
            size = os.get_terminal_size(fd)
            return size.lines, size.columns
    return 0, 0

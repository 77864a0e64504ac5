"""Another host's collector, in this process: it keeps each line that comes by TCP, and answers it with "ok"."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self

OK = b"ok\n"
CHUNK = 1 << 16
LOOK_SECONDS = 0.1


class Collector:
    """A context manager; host and port are where it listens, lines what it has kept."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._listener.getsockname()
        self.lines: list[bytes] = []
        self._begun: dict[socket.socket, bytes] = {}
        self._loses = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for connection in (self._listener, *self._begun):
            connection.close()

    def lose_next(self) -> None:
        """As if it ended at the next line and were started again: that line is read and not kept, nor answered."""
        self._loses = True

    def wait_for(self, count: int, seconds: float, going: Callable[[], bool]) -> None:
        """Serve until it has kept that many lines, or until that time is over, or the sender is not going any more."""
        deadline = time.monotonic() + seconds
        while len(self.lines) < count and time.monotonic() < deadline:
            waiting = select.select([self._listener, *self._begun], [], [], LOOK_SECONDS)[0]
            for ready in waiting:
                if ready is self._listener:
                    self._begun[self._listener.accept()[0]] = b""
                else:
                    self._serve(ready)
            if not waiting and not going():
                return

    def _serve(self, connection: socket.socket) -> None:
        """Keep and answer the whole lines that have come."""
        data = b""
        with suppress(OSError):  # the sender was killed
            data = connection.recv(CHUNK)
        *lines, self._begun[connection] = (self._begun[connection] + data).split(b"\n")
        for line in lines:
            if self._loses:
                self._loses, data = False, b""
                break
            self.lines.append(line)
            with suppress(OSError):
                connection.sendall(OK)
        if not data:
            del self._begun[connection]
            connection.close()

"""What the speaker's screen and the stage tell each other: lines of a word and a JSON value, over a UNIX socket.

    from the stage    page  moment  waiting  shell  finished  failed
    from the screen   on  go  shell  quit

The stage is a process by itself. So its forks are those of a process with one thread, the screen never waits for it,
and it takes back what it did even if the screen is killed.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

from lab.paths import SOCKET

NOTES = Path(SOCKET).with_name("talk.sock")  # the speaker's notes, for a second terminal
PIECE = 1 << 16


class Channel:
    """One end. A line may carry a file descriptor, as unix(7) describes for SCM_RIGHTS."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._buffer = b""
        self._descriptors: list[int] = []

    def send(self, word: str, value: object = None, descriptor: int = -1) -> None:
        """Raises OSError if the other end is gone."""
        line = f"{word} {json.dumps(value)}\n".encode()
        if descriptor >= 0:
            sent = socket.send_fds(self.connection, [line], [descriptor])
            line = line[sent:]
        self.connection.sendall(line)

    def receive(self) -> tuple[str, Any, int]:
        """The next line: its word, its value, its descriptor or -1. Raises EOFError if the other end is gone."""
        while (line := self.whole_line()) is None:
            try:
                piece, descriptors, _, _ = socket.recv_fds(self.connection, PIECE, 1)
            except ConnectionError:
                piece, descriptors = b"", []
            self._descriptors += descriptors
            self.feed(piece)
        return line

    def feed(self, piece: bytes) -> None:
        """Take what has come in. Raises EOFError for b"", which is what a closed connection gives."""
        if not piece:
            raise EOFError
        self._buffer += piece

    def whole_line(self) -> tuple[str, Any, int] | None:
        """The next line of what has come in, if it is whole."""
        line, end, rest = self._buffer.partition(b"\n")
        if not end:
            return None
        self._buffer = rest
        word, _, value = line.decode().partition(" ")
        return word, json.loads(value), self._descriptors.pop(0) if self._descriptors else -1

    def close(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)
        self.connection.close()

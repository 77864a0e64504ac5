"""The screen's end of the stage: starts its process, and hears and tells it without ever waiting for it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from scenarios.audiences.talk_wire import PIECE, Channel

PATIENCE = 60.0  # seconds for the stage to take back what it did


class Link(Protocol):
    """What the screen needs of a stage."""

    def start(self) -> None:
        """Set the stage; also again, after it has ended."""

    async def receive(self) -> tuple[str, Any]:
        """The next thing that the stage tells. Raises EOFError once it has ended."""

    def send(self, word: str, value: object = None, descriptor: int = -1) -> None: ...

    def interrupt(self) -> None:
        """Make it end in the middle of what it does; it takes back what it did."""

    def close(self) -> str:
        """End it, and wait until it has. Returns what it wrote on standard error."""


class Process:
    """The stage as a process by itself, in a session by itself: a terminal's Ctrl-C and hang-up do not reach it."""

    def __init__(self, command: Callable[[int], Sequence[str]]) -> None:
        """command gives its words, with the number of the descriptor that is its end of the socket."""
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as this

    def start(self) -> None:
        self.close()
        here, there = socket.socketpair()
        with there:
            self._process = subprocess.Popen(
                self._command(there.fileno()),
                pass_fds=[there.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                start_new_session=True,
            )
        here.setblocking(False)
        self._channel = Channel(here)

    async def receive(self) -> tuple[str, Any]:
        while (line := self._channel.whole_line()) is None:
            try:
                piece = await asyncio.get_running_loop().sock_recv(self._channel.connection, PIECE)
            except ConnectionError:
                piece = b""
            self._channel.feed(piece)
        return line[:2]

    def send(self, word: str, value: object = None, descriptor: int = -1) -> None:
        with suppress(OSError):  # it has ended: receive() says so
            self._channel.send(word, value, descriptor)

    def interrupt(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)

    def close(self) -> str:
        if self._process is None:
            return ""
        self._channel.close()  # at a stop, it ends by that
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            self.interrupt()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE)
        self._process = None
        self._errors.seek(0)
        written = self._errors.read().decode(errors="replace")
        os.ftruncate(self._errors.fileno(), 0)
        return written

"""Somebody at a terminal: types into a command and reads what it shows."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

SECONDS = 30
ROWS, COLUMNS = 24, 80
PROMPT = r"\n[^\n]*\(lab: "


class Typist:
    """A command on a pseudo-terminal of its own session; shown is what was not expected yet."""

    def __init__(self, *argv: str, env: dict[str, str] | None = None) -> None:
        self.terminal, theirs = pty.openpty()
        self.resize(ROWS, COLUMNS)
        self.process = subprocess.Popen(
            argv, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, preexec_fn=_own_terminal, env=env
        )
        os.close(theirs)
        self.shown = ""

    def type(self, text: str) -> None:
        """Type the text; Enter is a carriage return."""
        os.write(self.terminal, text.encode())

    def resize(self, rows: int, columns: int) -> None:
        """Give the terminal's window another size."""
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def expect(self, pattern: str) -> re.Match[str]:
        """Read until the pattern is shown; what stands before it and it itself are not found again."""
        deadline = time.monotonic() + SECONDS
        while not (found := re.search(pattern, self.shown)):
            if time.monotonic() > deadline or (not self.read() and self.process.poll() is not None):
                pytest.fail(f"{pattern!r} is not in {self.shown!r}")
        self.shown = self.shown[found.end() :]
        return found

    def answer(self, command: str) -> str:
        """Type a command; what it prints, without line ends."""
        self.type(f'echo "<$({command})>"\r')
        found = self.expect(r"<([^$>]*)>")[1].replace("\r\n", " ").strip()
        self.expect(PROMPT)
        return found

    def enter(self, command: str, key: str = "\r") -> None:
        """Type a command, and wait for the next prompt: sudo would take what is typed while it runs."""
        self.type(f"{command}{key}")
        self.expect(PROMPT)

    def read(self) -> bool:
        """Read what is shown within 0.1 s; whether there was anything."""
        if not select.select([self.terminal], [], [], 0.1)[0]:
            return False
        with suppress(OSError):  # EIO: no process has the terminal open any more
            data = os.read(self.terminal, 1 << 16)
            self.shown += data.decode(errors="replace")
            return bool(data)
        return False

    def ended(self) -> int:
        """Read to the end; the exit status."""
        deadline = time.monotonic() + SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            self.read()
        while self.read():
            pass
        return self.process.wait(0)

    def hang_up(self) -> None:
        """Close the terminal: its session gets SIGHUP."""
        os.close(self.terminal)
        self.terminal = -1

    def close(self) -> None:
        """End the command, if it still runs, in an orderly way."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(SECONDS)
        self.process.kill()
        self.process.wait()
        if self.terminal >= 0:
            os.close(self.terminal)


def _own_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@contextmanager
def typists() -> Iterator[Callable[..., Typist]]:
    """Make typists, whose commands are ended behind the test, the last one first."""
    made: list[Typist] = []

    def make(*argv: str, env: dict[str, str] | None = None) -> Typist:
        made.append(Typist(*argv, env=env))
        return made[-1]

    try:
        yield make
    finally:
        for typist in reversed(made):
            typist.close()

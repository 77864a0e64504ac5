"""The audience that hands each beat to the page's server, and may wait at a stop for the speaker's key.

The server is another process: a run forks, and must have no event loop and no threads of its own meanwhile.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import termios
import time
from errno import EADDRINUSE
from types import TracebackType
from typing import Self

from lab.errors import InvalidArgument, LabError
from scenarios.audiences.terminal import WAITS, Pace
from scenarios.languages.choice import ENGLISH, Language
from scenarios.performance.beats import Moment, Stop, to_json

PORT = 8650
PATIENCE = 2.0  # seconds that a beat waits for a server that does not read, before the run goes on without a page; and
# that a new page waits for its port
STARTING = 90.0  # seconds, as labd gets: just after the boot of an emulated machine, 30 were too few


class Page:
    """A context manager and an audience: address is for everyone on this machine, speaker_address presses keys, too.

    pace says at which stops take() waits for the speaker: for Space on the speaker's page, or, where standard input is
    a terminal and keyboard is true, for Enter there. place is the step to show first; None: always the newest.
    language is what a viewer sees at first.
    Raises InvalidArgument if the port cannot be had.
    """

    def __init__(
        self,
        port: int = PORT,
        pace: Pace = "auto",
        *,
        keyboard: bool = True,
        place: int | None = None,
        language: Language = ENGLISH,
    ) -> None:
        self.pace: Pace = pace
        self._keyboard = keyboard and sys.stdin.isatty()
        self._skipping = False
        viewer, speaker = secrets.token_urlsafe(16), secrets.token_urlsafe(16)
        with _listener(port) as listener:
            self.port: int = listener.getsockname()[1]
            self._server = subprocess.Popen(
                [sys.executable, "-P", "-m", "scenarios.audiences.page.server", str(listener.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[listener.fileno()],
                process_group=0,  # Ctrl-C is the run's; the server ends when the run does
            )
        assert self._server.stdin and self._server.stdout
        self._beats, self._keys = self._server.stdin.fileno(), self._server.stdout.fileno()
        os.set_blocking(self._beats, False)
        self.address, self.speaker_address = (f"http://127.0.0.1:{self.port}/{one}/" for one in (viewer, speaker))
        tokens = {"viewer": viewer, "speaker": speaker}
        self._send(json.dumps({**tokens, "port": self.port, "place": place, "language": language.code}))
        if self._read(STARTING) != "ready":
            self.close()
            raise LabError("the page's server did not start", "what it printed stands above")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The server's."""
        return self._server.pid

    def take(self, moment: Moment) -> None:
        """Hand the beat on; wait at a stop, if this page sets the pace. Raises KeyboardInterrupt for `q` there."""
        self._send(to_json(moment))
        if isinstance(moment.beat, Stop):
            self._skipping = self._skipping and not ends_a_story(moment.beat)
            if moment.beat.before in WAITS[self.pace] and not self._skipping:
                self._skipping = self._wait() == "next" and not ends_a_story(moment.beat)

    def fileno(self) -> int:
        """Readable when the speaker has pressed a key on the page: for an audience that waits in its own way."""
        return self._keys

    def key(self) -> str:
        """The key that the speaker pressed: `on` or `next`; "" if there is none, or no server any more."""
        return self._read(0)

    def stay(self) -> None:
        """Go on serving until Ctrl-C, which raises KeyboardInterrupt."""
        self._server.wait()

    def close(self) -> None:
        """Tell the viewers that the run has ended, and end the server."""
        assert self._server.stdin and self._server.stdout
        self._server.stdin.close()
        try:
            self._server.wait(5)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._server.stdout.close()

    def _wait(self) -> str:
        """The key with which the speaker goes on. Without server and keyboard, nobody could: then `on`, at once."""
        if self._keyboard:
            termios.tcflush(0, termios.TCIFLUSH)  # an Enter from before was not meant for this stop
        while True:
            sources: list[int] = [0] if self._keyboard else []
            if self._server.poll() is None:
                sources.append(self._keys)
            ready = select.select(sources, [], [])[0] if sources else []
            if not sources or (0 in ready and self._typed()):
                return "on"
            if self._keys in ready and (key := self.key()):
                return key

    def _typed(self) -> bool:
        line = os.read(0, 1024)
        if not line or line.strip() == b"q":
            raise KeyboardInterrupt
        return True

    def _send(self, line: str) -> None:
        """Write to the server. One that has ended, or hangs, is given up: the run goes on without it."""
        left, until = memoryview(line.encode() + b"\n"), time.monotonic() + PATIENCE
        try:
            while left and self._server.poll() is None:
                if not select.select([], [self._beats], [], max(0, until - time.monotonic()))[1]:
                    self._server.send_signal(signal.SIGKILL)
                    return
                left = left[os.write(self._beats, left) :]
        except BrokenPipeError:
            return

    def _read(self, patience: float) -> str:
        """The next line that the server wrote; the last of those that wait."""
        if not select.select([self._keys], [], [], patience)[0]:
            return ""
        return os.read(self._keys, 4096).decode().split("\n")[-2:][0]


def ends_a_story(stop: Stop) -> bool:
    """Whether what comes after this stop is no part of the story before: there, `next` and `on` are the same."""
    return stop.before in ("story", "summary")


def _listener(port: int) -> socket.socket:
    """Bound to that port. Where it is in use, that may be by the page of a run that was killed: it ends in a second."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return socket.create_server(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            number = error.errno if isinstance(error, OSError) else 0
            if number != EADDRINUSE or time.monotonic() > until:
                reason = os.strerror(number) if number else "no such port"
                raise InvalidArgument(f"--port {port}: {reason}", "give another port, or 0 for any") from None
        time.sleep(0.05)

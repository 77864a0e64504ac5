"""A process's three streams inside labd: one reader of its output, any number of listeners, one way in.

Output goes to the log first and then to every listener. A listener that is slow makes the pump wait, the pipe fills
and the process stalls, as under dockerd; one that has gone is dropped. So memory stays bounded by what is on the
way: CHUNK bytes here and as much in each socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import struct
import termios
from collections.abc import Callable, Iterator
from typing import Protocol

from lab.logs import STDERR, STDOUT, LogWriter

CHUNK = 1 << 16
DRAIN_SECONDS = 2.0  # dockerd waits as long for a process's output before it calls the process ended

log = logging.getLogger("labd")


class Receiver(Protocol):
    """An attached client."""

    async def send(self, stream: int, data: bytes) -> None:
        """Take the data; return when there is room for more. Raises ConnectionError when nobody is there."""


class Pulse:
    """Wakes all that wait for it; who comes later waits for the next beat."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Event] = set()

    def beat(self) -> None:
        """Something has changed."""
        for waiter in self._waiters:
            waiter.set()

    @contextlib.contextmanager
    def watch(self) -> Iterator[asyncio.Event]:
        """An event that each beat sets; clear it before looking."""
        event = asyncio.Event()
        self._waiters.add(event)
        try:
            yield event
        finally:
            self._waiters.discard(event)


class Output:
    """The reading ends of one process, from start to the last byte."""

    def __init__(self) -> None:
        self.receivers: set[Receiver] = set()
        self.log: LogWriter | None = None
        self.finished = asyncio.Event()  # the process has ended, every listener has its last byte
        self.on_record: Callable[[], None] = lambda: None
        self._ended = asyncio.Event()
        self._wakers: list[asyncio.Event] = []
        self._pumps: list[asyncio.Task[None]] = []

    def start(self, *sources: tuple[int, int]) -> None:
        """Read from these (descriptor, stream) pairs, which are ours to close."""
        self._pumps = [asyncio.create_task(self._pump(fd, stream)) for fd, stream in sources]
        asyncio.create_task(self._finish()).add_done_callback(self._pumps.append)

    def process_ended(self) -> None:
        """What the process wrote is in the pipes by now: an empty pipe is the end, whoever holds its other side."""
        self._ended.set()
        for waker in self._wakers:
            waker.set()

    def abandon(self) -> None:
        """Nobody is to wait for more."""
        self.finished.set()

    def never_began(self) -> None:
        """There will be no output: the process could not be started."""
        if self.log:
            self.log.close()
            self.log = None
        self.abandon()

    async def drained(self) -> None:
        """Wait for the last byte, but no longer than DRAIN_SECONDS for a listener that does not read."""
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await self.finished.wait()
        except TimeoutError:
            pass

    async def _finish(self) -> None:
        await asyncio.gather(*self._pumps)
        await self._ended.wait()
        if self.log:
            self.log.close()
        self.finished.set()
        self.on_record()

    async def _pump(self, fd: int, stream: int) -> None:
        os.set_blocking(fd, False)
        waker = asyncio.Event()
        self._wakers.append(waker)
        try:
            while data := await self._read(fd, waker):
                self._record(stream, data)
                for receiver in tuple(self.receivers):
                    await self._deliver(receiver, stream, data)
                await asyncio.sleep(0)  # let the others have a turn: a busy pipe is always readable
        finally:
            os.close(fd)

    async def _read(self, fd: int, waker: asyncio.Event) -> bytes:
        loop = asyncio.get_running_loop()
        while True:
            try:
                return os.read(fd, CHUNK)
            except BlockingIOError:
                if self._ended.is_set():
                    return b""
            except OSError:  # EIO: nobody has the terminal open any more; pty(7)
                return b""
            waker.clear()
            loop.add_reader(fd, waker.set)
            try:
                await waker.wait()
            finally:
                loop.remove_reader(fd)

    def _record(self, stream: int, data: bytes) -> None:
        if self.log is None:
            return
        try:
            self.log.append(stream, data)
        except OSError as error:
            log.error("the log cannot be written and ends here: %s", error)
            self.log.close()
            self.log = None
        self.on_record()

    async def _deliver(self, receiver: Receiver, stream: int, data: bytes) -> None:
        try:
            await receiver.send(stream, data)
        except ConnectionError:
            self.receivers.discard(receiver)


class Input:
    """The writing end of a process's standard input: a pipe, or its terminal's master side (a duplicate)."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._waiting = asyncio.Event()
        os.set_blocking(fd, False)

    async def write(self, data: bytes) -> None:
        """Returns when the pipe has taken all; data for a process that reads no more is dropped."""
        rest = memoryview(data)
        while rest and self.fd >= 0:
            try:
                rest = rest[os.write(self.fd, rest) :]
            except BlockingIOError:
                await self._writable()
            except OSError:
                self.close()

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        self._waiting.clear()
        loop.add_writer(self.fd, self._waiting.set)
        try:
            await self._waiting.wait()
        finally:
            if self.fd >= 0:
                loop.remove_writer(self.fd)

    def close(self) -> None:
        """End of file for the process (of a pipe: a terminal has none)."""
        if self.fd >= 0:
            asyncio.get_running_loop().remove_writer(self.fd)
            os.close(self.fd)
            self.fd = -1
            self._waiting.set()


class Stdio:
    """The descriptors of one process: three for the child, the other ends for labd."""

    def __init__(self, *, tty: bool, stdin: bool) -> None:
        self.tty, self.stdin = tty, stdin
        self.child: list[int] = []
        self._ours: list[tuple[int, int]] = []
        self._input = -1
        if tty:
            self.child = [os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC) for _ in range(3)]
            return
        if stdin:
            child_input, self._input = os.pipe2(os.O_CLOEXEC)
        else:
            child_input = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self.child.append(child_input)
        for stream in (STDOUT, STDERR):
            ours, theirs = os.pipe2(os.O_CLOEXEC)
            self._ours.append((ours, stream))
            self.child.append(theirs)

    def connect(self, console: int, output: Output) -> Input | None:
        """After the spawn: begin to read; returns the way in, if there is one."""
        if self.tty:
            self._ours = [(console, STDOUT)]
            self._input = os.dup(console)  # also what a resize needs
        output.start(*self._ours)
        self._ours = []
        return Input(self._input) if self._input >= 0 else None

    def close_child(self) -> None:
        """The child has its own copies; ours would keep the pipes from ending."""
        for fd in self.child:
            os.close(fd)
        self.child = []

    def discard(self) -> None:
        """The spawn failed."""
        self.close_child()
        for fd in [fd for fd, _ in self._ours] + [self._input]:
            if fd >= 0:
                os.close(fd)


def resize(terminal: int, height: int, width: int) -> None:
    """TIOCSWINSZ of ioctl_tty(2); the kernel sends SIGWINCH to the foreground process."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

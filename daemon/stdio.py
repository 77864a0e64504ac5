"""A process's three streams inside labd: one reader of its output, any number of receivers, one writer of its input.

Output goes to the log first and then to every receiver. While a receiver is slow, nothing more is read: the pipe fills
and the process waits, as under dockerd. A receiver that has left is dropped. So memory holds no more than CHUNK bytes
here and as many for each socket.
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
DRAIN_SECONDS = 2.0  # after a process's end, for its last output; dockerd waits as long

log = logging.getLogger("labd")


class Receiver(Protocol):
    """An attached client."""

    async def send(self, stream: int, data: bytes) -> None:
        """Take the data; return when there is room for more. Raises ConnectionError when the client has left."""


class Pulse:
    """Wakes current waiters at each beat(); later waiters wait for the next one."""

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
    """The output of one process, from its start to the last byte."""

    def __init__(self) -> None:
        self.receivers: set[Receiver] = set()
        self.log: LogWriter | None = None
        self.finished = asyncio.Event()  # the process has ended and every receiver has the last byte
        self.on_record: Callable[[], None] = lambda: None
        self._ended = asyncio.Event()
        self._wakers: list[asyncio.Event] = []
        self._pumps: list[asyncio.Task[None]] = []

    def start(self, *sources: tuple[int, int]) -> None:
        """Read from these (descriptor, stream) pairs, and close each descriptor at its end."""
        self._pumps = [asyncio.create_task(self._pump(fd, stream)) for fd, stream in sources]
        asyncio.create_task(self._finish()).add_done_callback(self._pumps.append)

    def process_ended(self) -> None:
        """From now on an empty pipe counts as finished, even if another process holds its write end."""
        self._ended.set()
        for waker in self._wakers:
            waker.set()

    def abandon(self) -> None:
        """Count as finished: nothing will wait for more output."""
        self.finished.set()

    def never_began(self) -> None:
        """The process could not be started: close the log and count as finished."""
        if self.log:
            self.log.close()
            self.log = None
        self.abandon()

    async def drained(self) -> None:
        """Wait until the output is finished, but only DRAIN_SECONDS: a receiver may not read."""
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
                await asyncio.sleep(0)  # let other tasks run: a busy pipe is always readable
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
            except OSError:  # EIO: no process has the terminal open any more; pty(7)
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
    """A process's standard input: the write end of its pipe, or a duplicate of its terminal's master side."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._waiting = asyncio.Event()
        os.set_blocking(fd, False)

    async def write(self, data: bytes) -> None:
        """Return when the pipe has taken all data; data for a process that reads no more is dropped."""
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
        """Close it: the process reads end of file from a pipe, nothing from a terminal."""
        if self.fd >= 0:
            asyncio.get_running_loop().remove_writer(self.fd)
            os.close(self.fd)
            self.fd = -1
            self._waiting.set()


class Stdio:
    """The descriptors of one process: three for the child, the other ends for labd. Raises OSError."""

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
        """After the spawn: begin to read the output; return the input, if there is one."""
        if self.tty:
            self._ours = [(console, STDOUT)]
            self._input = os.dup(console)  # for input and for resize()
        output.start(*self._ours)
        self._ours = []
        return Input(self._input) if self._input >= 0 else None

    def close_child(self) -> None:
        """Close the child's ends: the child has copies, and ours would keep the pipes from ending."""
        for fd in self.child:
            os.close(fd)
        self.child = []

    def discard(self) -> None:
        """Close all ends: the spawn has failed."""
        self.close_child()
        for fd in [fd for fd, _ in self._ours] + [self._input]:
            if fd >= 0:
                os.close(fd)


def resize(terminal: int, height: int, width: int) -> None:
    """TIOCSWINSZ of ioctl_tty(2); the kernel sends SIGWINCH to the foreground process."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

"""Stand by a running process: carry its output, its input and the caller's signals; podman's conmon.

One thread, one poll(2): the process's end, its pipes or terminal, the caller's input and the caller's signals are
all file descriptors.
"""

from __future__ import annotations

import os
import select

from lab import pidfd, runtime, syscalls
from lab.signals import FORWARDED, SIGWINCH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.logs import LogWriter
    from lab.runtime.link import Process

CHUNK = 1 << 16
SIGNALFD_SIGINFO_BYTES = 128  # sizeof(struct signalfd_siginfo); signalfd(2)
WINSIZE_BYTES = 8  # sizeof(struct winsize); ioctl_tty(2)


class Stdio:
    """The pipes for a process without a terminal. child holds its three ends, the rest are the monitor's."""

    def __init__(self, interactive: bool) -> None:
        self.output, child_output = os.pipe2(os.O_CLOEXEC)
        self.error, child_error = os.pipe2(os.O_CLOEXEC)
        if interactive:
            child_input, self.input = os.pipe2(os.O_CLOEXEC)
        else:
            child_input, self.input = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), -1
        self.child = (child_input, child_output, child_error)

    def close_child(self) -> None:
        """After the child has its own copies: so that its end is our end of file."""
        for fd in self.child:
            os.close(fd)


class Monitor:
    """Carries bytes for one process until it has ended and its output is drained.

    output, error    where its two streams go; -1: only to the log
    stdin            what feeds it; -1: nothing
    """

    def __init__(self, process: Process, log: LogWriter | None, *, output: int, error: int, stdin: int) -> None:
        self.process, self.log, self.stdin = process, log, stdin
        self.poll = select.poll()
        self.handlers: dict[int, Callable[[], None]] = {}
        self.targets = {1: output, 2: error}
        self.sources: set[int] = set()
        self.pending = b""

    def attach(self, stdio: Stdio | None) -> None:
        """Carry a process that has these pipes, or a terminal. From here on the caller's signals go to it."""
        if stdio:
            self._attach_pipes(stdio)
        else:
            self._attach_console()
        signals = syscalls.signalfd(FORWARDED)
        self._watch(signals, lambda: self._forward(signals))

    def _attach_pipes(self, stdio: Stdio) -> None:
        stdio.close_child()
        self._carry(stdio.output, 1)
        self._carry(stdio.error, 2)
        if self.stdin >= 0:
            self._feed(stdio.input)

    def _attach_console(self) -> None:
        self._carry(self.process.console, 1)
        self._resize()
        if self.stdin >= 0:
            self._feed(os.dup(self.process.console))  # poll(2) keeps one entry a descriptor, and it is read, too

    def run(self) -> int:
        """Returns the exit code. What a background child still holds open is not waited for beyond the exit."""
        self._watch(self.process.pidfd, lambda: self._unwatch(self.process.pidfd))
        while self.process.pidfd in self.handlers:
            self._turn(None)
        while self.sources and self._turn(0):
            pass
        return runtime.wait(self.process.child)

    def _turn(self, timeout: int | None) -> bool:
        ready = self.poll.poll(timeout)
        for fd, _ in ready:
            if fd in self.handlers:
                self.handlers[fd]()
        return any(fd in self.sources for fd, _ in ready)

    def _watch(self, fd: int, handler: Callable[[], None], events: int = select.POLLIN) -> None:
        self.handlers[fd] = handler
        self.poll.register(fd, events)

    def _unwatch(self, fd: int) -> None:
        del self.handlers[fd]
        self.poll.unregister(fd)
        self.sources.discard(fd)

    def _carry(self, source: int, stream: int) -> None:
        self.sources.add(source)
        self._watch(source, lambda: self._copy_output(source, stream))

    def _copy_output(self, source: int, stream: int) -> None:
        try:
            data = os.read(source, CHUNK)
        except OSError:  # EIO: the last holder of the terminal is gone; pty(7)
            data = b""
        if not data:
            self._unwatch(source)
            return
        self._keep(stream, data)
        if self.targets[stream] >= 0:
            self._write_all(stream, data)

    def _keep(self, stream: int, data: bytes) -> None:
        if self.log:
            try:
                self.log.append(stream, data)
            except OSError:  # the disk is full: the container goes on without a log
                self.log = None

    def _write_all(self, stream: int, data: bytes) -> None:
        try:
            while data:
                try:
                    data = data[os.write(self.targets[stream], data) :]
                except BlockingIOError:  # O_NONBLOCK, set by another that shares it
                    writable = select.poll()
                    writable.register(self.targets[stream], select.POLLOUT)
                    writable.poll()
        except OSError:  # the reader went away: the container goes on, as docker's and podman's do
            self.targets[stream] = -1

    def _feed(self, sink: int) -> None:
        os.set_blocking(sink, False)
        self._watch(self.stdin, lambda: self._read_input(sink))

    def _read_input(self, sink: int) -> None:
        try:
            self.pending = os.read(self.stdin, CHUNK)
        except OSError:  # the caller's terminal is gone
            self.pending = b""
        self._unwatch(self.stdin)
        if self.pending:
            self._watch(sink, lambda: self._write_input(sink), select.POLLOUT)
        else:
            os.close(sink)

    def _write_input(self, sink: int) -> None:
        """Write what fits; read more only when all is gone."""
        try:
            self.pending = self.pending[os.write(sink, self.pending) :]
        except BlockingIOError:
            return
        except OSError:  # it reads no more
            self.pending = b""
        if not self.pending:
            self._unwatch(sink)
            self._watch(self.stdin, lambda: self._read_input(sink))

    def _forward(self, signals: int) -> None:
        number = int.from_bytes(os.read(signals, SIGNALFD_SIGINFO_BYTES)[:4], "little")  # ssi_signo comes first
        if number == SIGWINCH:
            self._resize()
            return
        pidfd.send_signal(self.process.pidfd, number)

    def _resize(self) -> None:
        """Give the process's terminal the size of the caller's; ioctl_tty(2)."""
        if self.process.console < 0:
            return
        import fcntl
        import termios

        try:
            size = fcntl.ioctl(self.stdin if self.stdin >= 0 else 1, termios.TIOCGWINSZ, bytes(WINSIZE_BYTES))
        except OSError:  # the caller has no terminal
            return
        fcntl.ioctl(self.process.console, termios.TIOCSWINSZ, size)

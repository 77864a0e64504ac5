"""A command on a pseudo-terminal, relayed to the terminal of this process; pty(7)."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

CHUNK = 1 << 16


@contextmanager
def pseudo_terminal() -> Iterator[tuple[int, int]]:
    """Both sides of a pseudo-terminal, as large as the terminal that is this process's standard input."""
    ours, theirs = pty.openpty()
    try:
        _copy_size(ours)
        yield ours, theirs
    finally:
        os.close(ours)
        with suppress(OSError):  # closed already, once the command has it
            os.close(theirs)


def relay(ours: int, pidfd: int) -> None:
    """Carry bytes between this process's terminal and a pseudo-terminal until the process behind pidfd has ended.

    The terminal is raw meanwhile, so that Ctrl-C and Ctrl-Z go to the command; the size follows.
    """
    with _raw(), _size_follows(ours):
        os.set_blocking(ours, False)
        typed = b""
        while True:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            poll.register(ours, select.POLLIN | (select.POLLOUT if typed else 0))
            if not typed:  # else what was typed waits until the command reads
                poll.register(0, select.POLLIN)
            ready = dict(poll.poll())
            if not typed and ready.get(0):
                typed = _typed()
                if not typed:
                    return
            if typed:
                typed = typed[_written(ours, typed) :]
            shown = _shown(ours)
            if pidfd in ready and not shown:
                return


def _typed() -> bytes:
    """What the user has typed; nothing once the terminal is gone, which is EIO: termios(3)."""
    with suppress(OSError):
        return os.read(0, CHUNK)
    return b""


def _written(fd: int, data: bytes) -> int:
    with suppress(BlockingIOError):
        return os.write(fd, data)
    return 0


def _shown(ours: int) -> bool:
    """Show what the command has written; whether there was anything."""
    # EIO: no process has the other side open now, pty(7); or this process's terminal is gone.
    with suppress(OSError):
        view = memoryview(os.read(ours, CHUNK))
        while view:
            view = view[os.write(1, view) :]
        return True
    return False


@contextmanager
def _raw() -> Iterator[None]:
    before = termios.tcgetattr(0)
    tty.setraw(0, termios.TCSADRAIN)
    try:
        yield
    finally:
        with suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(0, termios.TCSADRAIN, before)


@contextmanager
def _size_follows(ours: int) -> Iterator[None]:
    """SIGWINCH: pass the size on, and the kernel tells the command."""

    def follow(number: int, frame: FrameType | None) -> None:
        _copy_size(ours)

    before = signal.signal(signal.SIGWINCH, follow)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


def _copy_size(ours: int) -> None:
    with suppress(OSError):  # no terminal any more
        size = fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(struct.calcsize("4H")))
        fcntl.ioctl(ours, termios.TIOCSWINSZ, size)

"""A shell for the speaker, on a terminal that the screen makes for it and shows as it is, until the shell ends."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PROMPT = b"$ "


def relay(start: Callable[[int], None], typed: str, said: str) -> int:
    """Give start() the terminal's end for a shell, then pass keys on and output back until the shell has ended.

    typed stands ready behind the first prompt; said is told before it. Returns the number of the signal that this
    process got meanwhile, or 0: SIGHUP and SIGTERM end the shell.
    """
    master, slave = os.openpty()
    try:
        _copy_size(master)
        os.write(1, f"\r\n{said}\r\n\r\n".encode())
        start(slave)
        os.close(slave)
        with _raw(), _signals(master) as got:
            _pump(master, typed.encode(), got)
        return got[0] if got else 0
    finally:
        os.close(master)


def _pump(master: int, typed: bytes, got: list[int]) -> None:
    while not got:
        readable, _, _ = select.select([0, master], [], [], 0.5)
        if 0 in readable:
            keys = _read(0)
            if not keys:
                return
            os.write(master, keys)
        if master in readable:
            shown = _read(master)
            if not shown:
                return
            os.write(1, shown)
            if typed and PROMPT in shown:
                os.write(master, typed)
                typed = b""


def _read(descriptor: int) -> bytes:
    """b"" at the end, which a terminal whose other side has closed reports as EIO."""
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:
        return b""


def _copy_size(master: int) -> None:
    size = os.get_terminal_size(1)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("4H", size.lines, size.columns, 0, 0))


@contextmanager
def _raw() -> Iterator[None]:
    """The terminal passes every key on, also Ctrl-C."""
    before = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


@contextmanager
def _signals(master: int) -> Iterator[list[int]]:
    """A new size goes to the shell's terminal; SIGHUP and SIGTERM are noted in the list."""
    got: list[int] = []
    handlers = {
        signal.SIGWINCH: lambda number, frame: _copy_size(master),
        signal.SIGHUP: lambda number, frame: got.append(number),
        signal.SIGTERM: lambda number, frame: got.append(number),
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield got
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

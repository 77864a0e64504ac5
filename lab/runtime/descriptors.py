"""The descriptors of a container's process: standard streams, its terminal, and none of the engine's."""

from __future__ import annotations

import os
import struct

from lab import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.runtime.link import Link
    from lab.spec import Spec

TIOCSCTTY, TIOCGWINSZ, TIOCSWINSZ = 0x540E, 0x5413, 0x5414  # ioctl_tty(2)
WINSIZE = struct.Struct("4H")  # struct winsize: rows, columns, and two that nobody uses


def connect_stdio(spec: Spec, stdio: Sequence[int], link: Link) -> None:
    """Make stdio 0, 1 and 2; with spec.tty a new terminal, whose other end goes to the engine through link.

    Raises OSError.
    """
    if spec.tty and link.child_console:
        import fcntl  # child.py has imported both; here they only get their names
        import socket

        master, terminal = os.openpty()
        socket.send_fds(link.child_console, [b"t"], [master])
        try:  # the command finds the right size at its start; descriptor 0 is still the caller's
            given = WINSIZE.pack(*spec.console_size, 0, 0) if spec.console_size else b""
            fcntl.ioctl(terminal, TIOCSWINSZ, given or fcntl.ioctl(0, TIOCGWINSZ, bytes(WINSIZE.size)))
        except OSError:
            pass
        stdio = (terminal, terminal, terminal)
        os.close(master)
    # Copies first: one of the three may itself be 0, 1 or 2.
    copies = [os.dup(fd) for fd in stdio]
    for number, fd in enumerate(copies):
        os.dup2(fd, number, inheritable=True)


def take_terminal() -> None:
    """Make standard input the controlling terminal of this new session; ioctl_tty(2)."""
    import fcntl  # as above

    fcntl.ioctl(0, TIOCSCTTY, 0)


def close_others(*spared: int, first: int = 3) -> None:
    """Close every descriptor from first on but these, which are closed by exec."""
    for fd in sorted(spared):
        syscalls.close_range(first, fd - 1)
        first = fd + 1
    syscalls.close_range(first, syscalls.LAST_FD)

"""How the lab ends a process that it has started: it asks first, where the process can hear that."""

from __future__ import annotations

import os
import signal
import stat
from contextlib import suppress
from pathlib import Path

from lab.pidfd import ended


def end_process(pidfd: int, seconds: float = 10) -> None:
    """Send SIGTERM, and SIGKILL after that many seconds; returns when the process has ended.

    A pidfd never leads to a later process with the same pid.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        if number == signal.SIGTERM and is_deaf(pidfd):
            continue
        try:
            signal.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            return
        if ended(pidfd, seconds):
            return


def is_deaf(pidfd: int) -> bool:
    """Whether it is a container's first process without a handler for SIGTERM, which then does nothing to it.

    pid_namespaces(7); Pid and NSpid: the fdinfo of pidfd_open(2); SigCgt: proc_pid_status(5).
    """
    about = _fields(f"/proc/self/fdinfo/{pidfd}")
    if not about.get("NSpid", "").endswith("\t1"):
        return False
    caught = _fields(f"/proc/{about['Pid']}/status").get("SigCgt", "0")
    return not int(caught, 16) >> signal.SIGTERM - 1 & 1


def _fields(path: str) -> dict[str, str]:
    """The fields of such a file by name; none if the process has ended."""
    try:
        return dict(line.split(":\t", 1) for line in Path(path).read_text().splitlines())
    except OSError:
        return {}


def let_go(directory: str) -> None:
    """Wake each process that waits to open a fifo in this directory, fifo(7), before the directory is removed.

    Once it is gone, no other end could ever come: a job of cron's or atd's whose reader has ended would wait for ever.
    A writer that is let go gets SIGPIPE, a reader the end of the file.
    """
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            place = os.open(entry.path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
            if stat.S_ISFIFO(os.fstat(place).st_mode):
                os.close(os.open(f"/proc/self/fd/{place}", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
            os.close(place)

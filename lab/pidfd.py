"""Processes by descriptor: a pidfd never leads to a later process with the same pid; pidfd_open(2).

A pid that was written to disk is opened together with its start time: the two together name one process.
"""

from __future__ import annotations

import os
import select

from lab import syscalls


def start_time(pid: int) -> int:
    """Field 22 of /proc/PID/stat, clock ticks since boot; 0 if there is no such process or if it is a zombie.

    proc_pid_stat(5).
    """
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


def is_alive(pid: int, started: int) -> bool:
    """Whether pid is still the process that started then, and not a later process with the same pid."""
    return started != 0 and start_time(pid) == started


def open_process(pid: int, started: int) -> int:
    """A pidfd of pid, or -1 if pid is no longer the process that started then."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return -1
    if is_alive(pid, started):
        return pidfd
    os.close(pidfd)
    return -1


def pid_of(pidfd: int) -> int:
    """The pid as the mounted /proc shows it, whatever pid namespace the caller is in; -1 once the process is gone.

    proc_pid_fdinfo(5).
    """
    with open(f"/proc/self/fdinfo/{pidfd}", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pid:"))


def send_signal(pidfd: int, number: int) -> bool:
    """Send the signal; False if the process has already ended. Raises PermissionError."""
    try:
        syscalls.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    return True


def ended(pidfd: int, seconds: float | None) -> bool:
    """Wait until the process has ended; False if it still runs after that many seconds. None waits without limit."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))

"""Whether a container has exec'ed its command, as /proc shows it from outside."""

from __future__ import annotations

PF_FORKNOEXEC = 0x40  # of the flags in /proc/PID/stat: the process has not called execve(2) since fork; linux/sched.h
INIT_NAME = b"lab-init"  # the pid 1 of --init never calls execve(2); it takes this name when its child is about to


def has_begun(pid: int) -> bool:
    """Whether a container's first process has exec'ed its command or has ended; before, it may be building its root."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            head, _, rest = file.read().rpartition(b") ")
    except (FileNotFoundError, ProcessLookupError):
        return True  # it has ended
    return not int(rest.split()[6]) & PF_FORKNOEXEC or head.endswith(b"(" + INIT_NAME)

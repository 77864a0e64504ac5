"""Has a container come to its command yet? Seen from outside, in /proc."""

from __future__ import annotations

PF_FORKNOEXEC = 0x40  # of the flags in /proc/PID/stat: the process has not called execve(2) since fork; linux/sched.h
INIT_NAME = b"lab-init"  # --init's pid 1 never calls execve(2) itself; its child has done so or is about to


def has_begun(pid: int) -> bool:
    """Whether a container's first process has come to its command. Until then it may be building its root yet."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            head, _, rest = file.read().rpartition(b") ")
    except (FileNotFoundError, ProcessLookupError):
        return True  # and ended
    return not int(rest.split()[6]) & PF_FORKNOEXEC or head.endswith(b"(" + INIT_NAME)

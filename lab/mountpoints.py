"""Where something is mounted, as proc(5) tells it in mountinfo."""

from __future__ import annotations

import os


def mount_points() -> list[str]:
    """The mount points of this process's mount namespace, in the order of their making; a path may come twice."""
    with open("/proc/self/mountinfo", "rb") as file:
        return [unescaped(line.split()[4]) for line in file]


def unescaped(field: bytes) -> str:
    """A path in mountinfo, where space, tab, newline and backslash are octal, and all other bytes as they are."""
    return os.fsdecode(field.decode("unicode_escape").encode("latin-1"))

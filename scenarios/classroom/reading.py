"""Read a file that somebody else may have made: regular, of a limited size, without waiting."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read_regular(path: Path, most: int) -> bytes:
    """The bytes of a regular file; a FIFO is not waited for. Raises OSError, also for more than `most` bytes."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(0, "this is no regular file")
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(0, f"this has more than {most} bytes")
    return data

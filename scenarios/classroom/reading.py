"""Read a file that somebody else may have made: regular, of a limited size, without waiting."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from scenarios.classroom.student import rights_of


def read_regular(path: Path, most: int) -> bytes:
    """The bytes of a regular file; a FIFO is not waited for. Raises OSError, also for more than `most` bytes."""
    return _read(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), most)


def read_owned(folder: Path, name: str, most: int) -> bytes:
    """The same of a file in that folder, with the rights of the folder's owner.

    Neither may be a symlink: who makes one would choose whose rights these are. Raises OSError.
    """
    try:
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _told(error, folder.is_symlink()) from None
    try:
        owner = os.fstat(place)
        with rights_of(owner.st_uid, owner.st_gid):
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
            return _read(os.open(name, flags, dir_fd=place), most)
    except OSError as error:
        raise _told(error, error.errno == errno.ELOOP) from None
    finally:
        os.close(place)


def _told(error: OSError, link: bool) -> OSError:
    return OSError(errno.ELOOP, "this is a symlink, which a check does not follow") if link else error


def _read(fd: int, most: int) -> bytes:
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(0, "this is no regular file")
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(0, f"this has more than {most} bytes")
    return data

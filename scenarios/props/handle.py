"""Write to a file without open(2), by its handle: python -m scenarios.props.handle FILE; open_by_handle_at(2).

open_by_handle_at(2) is in no class of audit_match_perm(), kernel/auditsc.c, so a rule with perm= never matches it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from lab.syscalls import AT_FDCWD

MAX_HANDLE_SZ = 128  # linux/exportfs.h


class FileHandle(ctypes.Structure):
    """struct file_handle, with room for the largest handle."""

    _fields_ = (
        ("handle_bytes", ctypes.c_uint),
        ("handle_type", ctypes.c_int),
        ("f_handle", ctypes.c_ubyte * MAX_HANDLE_SZ),
    )


def open_by_handle(path: Path, flags: int) -> int:
    """A descriptor of the file. Raises OSError: EOPNOTSUPP if the filesystem has no handles, EPERM without
    CAP_DAC_READ_SEARCH.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    handle, mount_id = FileHandle(MAX_HANDLE_SZ), ctypes.c_int()
    name = os.fsencode(path)
    if libc.name_to_handle_at(AT_FDCWD, name, ctypes.byref(handle), ctypes.byref(mount_id), 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
    folder = os.open(path.parent, os.O_RDONLY)  # any descriptor on the same mount will do
    try:
        fd: int = libc.open_by_handle_at(folder, ctypes.byref(handle), flags)
    finally:
        os.close(folder)
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
    return fd


if __name__ == "__main__":
    os.write(open_by_handle(Path(sys.argv[1]), os.O_WRONLY), b"written by handle\n")

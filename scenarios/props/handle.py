"""Open a file without its name, by its handle: open_by_handle_at(2).

open_by_handle_at(2) is in no class of audit_match_perm(), kernel/auditsc.c, so a rule with perm= never matches it.
"""

from __future__ import annotations

import ctypes
import os
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


def handle_of(path: Path) -> FileHandle:
    """The handle of a file; name_to_handle_at(2). Raises OSError: EOPNOTSUPP if the filesystem has no handles."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle, mount_id = FileHandle(MAX_HANDLE_SZ), ctypes.c_int()
    name = os.fsencode(path)
    if libc.name_to_handle_at(AT_FDCWD, name, ctypes.byref(handle), ctypes.byref(mount_id), 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
    return handle


def open_by_handle(handle: FileHandle, folder: Path, flags: int) -> int:
    """A descriptor of that file, on the folder's mount. Raises OSError: EPERM without CAP_DAC_READ_SEARCH."""
    libc = ctypes.CDLL(None, use_errno=True)
    mount = os.open(folder, os.O_RDONLY)  # any descriptor on the same mount will do
    try:
        fd: int = libc.open_by_handle_at(mount, ctypes.byref(handle), flags)
    finally:
        os.close(mount)
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
    return fd

"""Open and write a file without open(2) and write(2), by io_uring: io_uring_setup(2), io_uring_enter(2).

The kernel does the work for the caller; audit sees it as the operation of a ring, __audit_uring_entry() in
kernel/auditsc.c, and such an operation is in no class of audit_match_perm().
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from pathlib import Path

from lab.syscalls import AT_FDCWD

SYS_io_uring_setup, SYS_io_uring_enter = 425, 426  # the same on every architecture
OFFSET_RINGS, OFFSET_ENTRIES = 0, 0x10000000
ENTER_GETEVENTS = 1
OPENAT, WRITE = 18, 23
PARAMS_BYTES, ENTRY_BYTES, ENTRIES = 120, 64, 4
# struct io_uring_sqe: opcode, flags, ioprio, fd, off, addr, len, open_flags or rw_flags, user_data
ENTRY = struct.Struct("=BBHiQQIIQ")

libc = ctypes.CDLL(None, use_errno=True)


class Ring:
    """A ring for one operation at a time. Raises OSError where the kernel or a sysctl allows none."""

    def __init__(self) -> None:
        params = ctypes.create_string_buffer(PARAMS_BYTES)
        self._fd = _called(SYS_io_uring_setup, ENTRIES, params)
        words = struct.unpack("=30I", params.raw)
        submission, completion = words[10:18], words[20:28]  # struct io_sqring_offsets, io_cqring_offsets
        size = max(submission[6] + 4 * words[0], completion[5] + 16 * words[1])
        self._rings = mmap.mmap(self._fd, size, offset=OFFSET_RINGS)
        self._entries = mmap.mmap(self._fd, ENTRY_BYTES * words[0], offset=OFFSET_ENTRIES)
        self._tail, self._array = submission[1], submission[6]
        self._head, self._results = completion[0], completion[5]
        self._done = 0

    def do(self, opcode: int, fd: int, address: int, length: int, flags: int) -> int:
        """One operation; what the system call would have returned. Raises OSError."""
        slot = self._done % ENTRIES
        entry = ENTRY.pack(opcode, 0, 0, fd, 0, address, length, flags, 0)
        self._entries[slot * ENTRY_BYTES : (slot + 1) * ENTRY_BYTES] = entry.ljust(ENTRY_BYTES, b"\0")
        struct.pack_into("=I", self._rings, self._array + 4 * slot, slot)
        struct.pack_into("=I", self._rings, self._tail, self._done + 1)
        _called(SYS_io_uring_enter, self._fd, 1, 1, ENTER_GETEVENTS, None, 0)
        # A completion queue has twice the entries of the submission queue.
        _, result, _ = struct.unpack_from("=QiI", self._rings, self._results + 16 * (self._done % (2 * ENTRIES)))
        self._done += 1
        struct.pack_into("=I", self._rings, self._head, self._done)  # else the next io_uring_enter(2) does not wait
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return int(result)


def write(path: Path, text: bytes) -> None:
    """Open that file and write the text at its start. Raises OSError."""
    ring = Ring()
    name, data = ctypes.create_string_buffer(os.fsencode(path)), ctypes.create_string_buffer(text)
    fd = ring.do(OPENAT, AT_FDCWD, ctypes.addressof(name), 0, os.O_WRONLY)
    ring.do(WRITE, fd, ctypes.addressof(data), len(text), 0)


def _called(number: int, *arguments: object) -> int:
    result: int = libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

"""What a container wrote: an append-only file of records, each a time, a stream and its bytes.

    8 bytes   nanoseconds since 1970, big-endian
    1 byte    1 standard output, 2 standard error
    3 bytes   zero
    4 bytes   length, big-endian
    length    the bytes, as they came

From the second field on a record is a frame of Docker's attach stream, ready to send. A record cut short by a
crash ends the file; it is passed over.
"""

from __future__ import annotations

import errno
import os
import struct
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = struct.Struct(">QB3xI")
STDOUT, STDERR = 1, 2


class LogWriter:
    """Appends to the log at path; one write(2) a record, so that readers and a crash see whole records."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def append(self, stream: int, data: bytes) -> None:
        """Raises OSError when the disk is full."""
        written = os.writev(self.fd, [HEADER.pack(time.time_ns(), stream, len(data)), data])
        if written < HEADER.size + len(data):
            os.ftruncate(self.fd, os.fstat(self.fd).st_size - written)  # half a record would garble all that follow
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        os.close(self.fd)


def read(path: str, offset: int = 0) -> Iterator[tuple[int, int, bytes, int]]:
    """(time in ns, stream, bytes, offset of the next record) of each whole record from offset on."""
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below, by `with`
    except FileNotFoundError:
        return
    with file:
        file.seek(offset)
        while len(header := file.read(HEADER.size)) == HEADER.size:
            moment, stream, length = HEADER.unpack(header)
            data = file.read(length)
            if len(data) < length:
                return
            offset += HEADER.size + length
            yield moment, stream, data, offset


def lines(path: str, since: int = 0, tail: int | None = None) -> list[tuple[int, int, bytes]]:
    """(time in ns, stream, line with its newline) of what came after `since`, at most the last `tail` lines."""
    found = [
        (moment, stream, line)
        for moment, stream, data, _ in read(path)
        if moment >= since
        for line in data.splitlines(keepends=True)
    ]
    return found if tail is None else found[len(found) - min(tail, len(found)) :]

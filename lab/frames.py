"""Docker's frames: how a process's output and error share one connection; engine API, "Stream format" of attach.

1 byte   1 standard output, 2 standard error
3 bytes  zero
4 bytes  length of the data, big-endian
length   the data
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = struct.Struct(">B3xI")


def header(stream: int, length: int) -> bytes:
    """What goes before `length` bytes of data of this stream."""
    return HEADER.pack(stream, length)


class FrameReader:
    """Takes bytes as they arrive and gives the data without its headers; a frame may be given in several pieces."""

    def __init__(self) -> None:
        self._header = bytearray()  # of the frame that begins
        self._stream, self._left = 0, 0  # bytes of the current frame's data that are still to come

    def feed(self, data: bytes | memoryview) -> Iterator[tuple[int, memoryview]]:
        """(stream, data) pairs. The memory is the caller's: use a pair before the next one."""
        rest = memoryview(data)
        while rest:
            if not self._left:
                missing = HEADER.size - len(self._header)
                self._header += rest[:missing]
                rest = rest[missing:]
                if len(self._header) < HEADER.size:
                    return
                self._stream, self._left = HEADER.unpack(self._header)
                self._header.clear()
            piece, rest = rest[: self._left], rest[self._left :]
            self._left -= len(piece)
            if piece:
                yield self._stream, piece

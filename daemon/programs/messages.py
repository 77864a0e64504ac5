"""What labd and its spawner send each other: JSON behind a length, descriptors beside it by SCM_RIGHTS; unix(7)."""

from __future__ import annotations

import json
import os
import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

LENGTH = struct.Struct(">II")  # of the JSON in bytes, and the number of descriptors
MAX_FDS = 8
LOST = -1  # stands for a descriptor that the receiver had no free number for


def pack(message: dict[str, Any], fds: int) -> bytes:
    """A message as bytes for the socket; fds is how many descriptors accompany it."""
    data = json.dumps(message).encode()
    return LENGTH.pack(len(data), fds) + data


def close_all(fds: Sequence[int]) -> None:
    """Close the descriptors that came with a message; those that were lost need no close."""
    for fd in fds:
        if fd != LOST:
            os.close(fd)


class Inbox:
    """Collects what recvmsg(2) returns; gives whole messages with their descriptors."""

    def __init__(self) -> None:
        self._data, self._fds = bytearray(), list[int]()

    def receive(self, connection: socket.socket) -> bool:
        """One recvmsg(2); False at end of file."""
        try:
            data, fds, flags, _ = socket.recv_fds(connection, 1 << 18, MAX_FDS)
        except ConnectionResetError:
            return False
        self._fds += fds
        if flags & socket.MSG_CTRUNC:
            self._fds.append(LOST)
        self._data += data
        return bool(data)

    def next(self) -> tuple[dict[str, Any], list[int]] | None:
        """The oldest message with its descriptors; None while it is incomplete."""
        if len(self._data) < LENGTH.size:
            return None
        length, count = LENGTH.unpack_from(self._data)
        end = LENGTH.size + length
        if len(self._data) < end:
            return None
        message: dict[str, Any] = json.loads(self._data[LENGTH.size : end])
        del self._data[:end]
        return message, self._take(count)

    def _take(self, count: int) -> list[int]:
        """The next `count` descriptors. After a loss the rest of the message is lost too: what follows is another's."""
        fds: list[int] = []
        while len(fds) < count:
            fd = self._fds.pop(0)
            fds += [fd] if fd != LOST else [LOST] * (count - len(fds))
        return fds

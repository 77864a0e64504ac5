"""Descriptors on their way between labd and its spawner, where one side has no more numbers free."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon.programs.messages import LOST, Inbox, pack


@contextmanager
def room_for(count: int) -> Iterator[None]:
    """So many more descriptors can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = {int(entry.name) for entry in Path("/proc/self/fd").iterdir()}
    limit = max(used) + 1
    fillers = [os.open(os.devnull, os.O_RDONLY) for _ in range(limit - len(used) + 1)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(fillers) + 1 + count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in fillers:
            os.close(fd)


def test_a_lost_descriptor_is_not_replaced_by_the_next_messages() -> None:
    """Else a signal for one container would hit another."""
    ours, theirs = socket.socketpair()
    with ours, theirs, (Path("/proc/self/stat")).open("rb") as first, (Path("/proc/self/status")).open("rb") as second:
        inbox = Inbox()
        socket.send_fds(theirs, [pack({"id": 1}, 2)], [first.fileno(), first.fileno()])
        with room_for(1):
            assert inbox.receive(ours)
        socket.send_fds(theirs, [pack({"id": 2}, 1)], [second.fileno()])
        assert inbox.receive(ours)
        message, fds = inbox.next() or ({}, [])
        assert (message["id"], fds[1]) == (1, LOST)
        message, others = inbox.next() or ({}, [])
        assert message["id"] == 2
        assert os.fstat(others[0]).st_ino == os.fstat(second.fileno()).st_ino
        for fd in (*fds, *others):
            if fd != LOST:
                os.close(fd)

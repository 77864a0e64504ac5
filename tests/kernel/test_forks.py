"""A process that has ended still has a line: the kernel has told who forked it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from scenarios.props.forks import Forks
from scenarios.props.notified import told


def sent_and_gone(path: str) -> int:
    """The pid of a grandchild that has sent READY=1 to that socket, and has ended; so has its parent."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        grandchild = os.fork()
        if grandchild == 0:
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", path)
            os._exit(0)
        os.waitpid(grandchild, 0)
        os.write(write, str(grandchild).encode())
        os._exit(0)
    os.waitpid(child, 0)
    pid = int(os.read(read, 20))
    os.close(read)
    os.close(write)
    assert not Path(f"/proc/{pid}").exists()
    return pid


@pytest.fixture
def listener(tmp_path: Path) -> socket.socket:
    """As systemd's notify socket."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    made.bind(str(tmp_path / "n"))
    return made


@pytest.mark.needs("root")
def test_a_sender_that_has_ended(listener: socket.socket) -> None:
    """Its line leads through its parent, which has ended, too, to this process and to pid 1."""
    with listener, Forks() as forks:
        pid = sent_and_gone(listener.getsockname())
        line = told(listener, forks)
    assert line and line[0] == pid and line[2] == os.getpid() and line[-1] == 1


def test_a_sender_of_which_nobody_can_tell(listener: socket.socket) -> None:
    """Without the kernel's word the line is empty, and it is known that a message came."""
    forks = Forks()  # which has not begun to listen
    with listener:
        assert told(listener, forks) is None
        sent_and_gone(listener.getsockname())
        assert told(listener, forks) == []

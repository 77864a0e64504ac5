"""Exercise 12: who_asks() is asked about callers that stay, that are gone, and that have handed their connection on.

Nobody may give a process another login or pid here, so the races for a pid are the student's own check's.
With `asks FD` this is the process that calls the student's function.
"""

import importlib.util
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from scenarios.classroom.trials import inside

ADDRESS = "\0trial"


def asks(fd: int) -> None:
    """Print what who_asks() answers about that connection."""
    spec = importlib.util.spec_from_file_location("caller", inside.WORK / "caller.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with socket.socket(fileno=fd) as connection:
        print(f"\nanswer: {module.who_asks(connection)}")


def caller(told: int, *, handed_on: bool) -> None:
    """In a child: connect and ask, or let a child of its own ask; say that it is done, and wait for the end."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(ADDRESS)
        if not handed_on or os.fork() == 0:
            connection.sendall(b"run")
            os.write(told, b".")
        while True:
            signal.pause()


def answer(listener: socket.socket, *, handed_on: bool, gone: bool) -> str:
    """What who_asks() says of such a caller."""
    read, write = os.pipe()
    if (pid := os.fork()) == 0:
        caller(write, handed_on=handed_on)
    connection, _ = listener.accept()
    os.read(read, 1)
    if gone:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    with connection:
        words = [sys.executable, "-SB", __file__, "asks", str(connection.fileno())]
        code, output = inside.run(words, fds=[connection.fileno()])
    os.close(read)
    os.close(write)
    return next(iter(inside.late(code)), (output.strip().splitlines() or ["nothing"])[-1].removeprefix("answer: "))


def faults() -> Iterator[str]:
    """What is wrong with the answers."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        listener.bind(ADDRESS)
        listener.listen()
        own = Path("/proc/self/loginuid").read_text()
        for what, handed_on, gone, right in (
            ("a caller that stays", False, False, own),
            ("a caller that is gone", False, True, "None"),
            ("a caller whose connection another process uses", True, False, "None"),
            ("a caller that has handed its connection on, and is gone", True, True, "None"),
        ):
            seen = answer(listener, handed_on=handed_on, gone=gone)
            if seen != right:
                yield f"of {what} who_asks() says {inside.first_line(seen)}, which should be {right}"


if sys.argv[1:2] == ["asks"]:
    asks(int(sys.argv[2]))
else:
    inside.hide()
    inside.finish(faults())

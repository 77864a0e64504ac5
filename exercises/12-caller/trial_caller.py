"""Exercise 12: who_asks() is asked about callers that stay, that are gone, and that have handed their connection on.

Nobody may give a process another login or pid here, so the races for a pid are the student's own check's. The callers
come in a random order, so it is no use to count them, and no process of the student's finds what an earlier one has
left. Each caller has a child, so neither pids nor children tell which of the two asks.
"""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

from scenarios.classroom.trials import inside

ADDRESS = "\0trial"
# The process that calls the student's function: a program of its own, which knows the connection and nothing more.
ASKS = """
import socket, sys
space = {"__name__": "caller"}
exec(compile(open(sys.argv[1], "rb").read(), "caller.py", "exec"), space)
with socket.socket(fileno=int(sys.argv[2])) as connection:
    print(f"\\nanswer: {space['who_asks'](connection)}")
"""
CALLERS = (  # what it is, whether it has handed on its connection, and whether it is gone; the first is known
    ("a caller that stays", False, False),
    ("a caller that is gone", False, True),
    ("a caller whose connection another process uses", True, False),
    ("a caller that has handed its connection on, and is gone", True, True),
)


def caller(told: int, *, handed_on: bool) -> None:
    """In a child: connect, and fork; one of the two asks, and says that it is done. Both wait for the end."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(ADDRESS)
        is_child = os.fork() == 0
        if is_child == handed_on:
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
        words = [*inside.PYTHON, "-c", ASKS, str(inside.WORK / "caller.py"), str(connection.fileno())]
        code, output = inside.run(words, fds=[connection.fileno()])
    os.close(read)
    os.close(write)
    return next(iter(inside.late(code)), (output.strip().splitlines() or ["nothing"])[-1].removeprefix("answer: "))


def faults() -> Iterator[str]:
    """What is wrong with the answers."""
    own = Path("/proc/self/loginuid").read_text()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        listener.bind(ADDRESS)
        listener.listen()
        for what, handed_on, gone in sorted(CALLERS, key=lambda _: os.urandom(8)):
            seen = answer(listener, handed_on=handed_on, gone=gone)
            right = "None" if handed_on or gone else own
            if seen != right:
                yield f"of {what} who_asks() says {inside.first_line(seen)}, which should be {right}"
            if kept := inside.kept():
                yield f"caller.py leaves {kept}; who_asks() may keep nothing from one caller to the next"
                return

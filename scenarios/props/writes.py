"""Change a file in every way, each in a process by itself: python -m scenarios.props.writes FILE.

FILE must be there, with FILE.other and FILE.new beside it, and a socket listens at FILE.socket. The program opens FILE,
prints a line, and waits for the end of its input: the rule to be tried is loaded meanwhile. Then it prints a line for
each way, `PID NAME`, or `0 NAME: REASON` where the way came to nothing.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.syscalls import CLONE_NEWNS, MS_PRIVATE, MS_REC, mount, unshare
from scenarios.needs import CannotTell
from scenarios.props import uring
from scenarios.props.handle import FileHandle, handle_of, open_by_handle

TEXT = b"changed\n"
MS_BIND = 0x1000
URING = "io_uring"


@dataclass(frozen=True)
class Target:
    """A file; with a descriptor that was opened, and a handle that was asked for, before there was a rule."""

    file: Path
    older: int
    handle: FileHandle


def opened(target: Target) -> None:
    os.write(os.open(target.file, os.O_WRONLY), TEXT)


def emptied(target: Target) -> None:
    os.open(target.file, os.O_RDONLY | os.O_TRUNC)


def by_handle(target: Target) -> None:
    os.write(open_by_handle(target.handle, target.file.parent, os.O_WRONLY), TEXT)


def by_uring(target: Target) -> None:
    uring.write(target.file, TEXT)


def stamped(target: Target) -> None:
    os.utime(target.file, (1, 1))


def covered(target: Target) -> None:
    """In a mount namespace of this process alone."""
    unshare(CLONE_NEWNS)
    mount("none", "/", "", MS_REC | MS_PRIVATE)
    mount(f"{target.file}.other", str(target.file), "", MS_BIND)


def by_older(target: Target) -> None:
    os.write(target.older, TEXT)


def linked(target: Target) -> None:
    os.link(target.file, f"{target.file}.link")


def connected(target: Target) -> None:
    socket.socket(socket.AF_UNIX).connect(f"{target.file}.socket")


def replaced(target: Target) -> None:
    Path(f"{target.file}.new").rename(target.file)


# The last puts another file in the place of this one.
WAYS: Mapping[str, Callable[[Target], None]] = {
    "open to write": opened,
    "O_RDONLY|O_TRUNC": emptied,
    "open_by_handle_at": by_handle,
    URING: by_uring,
    "utimensat": stamped,
    "bind mount over it": covered,
    "older descriptor": by_older,
    "hard link to it": linked,
    "connect to a socket": connected,
    "rename over it": replaced,
}


def in_a_child(way: str, target: Target) -> str:
    """Do it, and say so."""
    child = os.fork()
    if child == 0:
        try:
            WAYS[way](target)
        except OSError as error:
            os._exit(error.errno or 1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return f"{child} {way}" if status == 0 else f"0 {way}: {os.strerror(status)}"


@contextmanager
def prepared(file: Path) -> Iterator[None]:
    """The file, with what the program wants beside it; a socket listens meanwhile."""
    for name in (file, Path(f"{file}.other"), Path(f"{file}.new")):
        name.write_text(f"{name.name}\n")
    for made in ("link", "socket"):
        Path(f"{file}.{made}").unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{file}.socket")
        listener.listen()
        yield


def done(printed: str) -> dict[str, int]:
    """By way, the pid of its process; 0 for io_uring where the kernel refuses that. Raises CannotTell for others."""
    lines = [line.partition(" ")[::2] for line in printed.splitlines()[1:]]
    failed = [way for pid, way in lines if pid == "0" and not way.startswith(URING)]
    if failed or len(lines) < len(WAYS):
        raise CannotTell(f"not every write was done: {'; '.join(failed) or printed!r}", "run this again")
    return {way.partition(":")[0]: int(pid) for pid, way in lines}


def main(path: str) -> None:
    file = Path(path)
    target = Target(file, os.open(file, os.O_WRONLY), handle_of(file))
    print("ready", flush=True)
    sys.stdin.read()
    for way in WAYS:
        print(in_a_child(way, target), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])

"""Exercise 0: which calls container.py makes, in their order. Here nobody may make them, so they are noted and succeed.

Without a word behind it, this is pid 1 and judges; with `noting FD` it becomes the student's program.
"""

import ctypes
import os
import runpy
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import NamedTuple

from scenarios.classroom.trials import inside

COMMAND = ["sh", "-c", "echo in: $$; exit 7"]
NAMESPACES = {0x00020000: "CLONE_NEWNS", 0x04000000: "CLONE_NEWUTS", 0x20000000: "CLONE_NEWPID"}  # linux/sched.h
MS_REC, MS_PRIVATE, MS_SLAVE = 0x4000, 1 << 18, 1 << 19  # linux/mount.h


class Call(NamedTuple):
    """A call that container.py made: by which process, the child of which, and with what."""

    pid: str
    parent: str
    name: str
    words: Sequence[str]


def noting(fd: int) -> None:
    """Run container.py with the calls of the C library, and those of Python, noted there."""

    def noted(name: str, *words: object) -> int:
        texts = [word.decode(errors="replace") if isinstance(word, bytes) else str(word) for word in words]
        os.write(fd, ("\t".join([str(os.getpid()), str(os.getppid()), name, *texts]) + "\n").encode())
        return 0

    def function(name: str) -> object:
        call = lambda *words: noted(name, *words)  # noqa: E731
        call.__name__ = name
        return call

    names = ("unshare", "mount", "sethostname", "umount", "umount2", "setns", "chroot")
    library = SimpleNamespace(**{name: function(name) for name in names})
    ctypes.CDLL = lambda *_, **__: library  # type: ignore[assignment,misc]
    os.unshare = function("unshare")  # type: ignore[attr-defined]  # from Python 3.12 on
    socket.sethostname = function("sethostname")  # type: ignore[assignment]
    sys.argv = [str(inside.WORK / "container.py"), *COMMAND]
    runpy.run_path(sys.argv[0], run_name="__main__")


def faults(code: int | None, output: str, calls: Sequence[Call]) -> Iterator[str]:
    """What is wrong with these calls."""
    left = next((call for call in calls if call.name == "unshare"), None)
    if left is None:
        yield "it does not call unshare"
        return
    flags = 0
    for call in calls:
        if call.name == "unshare" and call.pid == left.pid:
            flags |= int(call.words[0])
    yield from (f"unshare has no {name}" for flag, name in NAMESPACES.items() if not flags & flag)
    begun = [line.split()[-1] for line in output.splitlines() if line.startswith("in: ")]
    born = [call for call in calls if call.parent == left.pid]
    if not begun:
        yield f"the command does not run: container.py prints {inside.first_line(output)}"
    elif begun[0] not in {call.pid for call in born}:
        yield "the command is no child of the process that called unshare: it would not be pid 1"
    yield from become(born)
    if code != 7:
        yield f"the command ends with 7, and container.py with {code}"


def become(calls: Sequence[Call]) -> Iterator[str]:
    """What is wrong with the calls of the container itself."""
    mounts = [call.words for call in calls if call.name == "mount"]
    if not any(call.name == "sethostname" and call.words[0] == "zero" for call in calls):
        yield "the host name is not set to zero in the container"
    if not any(
        at == "/" and int(flags) & MS_REC and int(flags) & (MS_PRIVATE | MS_SLAVE) for _, at, _, flags, *_ in mounts
    ):
        yield "the mounts below / do not become private: MS_REC | MS_PRIVATE"
    if not any((at, kind) == ("/proc", "proc") for _, at, kind, *_ in mounts):
        yield "no new proc is mounted on /proc"


def judge() -> None:
    """Run container.py, and judge what it did."""
    inside.hide()
    with tempfile.TemporaryFile("w+") as notes:
        os.set_inheritable(notes.fileno(), True)
        code, output = inside.run([sys.executable, "-B", __file__, "noting", str(notes.fileno())], fds=[notes.fileno()])
        notes.seek(0)
        lines = [line.rstrip("\n").split("\t") for line in notes.read(inside.MOST).splitlines()]
    calls = [Call(line[0], line[1], line[2], line[3:]) for line in lines]
    inside.finish(inside.late(code) or faults(code, output, calls))


if sys.argv[1:2] == ["noting"]:
    noting(int(sys.argv[2]))
else:
    judge()

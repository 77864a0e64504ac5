"""Who holds the other ends of a process's pipes; proc_pid_fd(5), proc_pid_fdinfo(5), pipe(7)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab.identity import loginuid, name_of, status


@dataclass(frozen=True)
class End:
    """The other end of a pipe: descriptor `other` of the process pid, whose name is comm.

    fd and pipe are the descriptor of the process that was looked at, and what /proc calls the pipe: pipe:[INODE].
    """

    fd: int
    pipe: str
    other: int
    pid: int
    comm: str
    loginuid: int

    def __str__(self) -> str:
        return f"{self.fd} -> {self.pipe} <- {self.other} of {self.comm}, loginuid {name_of(self.loginuid)}"


def other_ends(pid: int, fds: Sequence[int] = (0, 1)) -> list[End]:
    """All descriptors of all processes at the other ends of these pipes of a process, as far as /proc shows them.

    Raises ProcessLookupError or FileNotFoundError if the process has ended.
    """
    names = {_target(Path(f"/proc/{pid}/fd/{fd}")): fd for fd in fds}
    pipes = {name: fd for name, fd in names.items() if name.startswith("pipe:")}
    access = {fd: _access(pid, fd) for fd in fds}
    found: list[End] = []
    for process, other, pipe in _descriptors():
        fd = pipes.get(pipe, -1)
        if fd >= 0:
            with suppress(FileNotFoundError, ProcessLookupError):  # it has ended, or has closed the descriptor
                if _access(process, other) != access[fd]:
                    found.append(End(fd, pipe, other, process, status(process)["Name"], loginuid(process)))
    return sorted(found, key=lambda end: (end.fd, end.pid, end.other))


def _descriptors() -> Iterator[tuple[int, int, str]]:
    """Of all processes that may be looked into: pid, descriptor and what it leads to."""
    for process in (path for path in Path("/proc").iterdir() if path.name.isdecimal()):
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            for path in (process / "fd").iterdir():
                with suppress(FileNotFoundError):
                    yield int(process.name), int(path.name), _target(path)


def _target(descriptor: Path) -> str:
    return str(descriptor.readlink())


def _access(pid: int, fd: int) -> int:
    """O_RDONLY, O_WRONLY or O_RDWR."""
    lines = Path(f"/proc/{pid}/fdinfo/{fd}").read_text(encoding="ascii").splitlines()
    flags = next(line.split()[1] for line in lines if line.startswith("flags:"))
    return int(flags, 8) & os.O_ACCMODE

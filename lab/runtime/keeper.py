"""Ends a container in a shared pid namespace when its engine ends; such a container has no lifeline.

    engine ─┬─ keeper          waits for the end of a pipe that only the engine holds
            └─ container       in the host's pid namespace, or in another container's

With a pid namespace of the container's own, the kernel ends all its processes together. Without one, only the cgroup
names them all. So the engine ends the rest by cgroup.kill when the first process has ended, and this process does the
same when the engine has died before. It is the engine's child, in the engine's cgroup and in a session of its own.

The next engine may have started the container again by then, in a new cgroup with the same path: that one is spared.
"""

from __future__ import annotations

import os

from lab import syscalls
from lab.runtime import cgroup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class Keeper:
    """The process that watches over one container's cgroup. The caller must have one thread."""

    __slots__ = ("pid", "pipe")

    def __init__(self, path: str) -> None:
        watched, self.pipe = os.pipe2(os.O_CLOEXEC)
        number = _number(path)
        self.pid = os.fork()
        if self.pid == 0:
            _keep(path, number, watched)
        os.close(watched)

    def release(self) -> None:
        """End the keeper, which then ends nothing else. For after the container's end."""
        try:
            os.write(self.pipe, b"x")
        except BrokenPipeError:
            pass  # the keeper has been killed
        os.close(self.pipe)
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass  # it has been reaped, too


def _number(path: str) -> int:
    """The inode of the cgroup, which the kernel gives to no other one; 0 if there is none at the path."""
    try:
        return os.stat(cgroup.folders(path, ())[0]).st_ino
    except FileNotFoundError:
        return 0


def _keep(path: str, number: int, pipe: int) -> NoReturn:
    try:
        os.setsid()
        syscalls.set_process_name("keeper")
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
        syscalls.close_range(0, pipe - 1)
        syscalls.close_range(pipe + 1, syscalls.LAST_FD)
        if not os.read(pipe, 1) and _number(path) == number:
            cgroup.remove(path)
    finally:
        os._exit(0)

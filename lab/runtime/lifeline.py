"""No container outlives its engine: a lifeline above each container ends with the engine, and the container with it.

    engine ── lifeline ── container        lifeline: pid 1 of a pid namespace that contains the container's

A container has PR_SET_PDEATHSIG, as in other engines. But a container can clear that setting, and setuid(2) clears it,
too; prctl(2). The lifeline has the same setting, and no container can change it there. When the first process of a pid
namespace ends, the kernel kills all others in the namespace, whatever they have cleared or forked; pid_namespaces(7).

labd's spawner is the first process of a pid namespace itself, and so needs no lifeline.
"""

from __future__ import annotations

import os
import select

from lab import syscalls
from lab.signals import SIGINT, SIGKILL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn


def die_with_parent(pipe: int) -> None:
    """Have the kernel send SIGKILL when the parent ends. pipe is a pipe whose other end only the engine holds.

    Call this after setuid(2), which clears the setting. The engine may have died before the prctl(2), so the pipe is
    looked at afterwards. getppid() cannot tell: in a new pid namespace it is always 0.
    """
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, SIGKILL)
    poll = select.poll()
    poll.register(pipe, 0)  # POLLHUP is always reported
    if poll.poll(0):
        os._exit(125)


def stand_between(clone: Callable[[], int], pipe: int) -> None:
    """Clone the container's first process and wait for its end; returns in that process only."""
    die_with_parent(pipe)
    pid = clone()
    if pid:
        _wait(pid)


def _wait(pid: int) -> NoReturn:
    """Wait for the child and exit with its exit code; 128+n if it died of signal n."""
    try:
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
        syscalls.set_process_name("lifeline")
        syscalls.signal_default(SIGINT)  # so it is ignored: a pid 1 gets only the signals that it has handlers for
        syscalls.close_range(0, syscalls.LAST_FD)
        _, status = os.waitpid(pid, 0)
        os._exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
    finally:
        os._exit(125)

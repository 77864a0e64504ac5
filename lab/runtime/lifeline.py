"""Nothing outlives its engine: above each container stands a pid namespace that ends with the engine.

    engine ── lifeline ── container        lifeline: pid 1 of a pid namespace; the container's lies inside that one

A container has PR_SET_PDEATHSIG, as in other engines. But it can clear it, and loses it by setuid(2); prctl(2). The
lifeline has it, too, and is out of the container's reach. When the first process of a pid namespace ends, the kernel
kills all others in it, whatever they have cleared or forked: pid_namespaces(7).

labd's spawner is itself the first process of a pid namespace, and so needs no lifeline.
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
    """Have the kernel send SIGKILL when the parent ends. pipe is one whose other end the engine alone holds.

    To be called after setuid(2), which clears the setting. The engine may have died before the prctl(2), even if it
    has said go by then; getppid() cannot tell, since in a new pid namespace it is always 0.
    """
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, SIGKILL)
    poll = select.poll()
    poll.register(pipe, 0)  # POLLHUP is always reported
    if poll.poll(0):
        os._exit(125)


def stand_between(clone: Callable[[], int], pipe: int) -> None:
    """Clone the container and wait for its end; returns in the container only."""
    die_with_parent(pipe)
    pid = clone()
    if pid:
        _wait(pid)


def _wait(pid: int) -> NoReturn:
    """Exit as the child does; 128+n if it died of signal n."""
    try:
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
        syscalls.set_process_name("lifeline")
        syscalls.signal_default(SIGINT)  # ignored, then: the kernel delivers to a pid 1 only what it handles
        syscalls.close_range(0, syscalls.LAST_FD)
        _, status = os.waitpid(pid, 0)
        os._exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
    finally:
        os._exit(125)

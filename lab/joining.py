"""--pid and --ipc container:NAME: find the other container, and check what docker checks, for both engines."""

from __future__ import annotations

import os

from lab.errors import InvalidArgument, LabError, NotRunning
from lab.pidfd import pid_of
from lab.spec import CONTAINER, PRIVATE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.spec import Spec

    Open = Callable[[str], tuple[str, Spec, int]]


def join(spec: Spec, open_other: Open) -> dict[str, int]:
    """A pidfd of the other container for each of "pid" and "ipc" that is container:NAME; the caller closes them.

    open_other finds a running container by its name: (id, its Spec, a new pidfd of its first process). It raises
    NotFound, NotRunning or Conflict. If the other container has the host's pid namespace, spec.pid becomes "host".

    Raises InvalidArgument, and what open_other raises, in docker's words; moby, daemon/container_operations_unix.go.
    """
    joined: dict[str, int] = {}
    try:
        for kind, mode in (("pid", spec.pid), ("ipc", spec.ipc)):
            if mode.startswith(CONTAINER):
                other_id, other, joined[kind] = _open(kind, mode.removeprefix(CONTAINER), open_other)
                if kind == "ipc" and other.ipc in (PRIVATE, "none"):
                    raise InvalidArgument(
                        f"failed to join IPC namespace: container {other_id}: non-shareable IPC "
                        "(hint: use IpcMode:shareable for the donor container)"
                    )
        if "pid" in joined and _in_own_pid_namespace(joined["pid"]):
            os.close(joined.pop("pid"))
            spec.pid = "host"
    except BaseException:
        close(joined)
        raise
    return joined


def close(joined: dict[str, int]) -> None:
    """Close the pidfds."""
    for pidfd in joined.values():
        os.close(pidfd)


def _open(kind: str, name: str, open_other: Open) -> tuple[str, Spec, int]:
    try:
        return open_other(name)
    except LabError as error:
        error.message = f"failed to join {kind.upper()} namespace: {error.message}"
        raise


def _in_own_pid_namespace(pidfd: int) -> bool:
    """Whether that process is in the caller's pid namespace, which for an engine is the host's. Raises NotRunning."""
    try:
        return os.path.samefile(f"/proc/{pid_of(pidfd)}/ns/pid", "/proc/self/ns/pid")
    except OSError:
        raise NotRunning("failed to join PID namespace: the container has just ended", "start that one first") from None

"""A running container's cgroup: other limits, freezing and thawing, and what the container uses."""

from __future__ import annotations

import errno
import os

from lab.errors import Conflict, MissingFeature, NotRunning
from lab.runtime import cgroup, cgroup_limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lab.resources import Resources


def update(path: str, resources: Resources) -> None:
    """Give a running container other limits.

    In version 1, a controller that it did not need before has all its processes enter. Raises Conflict if it lies in
    its engine's cgroup; NotRunning if it has just ended, and nothing is left of its cgroup then; OSError.
    """
    wanted = cgroup_limits.needed(resources)
    if os.path.dirname(path) == cgroup.own_path() != "/" and wanted:
        raise Conflict(
            "the container was started without limits, in its engine's cgroup, which cannot pass on controllers",
            "stop it, update it, and start it again",
        )
    tracked, *others = cgroup.folders(path, wanted)
    cgroup.enable(cgroup.version_2(), os.path.dirname(path), wanted)
    added = [folder for folder in others if not os.path.isdir(folder)]
    try:
        for folder in added:
            os.mkdir(folder)
        cgroup.limit(path, resources)
        for folder in added:
            cgroup.until(lambda folder=folder: _all_entered(path, folder))  # type: ignore[misc]
    finally:
        if not os.path.isdir(tracked):  # whatever removes it at the container's end may not have seen the added ones
            cgroup.remove(path)
            raise NotRunning("the container has just ended")


def _all_entered(path: str, folder: str) -> bool:
    """Move the container's processes into one more directory; False if any has forked meanwhile."""
    inside = set(cgroup.read_file(f"{folder}/cgroup.procs").split())
    late = [pid for pid in map(str, cgroup.processes(path)) if pid not in inside]
    for pid in late:
        try:
            cgroup.write_file(f"{folder}/cgroup.procs", pid)
        except ProcessLookupError:
            pass
    return not late


def freeze(path: str, frozen: bool) -> None:
    """Stop or continue every process.

    Raises NotRunning for a container that has just ended, MissingFeature on a machine without cgroups, OSError.
    """
    folder = cgroup.folders(path, ())[0]
    if not os.path.isdir(os.path.dirname(folder)):
        raise MissingFeature(
            "this machine has no cgroup freezer", "mount cgroup2 on /sys/fs/cgroup, then start the container again"
        )
    try:
        if os.path.exists(f"{folder}/cgroup.freeze"):
            cgroup.write_file(f"{folder}/cgroup.freeze", "1" if frozen else "0")
            cgroup.until(lambda: f"frozen {int(frozen)}" in cgroup.read_file(f"{folder}/cgroup.events"))
        else:
            word = "FROZEN" if frozen else "THAWED"
            cgroup.write_file(f"{folder}/freezer.state", word)
            cgroup.until(lambda: cgroup.read_file(f"{folder}/freezer.state").strip() == word)
    except OSError as error:  # the kernel removes a cgroup's files before its directory; ENODEV: one that was open
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise
        raise NotRunning("the container has just ended") from None


def thaw(path: str) -> None:
    """Let processes that have been killed come to their end: version 1 holds a frozen one until it is thawed.

    Does nothing if they have ended already, and the cgroup with them.
    """
    folder = cgroup.folders(path, ())[0]
    for name, word in (("cgroup.freeze", "0"), ("freezer.state", "THAWED")):
        try:
            if os.path.exists(f"{folder}/{name}"):
                cgroup.write_file(f"{folder}/{name}", word)
        except OSError:
            pass  # the cgroup has just been removed


def usage(path: str) -> tuple[int | None, int | None]:
    """(CPU time in ns, memory in bytes); None where no controller counts it."""
    root = cgroup.version_2()
    cpu = dict(line.split() for line in cgroup.read_file(f"{root}{path}/cpu.stat").splitlines()).get("usage_usec")
    folder = cgroup.place(root, "memory", path)
    memory = cgroup.read_file(f"{folder}/memory.current") or cgroup.read_file(f"{folder}/memory.usage_in_bytes")
    return int(cpu) * 1000 if cpu else None, int(memory) if memory else None

"""The container's side of --pid, --ipc and --cgroupns: what it takes from the host or from another container.

A container that joins another one's namespaces also gets the mounts that show them: its /proc is a copy of the other's
/proc, and its /dev/shm is the other's. They are copied in the other's mount namespace, where no path leads out of it.
"""

from __future__ import annotations

import ctypes
import os

from lab import syscalls
from lab.errors import CannotStart
from lab.runtime import cgroup
from lab.runtime.attaching import clone_tree
from lab.runtime.rootfs import SAFE
from lab.spec import PRIVATE
from lab.syscalls import CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNS, CLONE_NEWPID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.spec import Spec

    Trees = dict[str, int]

PROC_SUPER_MAGIC = 0x9FA0  # linux/magic.h


def enter(spec: Spec, joined: Mapping[str, int]) -> Trees:
    """Join the namespaces that spec shares; returns detached mounts, by their places in the new root.

    joined has a pidfd of the other container for "pid" and for "ipc". The children of the caller, not the caller, are
    in the joined pid namespace. The caller must be in its own new mount namespace and see the host's root.
    """
    trees: Trees = {}
    if "pid" in joined:
        trees["/proc"] = _copy_proc(joined["pid"])
        _join(joined["pid"], CLONE_NEWPID, "PID")
    if "ipc" in joined:
        trees["/dev/shm"] = _copy(joined["ipc"], "/dev/shm")
        _join(joined["ipc"], CLONE_NEWIPC, "IPC")
    elif spec.ipc == "host":
        shared = [path for path in ("/dev/shm", "/dev/mqueue") if os.path.isdir(path)]
        trees |= {path: clone_tree(path, SAFE) for path in shared}
    if spec.cgroupns == PRIVATE:
        trees |= _own_cgroups(0 if spec.privileged else SAFE | syscalls.MOUNT_ATTR_RDONLY)
        syscalls.unshare(CLONE_NEWCGROUP)
    return trees


def _join(pidfd: int, namespace: int, word: str) -> None:
    try:
        syscalls.setns(pidfd, namespace)
    except OSError as error:
        reason = "it has just ended" if isinstance(error, ProcessLookupError) else error.strerror
        raise CannotStart(
            f"failed to join {word} namespace of the container: {reason}", "start that one first"
        ) from None


def _copy(pidfd: int, path: str) -> int:
    """A detached copy of what another container has mounted at path, without the mounts below it."""
    own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    _join(pidfd, CLONE_NEWNS, "mount")
    try:
        return clone_tree(path, SAFE, recursive=False)
    finally:
        syscalls.setns(own, CLONE_NEWNS)
        os.close(own)


def _copy_proc(pidfd: int) -> int:
    """The other container's /proc. Raises CannotStart if that container has mounted something else there."""
    tree = _copy(pidfd, "/proc")
    buffer = ctypes.create_string_buffer(256)  # struct statfs begins with f_type, a long
    if syscalls.libc.fstatfs(tree, buffer) or ctypes.c_long.from_buffer(buffer).value != PROC_SUPER_MAGIC:
        raise CannotStart("the container whose PID namespace is joined has no procfs at /proc", "join another one")
    return tree


def _own_cgroups(attributes: int) -> Trees:
    """For each hierarchy the caller's own cgroup, where the container looks for the top."""
    trees: Trees = {}
    with open("/proc/self/cgroup", "rb") as file:  # as bytes: no codec can be imported any more
        lines = os.fsdecode(file.read()).splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        root = f"{cgroup.MOUNT}/{controllers.removeprefix('name=')}" if controllers else cgroup.version_2()
        if root and os.path.isdir(f"{root}{path}"):
            trees[root] = clone_tree(f"{root}{path}", attributes)
    return trees

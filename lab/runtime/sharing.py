"""The container's side of --pid, --ipc and --cgroupns: what it takes from the host or from another container.

A container that joins another one's namespaces also gets the mounts that show them: its /proc is a copy of the other's
/proc, and its /dev/shm is the other's. They are copied in the other's mount namespace.
"""

from __future__ import annotations

import ctypes
import errno
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
LINKS = (errno.ELOOP, errno.ENOTDIR)  # of openat2(2) for a symlink; O_DIRECTORY makes it ENOTDIR at the end


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
    """A detached copy of what another container has mounted at path, without the mounts below it.

    No symlink is followed: the other container could lead this privileged process to its /proc, whose copy would lack
    what masks it, or through /proc/PID/root to where that container itself may not go. Raises CannotStart.
    """
    own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    _join(pidfd, CLONE_NEWNS, "mount")
    point = -1
    try:
        point = syscalls.openat2(syscalls.AT_FDCWD, path, os.O_PATH | os.O_DIRECTORY, syscalls.RESOLVE_NO_SYMLINKS)
        return clone_tree("", SAFE, point, recursive=False)
    except OSError as error:
        reason = "a symlink is on the way" if error.errno in LINKS else error.strerror
        raise CannotStart(f"cannot share {path} of the other container: {reason}", "join another one") from None
    finally:
        if point >= 0:
            os.close(point)
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
        lines = os.fsdecode(file.read()).split("\n")
    for line in filter(None, lines):
        _, controllers, path = line.split(":", 2)
        root = f"{cgroup.MOUNT}/{controllers.removeprefix('name=')}" if controllers else cgroup.version_2()
        if root and os.path.isdir(f"{root}{path}"):
            trees[root] = clone_tree(f"{root}{path}", attributes)
    return trees

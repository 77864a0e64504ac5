"""Mounts as file descriptors: copied, and attached where no symlink can lead them away.

A mount is first detached (open_tree(2), fsmount(2)) and is then attached at a descriptor that was resolved inside the
new root (openat2(2), RESOLVE_IN_ROOT). No step follows a path that a symlink in an image, or a process that changes it
meanwhile, can lead out of the container.
"""

from __future__ import annotations

import errno
import os
import stat

from lab import syscalls
from lab.errors import CannotStart
from lab.syscalls import AT_EMPTY_PATH, AT_RECURSIVE, OPEN_TREE_CLONE, RESOLVE_IN_ROOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

MOST_LINKS = 40  # as many as the kernel follows; path_resolution(7)


class Elsewhere(Exception):
    """A mount point would be made on another mount."""


def clone_tree(source: str, attributes: int, dir_fd: int = syscalls.AT_FDCWD, *, recursive: bool = True) -> int:
    """A detached copy of the mount at source with these MOUNT_ATTR_*; recursive: and of the mounts below it.

    Raises CannotStart.
    """
    try:
        flags = OPEN_TREE_CLONE | (AT_RECURSIVE if recursive else 0) | (0 if source else AT_EMPTY_PATH)
        tree = syscalls.open_tree(source, flags, dir_fd)
        if attributes:
            syscalls.mount_setattr(tree, attributes, AT_RECURSIVE)
    except OSError as error:
        raise CannotStart(f"cannot bind {source}: {error.strerror}") from error
    return tree


def attach(root: int, target: str, tree: int, only: Collection[str] = ()) -> None:
    """Attach a detached mount at target inside root; a missing mount point is made. Closes tree. Raises CannotStart.

    only    mount_id()s: where symlinks of the image lead to another mount, nothing is made there nor attached
    """
    try:
        point = _mount_point(root, target, stat.S_ISDIR(os.fstat(tree).st_mode), only)
    except Elsewhere:
        os.close(tree)
        return
    try:
        attach_at(point, tree)
    except OSError as error:
        raise CannotStart(f"cannot mount on {target}: {error.strerror}") from error


def attach_at(point: int, tree: int) -> None:
    """Attach a detached mount at an open mount point; closes both."""
    syscalls.move_mount(tree, point)
    os.close(point)
    os.close(tree)


def mount_id(fd: int) -> str:
    """The number of the mount that the descriptor is on, as in mountinfo; proc(5)."""
    with open(f"/proc/self/fdinfo/{fd}", encoding="utf-8") as file:
        return next(line.split()[1] for line in file if line.startswith("mnt_id:"))


def _mount_point(root: int, target: str, directory: bool, only: Collection[str], links: int = 0) -> int:
    """A descriptor of target inside root; what is missing is made, at the end of a symlink too, as in runc.

    Raises Elsewhere if that would be on a mount that is not one of `only`; () allows any.
    """
    try:
        return syscalls.openat2(root, target, os.O_PATH, RESOLVE_IN_ROOT)
    except FileNotFoundError:
        parent_path, name = os.path.split(target.rstrip("/"))
    parent = _mount_point(root, parent_path, True, only, links)
    try:
        if only and mount_id(parent) not in only:
            raise Elsewhere(target)
        if links < MOST_LINKS and (link := _link(name, parent)):
            where = link if link.startswith("/") else f"{parent_path}/{link}"
            return _mount_point(root, where, directory, only, links + 1)
        if directory:
            os.mkdir(name, 0o755, dir_fd=parent)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=parent))
    except OSError as error:
        if error.errno == errno.EROFS:
            raise CannotStart(
                f"mount target {target} does not exist in the image, and the image is read-only",
                f"choose a target that the image has, or a new name at the top such as /{name}",
            ) from None
        reason = "is a symlink to a symlink without end" if error.errno == errno.EEXIST else error.strerror
        raise CannotStart(f"cannot make the mount target: {target} {reason}") from None
    finally:
        os.close(parent)
    return syscalls.openat2(root, target, os.O_PATH, RESOLVE_IN_ROOT)


def _link(name: str, directory: int) -> str:
    """Where a symlink points; "" for what is none, or is missing."""
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError:
        return ""


def attach_new(directory: int, name: str, tree: int) -> None:
    """Attach a detached mount at a new name in a directory that only this process can write to; closes tree."""
    if stat.S_ISDIR(os.fstat(tree).st_mode):
        os.mkdir(name, 0o755, dir_fd=directory)
    else:
        os.mknod(name, 0o644, dir_fd=directory)
    syscalls.move_mount(tree, directory, name)
    os.close(tree)

"""Files that are safe from other users, from a process that is killed, and from a cut of power; and deep trees."""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from lab.errors import NotAllowed
from lab.paths import state_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ROOM = 1 << 30  # bytes that stay free, or a twentieth of a small filesystem
OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Lock:
    """Holds a flock(2) on a file or directory during a `with`; the kernel frees it when the process dies."""

    def __init__(self, path: str, operation: int = fcntl.LOCK_EX) -> None:
        self.path, self.operation = path, operation

    def __enter__(self) -> int:
        self.fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(self.fd, self.operation)
        except OSError:
            os.close(self.fd)
            raise
        return self.fd

    def __exit__(self, *error: object) -> None:
        os.close(self.fd)


def make_private(path: str) -> None:
    """Make this directory, or close an existing one, so that no other user can enter it.

    Images and layers contain set-user-ID programs and all that containers wrote (CVE-2021-41103). Raises NotAllowed for
    a directory of another user, who could change everything in it.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        _make_missing(path)
        return
    if found.st_uid != os.geteuid():
        raise NotAllowed(
            f"{path} belongs to uid {found.st_uid}, but the engine runs as uid {os.geteuid()}",
            "run as that user, or keep containers in another directory: --root DIRECTORY",
        )
    if stat.S_IMODE(found.st_mode) & 0o077:  # earlier versions made it so
        if os.path.islink(path):
            raise NotAllowed(
                f"{path} is a symlink to a directory that others may enter", "close that directory: chmod 700"
            )
        os.chmod(path, 0o700)


def _make_missing(path: str) -> None:
    parent = os.path.dirname(path)
    if parent and not os.path.exists(parent):
        _make_missing(parent)  # os.makedirs() would make the parents open to all
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass  # another command of the same user has made it


def make_public(path: str) -> None:
    """Make this directory and those above it, so that everybody may enter them and only their owner may change them.

    The umask does not count. Raises NotAllowed for an existing one that another user may change: an engine is about to
    run programs from it.
    """
    parent = os.path.dirname(path)
    if parent != path:
        make_public(parent)
    try:
        os.mkdir(path, 0o700)
        os.chmod(path, 0o755)
        return
    except FileExistsError:
        found = os.stat(path)
    others_write = stat.S_IMODE(found.st_mode) & 0o022 and not found.st_mode & stat.S_ISVTX
    if found.st_uid not in (0, os.geteuid()) or others_write:
        raise NotAllowed(
            f"{path} can be changed by others: owner {found.st_uid}, mode {stat.S_IMODE(found.st_mode):o}",
            "check what is in it, then give it to root: chown root, chmod 755",
        )


def close_state(root: str) -> None:
    """Close the directories below an engine's state directory that an earlier version left open; called at the start.

    The state directory itself is closed only if it is the default one: another may be a shared one, such as /tmp.
    """
    paths = [f"{root}/{part}" for part in ("images", "labd", "podmanish")]
    for path in (root, *paths) if root == state_directory() else paths:
        if os.path.exists(path):
            make_private(path)


def write(path: str, values: dict[str, Any], *, durable: bool) -> None:
    """Replace the file by these values, as a Python literal: a reader sees the old ones or the new ones.

    durable: after a cut of power, too, for the price of two fsync(2); without it the file may then be empty.
    """
    write_new(f"{path}.new", values, durable=durable)
    os.rename(f"{path}.new", path)
    if durable:
        sync_directory(os.path.dirname(path))


def write_new(path: str, values: dict[str, Any], *, durable: bool) -> None:
    """Write a file that no process reads yet."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    data = repr(values).encode(errors="surrogateescape")
    try:
        while data:
            data = data[os.write(fd, data) :]
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)


def sync_directory(path: str) -> None:
    """Return when everything that was made, renamed or removed in the directory is on disk."""
    fd = os.open(path, OPEN_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def require_room(where: str | int, size: int) -> None:
    """Raises OSError (ENOSPC) if that filesystem, with so many bytes more, would be nearly full."""
    found = os.statvfs(where)
    if found.f_bavail * found.f_frsize - size < min(ROOM, found.f_blocks * found.f_frsize // 20):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def remove_tree(path: str) -> None:
    """Delete a directory with all below it; do nothing if it is missing.

    An ordinary user may not delete what the user's container has written under a subordinate id: a child does that, as
    root in a user namespace with the same ids.
    """
    try:
        _remove_tree(path)
    except OSError:
        if os.geteuid() == 0:
            raise
        from lab import userns

        userns.as_root(lambda: _remove_tree(path))


def _remove_tree(path: str) -> None:
    """Move each directory up to the top before emptying it.

    So neither Python's stack nor PATH_MAX limits the depth, which a container may choose. Nothing that is mounted below
    path is deleted: such a directory can neither be moved (EBUSY) nor, at the top, be opened (EXDEV).
    """
    from lab.syscalls import RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, openat2

    try:
        top = os.open(path, OPEN_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        waiting, moved = _unlink_files(top), 0
        unused = os.urandom(8).hex() if waiting else ""
        while waiting:
            name = waiting.pop()
            fd = openat2(top, name, OPEN_DIRECTORY, RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV)
            try:
                for inner in _unlink_files(fd):
                    moved += 1
                    os.rename(inner, f"{unused}{moved}", src_dir_fd=fd, dst_dir_fd=top)
                    waiting.append(f"{unused}{moved}")
            finally:
                os.close(fd)
            os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass


def _unlink_files(directory: int) -> list[str]:
    """Delete everything in a directory but its subdirectories; returns the names of those."""
    directories = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                directories.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=directory)
    return directories

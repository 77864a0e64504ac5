"""Files that survive what happens to them: other users, a sudden death, a cut of power, trees of any depth."""

from __future__ import annotations

import fcntl
import os
import stat

from lab.errors import NotAllowed
from lab.paths import state_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Lock:
    """flock(2) on a file or directory for the length of a `with`; given up by the kernel when the process dies."""

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
    """Make this directory, or close the one that there is, so that no other user can look into it or through it.

    Images and layers hold set-user-ID programs and whatever a container wrote (CVE-2021-41103). Raises NotAllowed for
    a directory that is another user's: that user could change all that is kept in it.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        _make_missing(path)
        return
    if found.st_uid != os.geteuid():
        raise NotAllowed(
            f"{path} belongs to uid {found.st_uid}, and this is uid {os.geteuid()}",
            "run as that user, or keep containers in a directory of your own: --root",
        )
    if stat.S_IMODE(found.st_mode) & 0o077:  # as earlier versions made it
        if os.path.islink(path):
            raise NotAllowed(f"{path} leads to a directory that is open to others", "close that: chmod 700")
        os.chmod(path, 0o700)


def _make_missing(path: str) -> None:
    parent = os.path.dirname(path)
    if parent and not os.path.exists(parent):
        _make_missing(parent)  # os.makedirs() would leave what it makes on the way open to all
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass  # by another command of the same user's


def make_public(path: str) -> None:
    """Make this directory and those above it, so that all may look into them and only their owner change them.

    Whatever the umask. Raises NotAllowed for one that is there already, and that another user may change: an engine is
    about to run programs from it.
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
            f"{path} can be changed by others: it is uid {found.st_uid}'s, mode {stat.S_IMODE(found.st_mode):o}",
            "look what is in it, then make it root's alone: chown root, chmod 755",
        )


def close_state(root: str) -> None:
    """What an earlier version left open below an engine's state directory is closed; for the engine's start.

    The directory itself may be one that was there before, such as /tmp: it is left alone unless it is the usual one.
    """
    paths = [f"{root}/{part}" for part in ("images", "labd", "podmanish")]
    for path in (root, *paths) if root == state_directory() else paths:
        if os.path.exists(path):
            make_private(path)


def write(path: str, values: dict[str, Any], *, durable: bool) -> None:
    """Replace the file by these values, as a Python literal: whoever reads sees the old ones or the new.

    durable: after a cut of power, too, which without it may leave an empty file; costs two fsync(2).
    """
    write_new(f"{path}.new", values, durable=durable)
    os.rename(f"{path}.new", path)
    if durable:
        sync_directory(os.path.dirname(path))


def write_new(path: str, values: dict[str, Any], *, durable: bool) -> None:
    """Write the file; for one that nobody reads yet."""
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
    """What was made, renamed or removed in it is on disk when this returns."""
    fd = os.open(path, OPEN_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove_tree(path: str) -> None:
    """Delete a directory with all below it; nothing if there is none.

    What an ordinary user's container has written as another of its users, only root of such a namespace may delete.
    """
    try:
        _remove_tree(path)
    except OSError:
        if os.geteuid() == 0:
            raise
        from lab import userns

        userns.as_root(lambda: _remove_tree(path))


def _remove_tree(path: str) -> None:
    """Each directory is moved up to the top before it is emptied.

    So neither Python's stack nor PATH_MAX sets a limit: a container may nest directories as deep as it likes.
    """
    try:
        top = os.open(path, OPEN_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        waiting, moved = _unlink_files(top), 0
        unused = os.urandom(8).hex() if waiting else ""
        while waiting:
            name = waiting.pop()
            fd = os.open(name, OPEN_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
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
    """Delete all in it that is no directory; returns the names of those."""
    directories = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                directories.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=directory)
    return directories

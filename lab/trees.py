"""Walk, measure and copy trees of files that a container may change meanwhile.

Files come and go, a directory may become a symlink to the host's. So each directory is opened from the top, and no
symlink is followed. A file whose path is too long for that, over 4,095 bytes, is left out by entries() and size().
"""

from __future__ import annotations

import os
import stat

from lab.files import require_room
from lab.syscalls import RESOLVE_NO_SYMLINKS, openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
CHUNK = 1 << 26  # bytes of one sendfile(2)


def entries(top: str) -> Iterator[tuple[str, os.stat_result]]:
    """All entries below a directory, each as /PATH from there. Not recursive: the tree may be deep."""
    root = opened(top)
    waiting = [""] if root >= 0 else []
    try:
        while waiting:
            folder = waiting.pop()
            fd = opened(f".{folder}", root)
            if fd < 0:
                continue
            try:
                for name in os.listdir(fd):
                    try:
                        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                    except OSError:  # the file has just been removed
                        continue
                    yield f"{folder}/{name}", status
                    if stat.S_ISDIR(status.st_mode):
                        waiting.append(f"{folder}/{name}")
            finally:
                os.close(fd)
    finally:
        if root >= 0:
            os.close(root)


def opened(path: str, below: int = -1) -> int:
    """A directory's descriptor; -1 if it cannot be opened. Below another directory no symlink is followed."""
    try:
        return os.open(path, DIRECTORY) if below < 0 else openat2(below, path, DIRECTORY, RESOLVE_NO_SYMLINKS)
    except OSError:
        return -1


def size(top: str) -> int:
    """Bytes of the files below a directory, a file with several names counted once."""
    found: dict[tuple[int, int], int] = {}
    for _, status in entries(top):
        if not stat.S_ISDIR(status.st_mode) and not stat.S_ISCHR(status.st_mode):
            found[status.st_dev, status.st_ino] = status.st_size
    return sum(found.values())


def copy(source: int, target: int) -> None:
    """Copy what is in the directory at descriptor source, with owners, modes, times and xattrs, and those of source.

    target is an empty directory that no other process writes to. Hard links stay hard links; devices, sockets and pipes
    are left out, as an import of an image leaves them out. Raises OSError.
    """
    links: dict[tuple[int, int], str] = {}
    waiting, done = ["."], []
    while waiting:
        folder = waiting.pop()
        done.append(folder)
        waiting += _copy_entries(folder, source, target, links)
    for folder in reversed(done):  # children first: they change a directory's time
        _finish_directory(folder, source, target)


def _copy_entries(folder: str, source: int, target: int, links: dict[tuple[int, int], str]) -> list[str]:
    """Copy what is in one directory; the paths of its directories, which are still empty in the copy.

    links has the first path of each file, by device and inode.
    """
    folders = []
    from_fd = openat2(source, folder, DIRECTORY, RESOLVE_NO_SYMLINKS)
    to_fd = openat2(target, folder, DIRECTORY, RESOLVE_NO_SYMLINKS)
    try:
        for name in os.listdir(from_fd):
            status = os.stat(name, dir_fd=from_fd, follow_symlinks=False)
            path = f"{folder}/{name}"
            first = links.setdefault((status.st_dev, status.st_ino), path)
            if stat.S_ISDIR(status.st_mode):
                os.mkdir(name, 0o700, dir_fd=to_fd)
                folders.append(path)
            elif first != path:
                os.link(first, name, src_dir_fd=target, dst_dir_fd=to_fd, follow_symlinks=False)
            elif stat.S_ISLNK(status.st_mode):
                os.symlink(os.readlink(name, dir_fd=from_fd), name, dir_fd=to_fd)
                _own(name, status, to_fd)
            elif stat.S_ISREG(status.st_mode):
                _copy_file(name, status, from_fd, to_fd)
    finally:
        os.close(from_fd)
        os.close(to_fd)
    return folders


def _copy_file(name: str, status: os.stat_result, from_fd: int, to_fd: int) -> None:
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    require_room(to_fd, status.st_size)  # an image can name many volumes for one large directory
    with (
        open(os.open(name, os.O_RDONLY | flags, dir_fd=from_fd), "rb", buffering=0) as old,
        open(
            os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | flags, 0o600, dir_fd=to_fd), "wb", buffering=0
        ) as new,
    ):
        while os.sendfile(new.fileno(), old.fileno(), None, CHUNK):
            pass
        _resemble(new.fileno(), old.fileno(), status)


def _finish_directory(folder: str, source: int, target: int) -> None:
    old = openat2(source, folder, DIRECTORY, RESOLVE_NO_SYMLINKS)
    new = openat2(target, folder, DIRECTORY, RESOLVE_NO_SYMLINKS)
    try:
        _resemble(new, old, os.fstat(old))
    finally:
        os.close(old)
        os.close(new)


def _resemble(new: int, old: int, status: os.stat_result) -> None:
    """Give owner, mode, xattrs and times; the owner first, since a change of it clears set-user-ID."""
    _own(new, status)
    os.fchmod(new, stat.S_IMODE(status.st_mode))
    for name in os.listxattr(old):
        try:
            os.setxattr(new, name, os.getxattr(old, name))
        except OSError:
            if os.geteuid() == 0:
                raise
    os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns))


def _own(file: int | str, status: os.stat_result, dir_fd: int | None = None) -> None:
    """Give the file to status's owner. An ordinary user's images belong to that user: there is nothing to give then."""
    if os.geteuid() != 0:
        return
    if isinstance(file, int):
        os.fchown(file, status.st_uid, status.st_gid)
    else:
        os.chown(file, status.st_uid, status.st_gid, dir_fd=dir_fd, follow_symlinks=False)

"""`docker diff`: what a container's overlay holds above its image; Documentation/filesystems/overlayfs.rst.

The container may write there at the same time: files come and go, a directory may become a symlink to the host's.
So each directory is opened from the top, and no symlink is followed. A file whose path is too long is left out.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from lab.spec import Spec
from lab.syscalls import openat2

MODIFIED, ADDED, DELETED = 0, 1, 2
MOUNT_POINTS = ("/dev", "/proc", "/sys")  # the runtime makes them if the image lacks them
RESOLVE_NO_SYMLINKS = 0x04


def changes(spec: Spec) -> list[dict[str, str | int]] | None:
    """Path and Kind of each change, parents first; None if nothing changed or the container has no layer."""
    if not spec.layer:
        return None
    found: list[dict[str, str | int]] = []
    lower = _open(spec.rootfs)
    try:
        for path, status in _entries(f"{spec.layer}/upper"):
            kind = _kind(status, lower, path)
            if not (kind == ADDED and path in MOUNT_POINTS):
                found.append({"Path": path, "Kind": kind})
    finally:
        if lower >= 0:
            os.close(lower)
    return sorted(found, key=lambda change: str(change["Path"])) or None


def size(spec: Spec) -> int:
    """Bytes in the container's layer, a file with several names counted once; 0 without a layer."""
    found: dict[tuple[int, int], int] = {}
    for _, status in _entries(f"{spec.layer}/upper") if spec.layer else ():
        if not stat.S_ISDIR(status.st_mode) and not stat.S_ISCHR(status.st_mode):
            found[status.st_dev, status.st_ino] = status.st_size
    return sum(found.values())


def _entries(top: str) -> Iterator[tuple[str, os.stat_result]]:
    """All entries below a directory, each as /PATH from there. Not recursive: the tree may be deep."""
    root = _open(top)
    waiting = [""] if root >= 0 else []
    try:
        while waiting:
            folder = waiting.pop()
            fd = _open(f".{folder}", root)
            if fd < 0:
                continue
            try:
                for name in os.listdir(fd):  # noqa: PTH208 (a descriptor)
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


def _open(path: str, below: int = -1) -> int:
    """A directory's descriptor; -1 if it cannot be opened. Below another directory no symlink is followed."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        return os.open(path, flags) if below < 0 else openat2(below, path, flags, RESOLVE_NO_SYMLINKS)
    except OSError:
        return -1


def _kind(status: os.stat_result, lower: int, path: str) -> int:
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:  # a whiteout
        return DELETED
    try:
        os.close(openat2(lower, f".{path}", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, RESOLVE_NO_SYMLINKS))
    except OSError:
        return ADDED
    return MODIFIED

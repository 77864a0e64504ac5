"""`docker diff`: what a container's overlay holds above its image; Documentation/filesystems/overlayfs.rst."""

from __future__ import annotations

import os
import stat

from lab import trees
from lab.contents import MOUNT_POINTS
from lab.spec import Spec
from lab.syscalls import RESOLVE_NO_SYMLINKS, openat2

MODIFIED, ADDED, DELETED = 0, 1, 2


def changes(spec: Spec) -> list[dict[str, str | int]] | None:
    """Path and Kind of each change, parents first; None if nothing changed or the container has no layer."""
    if not spec.layer:
        return None
    found: list[dict[str, str | int]] = []
    lower = trees.opened(spec.rootfs)
    try:
        for path, status in trees.entries(f"{spec.layer}/upper"):
            kind = _kind(status, lower, path)
            if not (kind == ADDED and path[1:] in MOUNT_POINTS):
                found.append({"Path": path, "Kind": kind})
    finally:
        if lower >= 0:
            os.close(lower)
    return _without_mount_points(spec, sorted(found, key=lambda change: str(change["Path"]))) or None


def _without_mount_points(spec: Spec, found: list[dict[str, str | int]]) -> list[dict[str, str | int]]:
    """Leave out /etc/hosts and its companions where the image has none, and /etc if nothing else is changed there."""
    own = {mount.target for mount in spec.mounts if mount.kind == "file"}
    rest = [change for change in found if change["Path"] not in own]
    folders = {str(change["Path"]).rpartition("/")[0] for change in rest}
    made_for_them = {target.rpartition("/")[0] for target in own} - folders if len(rest) < len(found) else set()
    return [change for change in rest if change["Path"] not in made_for_them]


def size(spec: Spec) -> int:
    """Bytes in the container's layer, a file with several names counted once; 0 without a layer."""
    return trees.size(f"{spec.layer}/upper") if spec.layer else 0


def _kind(status: os.stat_result, lower: int, path: str) -> int:
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:  # a whiteout
        return DELETED
    try:
        os.close(openat2(lower, f".{path}", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, RESOLVE_NO_SYMLINKS))
    except OSError:
        return ADDED
    return MODIFIED

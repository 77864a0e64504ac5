"""`docker diff`: what a container's overlay holds above its image; Documentation/filesystems/overlayfs.rst."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from lab.spec import Spec

MODIFIED, ADDED, DELETED = 0, 1, 2
MOUNT_POINTS = ("/dev", "/proc", "/sys")  # which the runtime makes, should the image lack them


def changes(spec: Spec) -> list[dict[str, str | int]] | None:
    """Path and Kind of each change, parents first; None if there are none, as for a root that is read-only."""
    upper = Path(spec.layer, "upper") if spec.layer else None
    if upper is None or not upper.is_dir():
        return None
    found: list[dict[str, str | int]] = []
    for folder, directories, files in os.walk(upper):
        for name in directories + files:
            path = "/" + str(Path(folder, name).relative_to(upper))
            kind = _kind(Path(folder, name), Path(spec.rootfs + path))
            if not (kind == ADDED and path in MOUNT_POINTS):
                found.append({"Path": path, "Kind": kind})
    return sorted(found, key=lambda change: str(change["Path"])) or None


def size(spec: Spec) -> int:
    """Bytes of what the container's layer holds, a file of several names once; 0 where it has none."""
    found: dict[tuple[int, int], int] = {}
    for folder, _, files in os.walk(f"{spec.layer}/upper") if spec.layer else ():
        for name in files:
            try:
                status = Path(folder, name).lstat()
            except FileNotFoundError:  # the container is at work
                continue
            if not stat.S_ISCHR(status.st_mode):
                found[status.st_dev, status.st_ino] = status.st_size
    return sum(found.values())


def _kind(upper: Path, lower: Path) -> int:
    status = upper.lstat()
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:  # a whiteout
        return DELETED
    return MODIFIED if os.path.lexists(lower) else ADDED

"""pause and unpause: the cgroup freezer, version 2 (cgroup.freeze) or 1 (freezer.state); cgroups(7).

A container gets its cgroup when it is paused for the first time: making one for each would double the time of a run.
Its processes are found by their pid namespace, and moved until no new one turns up.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from lab.errors import MissingFeature

GROUP = "loginuid-lab"


def freeze(container_id: str, pid: int) -> None:
    """Stop every process of the container whose first process is pid. Raises MissingFeature without a freezer."""
    folder = _folder(container_id)
    if folder is None:
        raise MissingFeature("this kernel has no cgroup freezer mounted", "mount cgroup2 on /sys/fs/cgroup")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        moved: set[int] = set()
        while new := set(processes(pid)) - moved:
            for number in new:
                with contextlib.suppress(ProcessLookupError):
                    (folder / "cgroup.procs").write_text(str(number))
            moved |= new
        _set(folder, True)
    except OSError as error:
        raise MissingFeature(f"cannot freeze: {error.strerror}", f"see {folder}") from None


def thaw(container_id: str) -> None:
    """Let them go on."""
    folder = _folder(container_id)
    if folder and folder.is_dir():
        _set(folder, False)


def forget(container_id: str) -> None:
    """Remove the cgroup of a container that has ended; the last of those takes their common parent along."""
    folder = _folder(container_id)
    if folder and folder.is_dir():
        with contextlib.suppress(OSError):
            _set(folder, False)
            folder.rmdir()
            folder.parent.rmdir()


def processes(pid: int) -> list[int]:
    """The pids, in our namespace, of all processes in pid's pid namespace."""
    try:
        namespace = Path(f"/proc/{pid}/ns/pid").readlink()
    except OSError:
        return []
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208 - ten times as fast, and there may be thousands
        if name.isdigit():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{name}/ns/pid").readlink() == namespace:
                    found.append(int(name))
    return sorted(found)


def _folder(container_id: str) -> Path | None:
    for root in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/freezer"), Path("/sys/fs/cgroup/unified")):
        if (root / "cgroup.controllers").exists() or (root / "tasks").exists():
            return root / GROUP / container_id
    return None


def _set(folder: Path, frozen: bool) -> None:
    modern = folder / "cgroup.freeze"
    if modern.exists():
        modern.write_text("1" if frozen else "0")
    else:
        (folder / "freezer.state").write_text("FROZEN" if frozen else "THAWED")

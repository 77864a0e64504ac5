"""A cgroup for each container: it limits what the container uses, and names all its processes; cgroups(7).

    version 2   /sys/fs/cgroup/PATH                            membership, cgroup.kill, cgroup.freeze, and all limits
    hybrid      /sys/fs/cgroup/unified/PATH                    the same, but the limits are in version 1:
    version 1   /sys/fs/cgroup/{pids,memory,cpu,cpuset,freezer}/PATH

PATH lies in the engine's cgroup, so for systemd the container stays in the unit or session of the engine. Only a
container with limits stands at the top, since version 2 gives no controller to the children of a cgroup that has
processes itself; labd's unit has room for both (daemon.own_cgroup). --cgroup-parent names another place for either.
Like docker, the lab leaves such a parent there.

A process enters at its birth, by CLONE_INTO_CGROUP of clone3(2): moving it later would stall every fork of the machine
for an RCU grace period. Version 1 has no such flag: there the child moves itself, and only if it has limits.
"""

from __future__ import annotations

import errno
import os
import time

from lab.errors import MissingFeature, NotImplementedHere
from lab.runtime import cgroup_limits
from lab.signals import SIGKILL
from lab.spec import PRIVATE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lab.resources import Resources
    from lab.spec import Spec

MOUNT, NAME, SUPERVISOR = "/sys/fs/cgroup", "loginuid-lab-", "lab-supervisor"
CONTROLLERS = tuple(cgroup_limits.CONTROLLERS)
REMOVE_SECONDS, SWEEP_SECONDS = 2.0, 60.0


def version_2() -> str:
    """The directory where cgroup version 2 is mounted; "" if it is not mounted."""
    return next((root for root in (MOUNT, f"{MOUNT}/unified") if os.path.exists(f"{root}/cgroup.controllers")), "")


def available() -> set[str]:
    """The CONTROLLERS that this machine has, in either version."""
    try:
        with open(f"{version_2()}/cgroup.controllers", encoding="ascii") as file:
            found = set(file.read().split())
    except FileNotFoundError:
        found = set()
    return {name for name in CONTROLLERS if name in found or os.path.exists(f"{MOUNT}/{name}/tasks")}


def path(container_id: str, spec: Spec) -> str:
    """PATH for a container that the calling process is about to make; "" if it may not make a cgroup."""
    if os.geteuid() != 0:
        return ""
    name = f"/{NAME}{container_id}"
    if spec.cgroup_parent:
        return f"{spec.cgroup_parent}{name}"
    own = own_path()
    home = _home(own)
    return name if home == own and cgroup_limits.needed(spec.resources) else f"{home.rstrip('/')}{name}"


def own_path() -> str:
    """The path of the calling process's cgroup in version 2; cgroups(7), "/proc/PID/cgroup"."""
    own = next((line for line in read_file("/proc/self/cgroup").split("\n") if line.startswith("0::")), "0::/")
    return own.removeprefix("0::")


def _home(own: str) -> str:
    """Where an engine in that cgroup makes its containers': in the same one, or in the one above its supervisor's."""
    return own.removesuffix(f"/{SUPERVISOR}")


def check(spec: Spec) -> None:
    """Raises MissingFeature for a limit that this machine has no controller for."""
    wanted = cgroup_limits.needed(spec.resources)
    missing = sorted(set(wanted) - available()) if wanted else []  # a run without limits saves the look
    if missing:
        raise MissingFeature(
            f"this machine has no cgroup controller for {', '.join(missing)}",
            "boot with cgroup version 2 (systemd.unified_cgroup_hierarchy=1), or leave the limit out",
        )
    if "memory_swappiness" in spec.resources and not os.path.exists(f"{MOUNT}/memory/memory.swappiness"):
        raise NotImplementedHere(
            "cgroup version 2, which this machine has, knows no swappiness of a container",
            "leave --memory-swappiness out; --memory-swap limits the swap",
        )


def create(spec: Spec) -> int:
    """Make spec's cgroup with its limits; returns its descriptor for clone3(2), or -1 if the process must join() it.

    Raises MissingFeature if the cgroup cannot be made and the container needs one.
    """
    wanted, root = cgroup_limits.needed(spec.resources), version_2()
    try:
        enable(root, os.path.dirname(spec.cgroup), wanted)
        for folder in folders(spec.cgroup, wanted):
            if spec.cgroup_parent:
                os.makedirs(os.path.dirname(folder), exist_ok=True)
            _make(folder)
        limit(spec.cgroup, spec.resources)
        return directory(spec)
    except OSError as error:
        if not (wanted or is_needed(spec)) and error.errno in (errno.EROFS, errno.EACCES, errno.ENOENT):
            return -1  # as in a container of another engine
        remove(spec.cgroup)
        raise MissingFeature(
            f"cannot make the container's cgroup: {error.filename}: {error.strerror}",
            "leave limits, --pid, --cgroupns and --cgroup-parent out, or give the engine a writable /sys/fs/cgroup",
        ) from None


def is_needed(spec: Spec) -> bool:
    """Whether a container without limits needs a cgroup, too.

    In a pid namespace that it shares, its processes can be found and ended by nothing else.
    """
    return spec.pid != PRIVATE or spec.cgroupns == PRIVATE or bool(spec.cgroup_parent)


def limit(path: str, resources: Resources) -> None:
    """Write these limits into a container's cgroup. Raises OSError, with the file's name."""
    root = version_2()
    for controller in cgroup_limits.needed(resources):
        folder = place(root, controller, path)
        modern = os.path.exists(f"{folder}/cgroup.controllers")
        if controller == "cpuset" and not modern:
            _fill_cpuset(folder)
        for name, text in cgroup_limits.files(controller, resources, modern=modern):
            if not name.endswith("?") or os.path.exists(f"{folder}/{name[:-1]}"):
                write_file(f"{folder}/{name.removesuffix('?')}", text)


def _fill_cpuset(folder: str) -> None:
    """Version 1 starts both sets empty, and takes no process then; cpuset(7)."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if not read_file(f"{folder}/{name}").strip():
            write_file(f"{folder}/{name}", read_file(f"{os.path.dirname(folder)}/{name}").strip())


def _make(folder: str) -> None:
    try:
        os.mkdir(folder)
    except FileExistsError:  # left by the container's last run, whose engine was killed
        until(lambda: _removed(folder))
        os.mkdir(folder)


def directory(spec: Spec) -> int:
    """The descriptor of a running container's cgroup for clone3(2), or -1 if the process must join() it."""
    if not spec.cgroup:
        return -1
    try:
        return os.open(f"{version_2()}{spec.cgroup}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1


def join(spec: Spec, entered: bool) -> None:
    """Move the calling process into those cgroups that clone3(2) has not put it in; entered: it is in version 2's."""
    tracked = f"{version_2()}{spec.cgroup}"
    for folder in folders(spec.cgroup, cgroup_limits.needed(spec.resources)):
        if not (entered and folder == tracked) and os.path.isdir(folder):
            write_file(f"{folder}/cgroup.procs", "0")


def folders(path: str, controllers: Iterable[str] = (*CONTROLLERS, "freezer")) -> list[str]:
    """The directories of a container's cgroup: the one that tracks its processes first, then those of version 1."""
    root = version_2()
    tracking = place(root, "freezer", path)
    limited = [place(root, controller, path) for controller in controllers]
    return list(dict.fromkeys([tracking, *limited]))


def processes(path: str) -> list[int]:
    """The pids of all processes in the cgroup and in those below it."""
    found = list[int]()
    for folder, _, _ in os.walk(folders(path, ())[0]):
        try:
            with open(f"{folder}/cgroup.procs", encoding="ascii") as file:
                found += [int(line) for line in file]
        except OSError:
            pass  # the cgroup has just been removed
    return sorted(found)


def remove(path: str) -> bool:
    """End what still runs in the cgroup and remove it. Returns whether the memory limit had killed a process."""
    if not os.path.basename(path).startswith(NAME):
        return False  # the container has no cgroup
    oom = out_of_memory(path)
    for folder in folders(path):
        if os.path.isdir(folder):
            until(lambda folder=folder: _removed(folder))  # type: ignore[misc]
    return oom


def sweep() -> None:
    """Remove empty cgroups that killed engines have left; not the newest, which a process may be about to enter."""
    roots = {
        f"{version_2()}{_home(own_path())}",
        version_2(),
        *(f"{MOUNT}/{name}" for name in (*CONTROLLERS, "freezer")),
    }
    for root in filter(os.path.isdir, roots):
        for entry in os.scandir(root):
            if not entry.name.startswith(NAME):
                continue
            try:
                if time.time() - entry.stat().st_ctime > SWEEP_SECONDS:
                    os.rmdir(entry.path)
            except OSError:
                pass  # a container is in it, or another process has removed it


def out_of_memory(path: str) -> bool:
    """Whether the kernel has killed a process at the memory limit: memory.events, memory.oom_control."""
    folder = place(version_2(), "memory", path)
    events = read_file(f"{folder}/memory.events") or read_file(f"{folder}/memory.oom_control")
    return any(line.startswith("oom_kill ") and not line.endswith(" 0") for line in events.splitlines())


def place(root: str, controller: str, path: str) -> str:
    """The container's directory in the hierarchy of this controller, version 1's or version 2's."""
    if root and (controller == "freezer" or not os.path.exists(f"{MOUNT}/{controller}/tasks")):
        return f"{root}{path}"
    return f"{MOUNT}/{controller}{path}"


def enable(root: str, parent: str, wanted: Iterable[str]) -> None:
    """Enable controllers from the top down to parent: in version 2 a cgroup has those that the one above passes on.

    Raises OSError, with the file's name.
    """
    missing = [name for name in wanted if root and not os.path.exists(f"{MOUNT}/{name}/tasks")]
    if not missing:
        return
    folder = root
    for part in ("", *parent.split("/")[1:]):
        folder = f"{folder}/{part}" if part else folder
        os.makedirs(folder, exist_ok=True)
        enabled = read_file(f"{folder}/cgroup.subtree_control").split()
        for name in missing:
            if name not in enabled:
                write_file(f"{folder}/cgroup.subtree_control", f"+{name}")


def _removed(folder: str) -> bool:
    """Try once to kill the processes of a cgroup and to remove it with those below; False if it is still busy."""
    _kill(folder)
    try:
        for inner, _, _ in os.walk(folder, topdown=False):
            os.rmdir(inner)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno == errno.EBUSY:
            return False
        raise
    return True


def _kill(folder: str) -> None:
    if os.path.exists(f"{folder}/cgroup.kill"):
        write_file(f"{folder}/cgroup.kill", "1")
        return
    if os.path.exists(f"{folder}/freezer.state"):
        write_file(f"{folder}/freezer.state", "THAWED")  # a frozen process takes SIGKILL only once it is thawed
    for pid in map(int, read_file(f"{folder}/cgroup.procs").split()):
        if pid:  # 0: a process of another pid namespace; for kill(2) it would mean our process group
            try:
                os.kill(pid, SIGKILL)
            except ProcessLookupError:
                pass


def until(done: Callable[[], bool]) -> None:
    """Try every millisecond, for REMOVE_SECONDS at most: a process in uninterruptible sleep cannot be killed now."""
    end = time.monotonic() + REMOVE_SECONDS
    while not done() and time.monotonic() < end:
        time.sleep(0.001)


def read_file(path: str) -> str:
    """The text of a cgroup's file; "" if it is missing or cannot be read.

    A cgroup's name may have any bytes but "/" and a line feed.
    """
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            return file.read()
    except OSError:
        return ""


def write_file(path: str, text: str) -> None:
    """Write a cgroup's file by one write(2), as the kernel wants it. Raises OSError, with the file's name."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(fd)

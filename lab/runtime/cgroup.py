"""A cgroup for each container: it limits what the container uses, and names all its processes; cgroups(7).

    version 2   /sys/fs/cgroup/PATH                            membership, cgroup.kill, cgroup.freeze, and all limits
    hybrid      /sys/fs/cgroup/unified/PATH                    the same, but the limits are in version 1:
    version 1   /sys/fs/cgroup/{pids,memory,cpu,cpuset,freezer}/PATH

PATH lies in the engine's cgroup, so for systemd the container stays in the unit or session of the engine. Only a
container with limits stands at the top, since version 2 gives no controller to the children of a cgroup that has
processes itself. --cgroup-parent names another place for either. Like docker, the lab leaves such a parent there.

A process enters at its birth, by CLONE_INTO_CGROUP of clone3(2): moving it later would stall every fork of the machine
for an RCU grace period. Version 1 has no such flag: there the child moves itself, and only if it has limits.
"""

from __future__ import annotations

import errno
import os
import time

from lab.errors import Conflict, MissingFeature, NotImplementedHere, NotRunning
from lab.runtime import cgroup_limits
from lab.signals import SIGKILL
from lab.spec import PRIVATE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lab.resources import Resources
    from lab.spec import Spec

MOUNT, NAME = "/sys/fs/cgroup", "loginuid-lab-"
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
    return name if cgroup_limits.needed(spec.resources) else f"{_own().rstrip('/')}{name}"


def _own() -> str:
    """The path of the calling process's cgroup in version 2; cgroups(7), "/proc/PID/cgroup"."""
    own = next((line for line in _read("/proc/self/cgroup").splitlines() if line.startswith("0::")), "0::/")
    return own.removeprefix("0::")


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
        _enable(root, os.path.dirname(spec.cgroup), wanted)
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
        folder = _folder(root, controller, path)
        modern = os.path.exists(f"{folder}/cgroup.controllers")
        if controller == "cpuset" and not modern:
            _fill_cpuset(folder)
        for name, text in cgroup_limits.files(controller, resources, modern=modern):
            if not name.endswith("?") or os.path.exists(f"{folder}/{name[:-1]}"):
                _write(f"{folder}/{name.removesuffix('?')}", text)


def update(path: str, resources: Resources) -> None:
    """Give a running container other limits. Raises Conflict if it lies in its engine's cgroup, OSError.

    In version 1, a controller that it did not need before has all its processes enter.
    """
    wanted = cgroup_limits.needed(resources)
    if os.path.dirname(path) == _own() != "/" and wanted:
        raise Conflict(
            "the container was started without limits, in its engine's cgroup, which cannot pass on controllers",
            "stop it, update it, and start it again",
        )
    _enable(version_2(), os.path.dirname(path), wanted)
    added = [folder for folder in folders(path, wanted) if not os.path.isdir(folder)]
    for folder in added:
        os.mkdir(folder)
    limit(path, resources)
    for folder in added:
        _until(lambda folder=folder: _all_entered(path, folder))  # type: ignore[misc]


def _all_entered(path: str, folder: str) -> bool:
    """Move the container's processes into one more directory; False if any has forked meanwhile."""
    inside = set(_read(f"{folder}/cgroup.procs").split())
    late = [pid for pid in map(str, processes(path)) if pid not in inside]
    for pid in late:
        try:
            _write(f"{folder}/cgroup.procs", pid)
        except ProcessLookupError:
            pass
    return not late


def _fill_cpuset(folder: str) -> None:
    """Version 1 starts both sets empty, and takes no process then; cpuset(7)."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if not _read(f"{folder}/{name}").strip():
            _write(f"{folder}/{name}", _read(f"{os.path.dirname(folder)}/{name}").strip())


def _make(folder: str) -> None:
    try:
        os.mkdir(folder)
    except FileExistsError:  # left by the container's last run, whose engine was killed
        _until(lambda: _removed(folder))
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
            _write(f"{folder}/cgroup.procs", "0")


def folders(path: str, controllers: Iterable[str] = (*CONTROLLERS, "freezer")) -> list[str]:
    """The directories of a container's cgroup: the one that tracks its processes first, then those of version 1."""
    root = version_2()
    tracking = _folder(root, "freezer", path)
    limited = [_folder(root, controller, path) for controller in controllers]
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


def freeze(path: str, frozen: bool) -> None:
    """Stop or continue every process.

    Raises NotRunning for a container that has just ended, MissingFeature on a machine without cgroups, OSError.
    """
    folder = folders(path, ())[0]
    if not os.path.isdir(os.path.dirname(folder)):
        raise MissingFeature(
            "this machine has no cgroup freezer", "mount cgroup2 on /sys/fs/cgroup, then start the container again"
        )
    if not os.path.isdir(folder):
        raise NotRunning("the container has just ended")
    if os.path.exists(f"{folder}/cgroup.freeze"):
        _write(f"{folder}/cgroup.freeze", "1" if frozen else "0")
        _until(lambda: f"frozen {int(frozen)}" in _read(f"{folder}/cgroup.events"))
    else:
        _write(f"{folder}/freezer.state", "FROZEN" if frozen else "THAWED")
        _until(lambda: _read(f"{folder}/freezer.state").strip() == ("FROZEN" if frozen else "THAWED"))


def thaw(path: str) -> None:
    """Let processes that have been killed come to their end: version 1 holds a frozen one until it is thawed.

    Does nothing if they have ended already, and the cgroup with them.
    """
    folder = folders(path, ())[0]
    for name, word in (("cgroup.freeze", "0"), ("freezer.state", "THAWED")):
        try:
            if os.path.exists(f"{folder}/{name}"):
                _write(f"{folder}/{name}", word)
        except OSError:
            pass  # the cgroup has just been removed


def remove(path: str) -> bool:
    """End what still runs in the cgroup and remove it. Returns whether the memory limit had killed a process."""
    if not os.path.basename(path).startswith(NAME):
        return False  # the container has no cgroup
    oom = out_of_memory(path)
    for folder in folders(path):
        if os.path.isdir(folder):
            _until(lambda folder=folder: _removed(folder))  # type: ignore[misc]
    return oom


def sweep() -> None:
    """Remove empty cgroups that killed engines have left; not the newest, which a process may be about to enter."""
    roots = {f"{version_2()}{_own()}", version_2(), *(f"{MOUNT}/{name}" for name in (*CONTROLLERS, "freezer"))}
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
    folder = _folder(version_2(), "memory", path)
    events = _read(f"{folder}/memory.events") or _read(f"{folder}/memory.oom_control")
    return any(line.startswith("oom_kill ") and not line.endswith(" 0") for line in events.splitlines())


def usage(path: str) -> tuple[int | None, int | None]:
    """(CPU time in ns, memory in bytes); None where no controller counts it."""
    root = version_2()
    cpu = dict(line.split() for line in _read(f"{root}{path}/cpu.stat").splitlines()).get("usage_usec")
    folder = _folder(root, "memory", path)
    memory = _read(f"{folder}/memory.current") or _read(f"{folder}/memory.usage_in_bytes")
    return int(cpu) * 1000 if cpu else None, int(memory) if memory else None


def _folder(root: str, controller: str, path: str) -> str:
    """The container's directory in the hierarchy of this controller, version 1's or version 2's."""
    if root and (controller == "freezer" or not os.path.exists(f"{MOUNT}/{controller}/tasks")):
        return f"{root}{path}"
    return f"{MOUNT}/{controller}{path}"


def _enable(root: str, parent: str, wanted: Iterable[str]) -> None:
    """Enable controllers from the top down to parent: in version 2 a cgroup has those that the one above passes on."""
    missing = [name for name in wanted if root and not os.path.exists(f"{MOUNT}/{name}/tasks")]
    if not missing:
        return
    folder = root
    for part in ("", *parent.split("/")[1:]):
        folder = f"{folder}/{part}" if part else folder
        os.makedirs(folder, exist_ok=True)
        enabled = _read(f"{folder}/cgroup.subtree_control").split()
        for name in missing:
            if name not in enabled:
                _write(f"{folder}/cgroup.subtree_control", f"+{name}")


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
        _write(f"{folder}/cgroup.kill", "1")
        return
    if os.path.exists(f"{folder}/freezer.state"):
        _write(f"{folder}/freezer.state", "THAWED")  # a frozen process takes SIGKILL only once it is thawed
    for pid in map(int, _read(f"{folder}/cgroup.procs").split()):
        if pid:  # 0: a process of another pid namespace; for kill(2) it would mean our process group
            try:
                os.kill(pid, SIGKILL)
            except ProcessLookupError:
                pass


def _until(done: Callable[[], bool]) -> None:
    """Try every millisecond, for REMOVE_SECONDS at most: a process in uninterruptible sleep cannot be killed now."""
    end = time.monotonic() + REMOVE_SECONDS
    while not done() and time.monotonic() < end:
        time.sleep(0.001)


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(fd)

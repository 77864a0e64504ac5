"""One cgroup a container: limits on what it uses, and one handle for all its processes; cgroups(7).

    version 2   /sys/fs/cgroup/PATH                            membership, cgroup.kill, cgroup.freeze, and all limits
    hybrid      /sys/fs/cgroup/unified/PATH                    the same, but the limits are those of version 1:
    version 1   /sys/fs/cgroup/{pids,memory,cpu,freezer}/PATH

PATH lies in the engine's own cgroup: that, too, is inherited, and systemd goes on to count the container as part of
the unit or session that the engine is part of. Only a container with limits stands at the top, since version 2 gives
no controller to the children of a cgroup that itself has processes.

A process enters at its birth, by CLONE_INTO_CGROUP of clone3(2): to move one later would stall every fork of the
machine for an RCU grace period. Version 1 has no such flag: there the child moves itself, and only if it is limited.
"""

from __future__ import annotations

import errno
import os
import time

from lab.errors import MissingFeature, NotRunning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.spec import Spec

MOUNT, NAME = "/sys/fs/cgroup", "loginuid-lab-"
CONTROLLERS = ("pids", "memory", "cpu")
CPU_PERIOD = 100_000  # microseconds, the kernel's default
REMOVE_SECONDS, SWEEP_SECONDS = 2.0, 60.0


def version_2() -> str:
    """Where cgroup version 2 is mounted, "" if nowhere."""
    return next((root for root in (MOUNT, f"{MOUNT}/unified") if os.path.exists(f"{root}/cgroup.controllers")), "")


def available() -> set[str]:
    """Those of CONTROLLERS that this machine has, in either version."""
    try:
        with open(f"{version_2()}/cgroup.controllers", encoding="ascii") as file:
            found = set(file.read().split())
    except FileNotFoundError:
        found = set()
    return {name for name in CONTROLLERS if name in found or os.path.exists(f"{MOUNT}/{name}/tasks")}


def path(container_id: str, spec: Spec) -> str:
    """PATH for a container that the calling process is about to make, "" if it may make none."""
    if os.geteuid() != 0:
        return ""
    name = f"/{NAME}{container_id}"
    return name if limits(spec) else f"{_own().rstrip('/')}{name}"


def _own() -> str:
    """The calling process's cgroup of version 2; cgroups(7), "/proc/PID/cgroup"."""
    own = next((line for line in _read("/proc/self/cgroup").splitlines() if line.startswith("0::")), "0::/")
    return own.removeprefix("0::")


def limits(spec: Spec) -> dict[str, int]:
    """The limits that spec asks for, by controller: processes, bytes, microseconds of CPU_PERIOD."""
    quota = spec.nano_cpus * CPU_PERIOD // 10**9
    wanted = {"pids": spec.pids_limit, "memory": spec.memory, "cpu": quota}
    return {name: value for name, value in wanted.items() if value > 0}


def check(spec: Spec) -> None:
    """Raises MissingFeature for a limit that cannot be kept on this machine."""
    wanted = limits(spec).keys()
    missing = sorted(wanted - available()) if wanted else []  # to look costs a run without limits time
    if missing:
        raise MissingFeature(
            f"this machine has no cgroup controller for {', '.join(missing)}",
            "boot with cgroup version 2 (systemd.unified_cgroup_hierarchy=1), or leave the limit away",
        )


def create(spec: Spec) -> int:
    """Make spec's cgroup with its limits; returns its descriptor for clone3(2), or -1 if a process must join().

    Raises MissingFeature if there are limits and the cgroup cannot be made.
    """
    wanted, root = limits(spec), version_2()
    try:
        _enable(root, wanted)
        for folder in folders(spec.cgroup, wanted):
            _make(folder)
        for controller, value in wanted.items():
            _limit(_folder(root, controller, spec.cgroup), value, controller)
        return directory(spec)
    except OSError as error:
        if not wanted and error.errno in (errno.EROFS, errno.EACCES, errno.ENOENT):
            return -1  # as in a container of another engine: there is nothing to keep, so go on without
        remove(spec.cgroup)
        raise MissingFeature(f"cannot limit the container: {error.filename}: {error.strerror}") from None


def _make(folder: str) -> None:
    try:
        os.mkdir(folder)
    except FileExistsError:  # of the container's last run, whose engine was killed
        _until(lambda: _removed(folder))
        os.mkdir(folder)


def directory(spec: Spec) -> int:
    """The descriptor of a running container's cgroup for clone3(2), or -1 if a process must join()."""
    if not spec.cgroup:
        return -1
    try:
        return os.open(f"{version_2()}{spec.cgroup}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1


def join(spec: Spec, entered: bool) -> None:
    """Move the calling process where clone3(2) has not put it: entered says that it is in version 2's cgroup."""
    tracked = f"{version_2()}{spec.cgroup}"
    for folder in folders(spec.cgroup, limits(spec)):
        if not (entered and folder == tracked) and os.path.isdir(folder):
            _write(f"{folder}/cgroup.procs", "0")


def folders(path: str, controllers: dict[str, int] | tuple[str, ...] = (*CONTROLLERS, "freezer")) -> list[str]:
    """The directories of a container's cgroup: the one that tracks its processes first, then those of version 1."""
    root = version_2()
    tracking = _folder(root, "freezer", path)
    limited = [_folder(root, controller, path) for controller in controllers]
    return list(dict.fromkeys([tracking, *limited]))


def processes(path: str) -> list[int]:
    """The pids of all its processes, those in cgroups below it included."""
    found = list[int]()
    for folder, _, _ in os.walk(folders(path, ())[0]):
        try:
            with open(f"{folder}/cgroup.procs", encoding="ascii") as file:
                found += [int(line) for line in file]
        except OSError:
            pass  # it has just been removed
    return sorted(found)


def freeze(path: str, frozen: bool) -> None:
    """Stop or continue every process.

    Raises NotRunning for a container that has just ended, MissingFeature on a machine without cgroups, OSError.
    """
    folder = folders(path, ())[0]
    if not os.path.isdir(os.path.dirname(folder)):
        raise MissingFeature(
            "this machine has no cgroup freezer", "mount cgroup2 on /sys/fs/cgroup, then start it again"
        )
    if not os.path.isdir(folder):
        raise NotRunning("the container has just ended")
    if os.path.exists(f"{folder}/cgroup.freeze"):
        _write(f"{folder}/cgroup.freeze", "1" if frozen else "0")
        _until(lambda: f"frozen {int(frozen)}" in _read(f"{folder}/cgroup.events"))
    else:
        _write(f"{folder}/freezer.state", "FROZEN" if frozen else "THAWED")
        _until(lambda: _read(f"{folder}/freezer.state").strip() == ("FROZEN" if frozen else "THAWED"))


def remove(path: str) -> bool:
    """End what still runs in the cgroup and remove it. Returns whether the memory limit had killed a process."""
    if not os.path.basename(path).startswith(NAME):
        return False  # the container has none
    oom = out_of_memory(path)
    for folder in folders(path):
        if os.path.isdir(folder):
            _until(lambda folder=folder: _removed(folder))  # type: ignore[misc]
    return oom


def sweep() -> None:
    """Remove what engines left that were killed: our cgroups without a process, if none can be on its way into them."""
    roots = {f"{version_2()}{_own()}", version_2(), *(f"{MOUNT}/{name}" for name in (*CONTROLLERS, "freezer"))}
    for root in filter(os.path.isdir, roots):
        for entry in os.scandir(root):
            if entry.name.startswith(NAME) and time.time() - entry.stat().st_ctime > SWEEP_SECONDS:
                try:
                    os.rmdir(entry.path)
                except OSError:
                    pass  # a container is in it


def out_of_memory(path: str) -> bool:
    """Whether the kernel has killed a process of it for want of memory: memory.events, memory.oom_control."""
    folder = _folder(version_2(), "memory", path)
    events = _read(f"{folder}/memory.events") or _read(f"{folder}/memory.oom_control")
    return any(line.startswith("oom_kill ") and not line.endswith(" 0") for line in events.splitlines())


def usage(path: str) -> tuple[int | None, int | None]:
    """(CPU time in ns, memory in bytes), None for what no controller counts."""
    root = version_2()
    cpu = dict(line.split() for line in _read(f"{root}{path}/cpu.stat").splitlines()).get("usage_usec")
    folder = _folder(root, "memory", path)
    memory = _read(f"{folder}/memory.current") or _read(f"{folder}/memory.usage_in_bytes")
    return int(cpu) * 1000 if cpu else None, int(memory) if memory else None


def _folder(root: str, controller: str, path: str) -> str:
    """The directory where this controller counts the container: version 1's hierarchy has it, or version 2's."""
    if root and (controller == "freezer" or not os.path.exists(f"{MOUNT}/{controller}/tasks")):
        return f"{root}{path}"
    return f"{MOUNT}/{controller}{path}"


def _enable(root: str, wanted: dict[str, int]) -> None:
    """Version 2 gives a controller to a cgroup only if the one above passes it on: cgroup.subtree_control."""
    here = [name for name in wanted if root and not os.path.exists(f"{MOUNT}/{name}/tasks")]
    if not here:
        return
    given = _read(f"{root}/cgroup.subtree_control").split()
    for name in here:
        if name not in given:
            _write(f"{root}/cgroup.subtree_control", f"+{name}")


def _limit(folder: str, value: int, controller: str) -> None:
    modern = os.path.exists(f"{folder}/cgroup.controllers")
    if controller == "pids":
        _write(f"{folder}/pids.max", str(value))
    elif controller == "cpu" and modern:
        _write(f"{folder}/cpu.max", f"{value} {CPU_PERIOD}")
    elif controller == "cpu":
        _write(f"{folder}/cpu.cfs_period_us", str(CPU_PERIOD))
        _write(f"{folder}/cpu.cfs_quota_us", str(value))
    else:  # as much swap as memory, docker's default
        memory, swap = ("memory.max", "memory.swap.max") if modern else (
            "memory.limit_in_bytes", "memory.memsw.limit_in_bytes",
        )  # fmt: skip
        _write(f"{folder}/{memory}", str(value))
        if os.path.exists(f"{folder}/{swap}"):
            _write(f"{folder}/{swap}", str(value if modern else 2 * value))


def _removed(folder: str) -> bool:
    """One try to end what runs in a cgroup and to remove it with those below it."""
    _kill(folder)
    try:
        for below, _, _ in os.walk(folder, topdown=False):
            os.rmdir(below)
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
        _write(f"{folder}/freezer.state", "THAWED")  # SIGKILL waits for that
    for pid in map(int, _read(f"{folder}/cgroup.procs").split()):
        if pid:  # 0 stands for a process in another pid namespace, and would mean our own group; kill(2)
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass


def _until(done: Callable[[], bool]) -> None:
    """Try again every millisecond, and give up after REMOVE_SECONDS: a process in uninterruptible sleep ends later."""
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

"""The limits of a container as the files of its cgroup: which controllers they need, and what is written there.

Version 2: Documentation/admin-guide/cgroup-v2.rst; version 1: Documentation/admin-guide/cgroup-v1/. The conversions
are runc's (libcontainer/cgroups), so that a limit means the same as under docker.
"""

from __future__ import annotations

from lab.resources import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lab.resources import Resources

    Files = list[tuple[str, str]]

# The keys of Resources that each controller is for.
CONTROLLERS = {
    "pids": ("pids_limit",),
    "memory": ("memory", "memory_swap", "memory_reservation", "memory_swappiness"),
    "cpu": ("nano_cpus", "cpu_shares", "cpu_period", "cpu_quota"),
    "cpuset": ("cpuset_cpus", "cpuset_mems"),
}
CPU_PERIOD = 100_000  # microseconds, the kernel's default


def needed(resources: Resources) -> list[str]:
    """The controllers that these limits need."""
    if not resources:
        return []
    return [name for name, keys in CONTROLLERS.items() if any(resources.get(key) for key in keys)]


def files(controller: str, resources: Resources, *, modern: bool) -> Files:
    """The files to write in a container's directory of this controller, in this order, with their texts.

    modern: the directory is of cgroup version 2. A file may be missing on this kernel if its name ends in "?".
    """
    if controller == "pids":
        return [("pids.max", str(resources["pids_limit"]))]
    if controller == "memory":
        return _memory_2(resources) if modern else _memory_1(resources)
    if controller == "cpu":
        return _cpu(resources, modern)
    return [(f"cpuset.{name}", str(value)) for name in ("cpus", "mems") if (value := resources.get(f"cpuset_{name}"))]


def _memory_2(resources: Resources) -> Files:
    memory, swap = number(resources, "memory"), number(resources, "memory_swap")
    # As much swap as memory is docker's default; docker counts both together, version 2 counts the swap alone.
    extra = "max" if swap < 0 else str(swap - memory if swap else memory)
    limits = [("memory.max", str(memory)), ("memory.swap.max?", extra)] if memory else []
    kept = number(resources, "memory_reservation")
    return [*limits, *([("memory.low", str(kept))] if kept else [])]


def _memory_1(resources: Resources) -> Files:
    memory, swap = number(resources, "memory"), number(resources, "memory_swap")
    # The limit of both may never be below that of memory, also not between two writes.
    both, limit = "memory.memsw.limit_in_bytes?", "memory.limit_in_bytes"
    limits = [(both, "-1"), (limit, str(memory)), (both, str(swap or 2 * memory))] if memory else []
    kept = number(resources, "memory_reservation")
    swappiness = resources.get("memory_swappiness", "")
    return [
        *limits,
        *([("memory.soft_limit_in_bytes", str(kept))] if kept else []),
        *([("memory.swappiness", str(swappiness))] if swappiness else []),
    ]


def _cpu(resources: Resources, modern: bool) -> Files:
    period = number(resources, "cpu_period") or CPU_PERIOD
    quota = number(resources, "nano_cpus") * period // 10**9 or number(resources, "cpu_quota")
    shares = number(resources, "cpu_shares")
    timed = quota > 0 or "cpu_period" in resources
    if modern:
        weight = 1 + (shares - 2) * 9999 // 262142
        return [
            *([("cpu.max", f"{quota if quota > 0 else 'max'} {period}")] if timed else []),
            *([("cpu.weight", str(weight))] if shares else []),
        ]
    return [
        *([("cpu.cfs_period_us", str(period)), ("cpu.cfs_quota_us", str(quota or -1))] if timed else []),
        *([("cpu.shares", str(shares))] if shares else []),
    ]

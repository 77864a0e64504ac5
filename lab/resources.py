"""How much a container may use: docker's options, the names of its API, and docker's own checks of the values."""

from __future__ import annotations

import os

from lab.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Resources = Mapping[str, int | str]

# The keys of Resources, by the fields of docker's HostConfig: bytes, 10**-9 of a processor, microseconds, and for the
# sets a list of numbers such as "0-2,5". 0 and "" are no limit; so is -1, of swap and of processes. A swappiness is a
# text, since "0" has a meaning; "-1" is no wish.
FIELDS = {
    "Memory": "memory",
    "MemorySwap": "memory_swap",
    "MemoryReservation": "memory_reservation",
    "MemorySwappiness": "memory_swappiness",
    "NanoCpus": "nano_cpus",
    "CpuShares": "cpu_shares",
    "CpuPeriod": "cpu_period",
    "CpuQuota": "cpu_quota",
    "CpusetCpus": "cpuset_cpus",
    "CpusetMems": "cpuset_mems",
    "PidsLimit": "pids_limit",
}
LEAST_MEMORY = 6 << 20  # bytes, as in Docker
SHARES = (2, 262144)  # cgroups(7), cpu.shares


def checked(resources: Resources) -> dict[str, int | str]:
    """What really limits, of these. Raises InvalidArgument, in docker's words."""
    found = {name: value for name, value in resources.items() if value}
    _check_memory(found)
    _check_processors(found)
    for name, folder in (("cpuset_cpus", "cpu"), ("cpuset_mems", "node")):
        if name in found:
            _check_set(str(found[name]), folder)
    if found.get("memory_swappiness") == "-1":
        del found["memory_swappiness"]
    if not 0 <= number(found, "memory_swappiness") <= 100:
        raise InvalidArgument(
            f"Invalid value: {found['memory_swappiness']}, valid memory swappiness range is 0-100",
            "leave it out, or -1",
        )
    if number(found, "pids_limit") < 0:
        del found["pids_limit"]
    if "cpu_shares" in found:
        found["cpu_shares"] = min(max(number(found, "cpu_shares"), SHARES[0]), SHARES[1])
    return found


def updated(old: Resources, changes: Resources) -> dict[str, int | str]:
    """The limits after `docker update`. Raises InvalidArgument."""
    memory, swap = number(changes, "memory"), number(old, "memory_swap")
    if 0 < swap < memory and "memory_swap" not in changes:
        raise InvalidArgument(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
            "give --memory-swap, too",
        )
    return checked({**old, **changes})


def number(resources: Resources, name: str) -> int:
    """A limit that is a number; 0 if there is none."""
    return int(resources.get(name, 0))


def _check_memory(found: Resources) -> None:
    memory, swap, kept = (number(found, name) for name in ("memory", "memory_swap", "memory_reservation"))
    if memory and memory < LEAST_MEMORY:
        raise InvalidArgument("Minimum memory limit allowed is 6MB", "give --memory 6m or more")
    if kept and kept < LEAST_MEMORY:
        raise InvalidArgument("Minimum memory reservation allowed is 6MB", "give --memory-reservation 6m or more")
    if swap < -1:
        raise InvalidArgument(f"invalid --memory-swap {swap}", "write bytes of memory and swap together, or -1")
    if swap and not memory:
        raise InvalidArgument(
            "You should always set the Memory limit when using Memoryswap limit, see usage", "give --memory, too"
        )
    if 0 < swap < memory:
        raise InvalidArgument(
            "Minimum memoryswap limit should be larger than memory limit, see usage",
            "--memory-swap counts memory and swap together",
        )
    if memory and kept > memory:
        raise InvalidArgument(
            "Minimum memory limit can not be less than memory reservation limit, see usage",
            "give --memory-reservation less than --memory",
        )


def _check_processors(found: Resources) -> None:
    cpus, period, quota = (number(found, name) for name in ("nano_cpus", "cpu_period", "cpu_quota"))
    for other, words in ((period, "CPU Period"), (quota, "CPU Quota")):
        if cpus and other:
            raise InvalidArgument(
                f"Conflicting options: Nano CPUs and {words} cannot both be set", "--cpus sets both of these"
            )
    most = len(os.sched_getaffinity(0))
    if cpus and not 10**7 <= cpus <= most * 10**9:
        raise InvalidArgument(
            f"range of CPUs is from 0.01 to {most}.00, as there are only {most} CPUs available",
            f"give --cpus a number from 0.01 to {most}",
        )
    if period and not 1000 <= period <= 10**6:
        raise InvalidArgument(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
            "give --cpu-period microseconds",
        )
    if 0 < quota < 1000:
        raise InvalidArgument("CPU cfs quota can not be less than 1ms (i.e. 1000)", "give --cpu-quota microseconds")


def _check_set(text: str, kind: str) -> None:
    """kind: "cpu" or "node", as the kernel names them in /sys/devices/system."""
    option, what = ("--cpuset-cpus", "CPUs") if kind == "cpu" else ("--cpuset-mems", "memory nodes")
    import re  # costly, and few runs get here

    listed = re.fullmatch(r"\d{1,6}(-\d{1,6})?(,\d{1,6}(-\d{1,6})?)*", text, re.ASCII)
    if not listed or not all(map(members, text.split(","))):
        raise InvalidArgument(f"invalid value {text[:40]!a} for {option}", "write numbers and ranges, such as 0-2,5")
    online = _online(kind)
    if not members(text) <= members(online):
        raise InvalidArgument(
            f"Requested {what} are not available - requested {text}, available: {online}",
            f"give {option} numbers of {online}",
        )


def members(text: str) -> set[int]:
    """The numbers of a list such as "0-2,5"; cpuset(7), "List format"."""
    found = set[int]()
    for part in text.split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), min(int(last or first), 1 << 16) + 1))
    return found


def _online(kind: str) -> str:
    try:
        with open(f"/sys/devices/system/{kind}/online", encoding="ascii") as file:
            return file.read().strip()
    except OSError:  # a kernel without NUMA has no nodes but the first
        return "0"

"""`docker stats`: what a container's cgroup uses. Without a controller the processes' figures are added up."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from daemon.containers import Container
from lab.resources import number
from lab.runtime import cgroup, cgroup_control
from lab.shown import rfc3339

TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
NOTHING = {"cpu_usage": {"total_usage": 0}, "system_cpu_usage": 0}
INTERVAL = 1.0  # seconds, as dockerd's


async def samples(container: Container, *, stream: bool, one_shot: bool) -> AsyncGenerator[dict[str, Any], None]:
    """A sample each second until the container is removed; without stream one, of two moments unless one_shot."""
    before: dict[str, Any] = {}
    if not stream and not one_shot:
        before = await asyncio.to_thread(_sample, container, before)
        await asyncio.sleep(INTERVAL)
    while not container.removal.done.done():
        sample = await asyncio.to_thread(_sample, container, before)
        yield sample
        if not stream:
            return
        before = sample
        await asyncio.sleep(INTERVAL)


def _sample(container: Container, before: dict[str, Any]) -> dict[str, Any]:
    pids = cgroup.processes(container.spec.cgroup) if container.running else []
    cpu, memory = cgroup_control.usage(container.spec.cgroup)
    if cpu is None:
        cpu = sum(_ticks(pid) for pid in pids) * TICK_NS
    if memory is None:
        memory = sum(_resident(pid) for pid in pids)
    limit = number(container.spec.resources, "pids_limit")
    pids_stats = {"current": len(pids), **({"limit": limit} if limit else {})}
    memory_limit = number(container.spec.resources, "memory") or PAGE * os.sysconf("SC_PHYS_PAGES")
    return {
        "id": container.id, "name": f"/{container.name}", "read": rfc3339(time.time_ns()),
        "preread": before.get("read", rfc3339(0)), "num_procs": 0, "storage_stats": {}, "blkio_stats": {},
        "pids_stats": pids_stats if pids else {},
        "cpu_stats": _cpu(cpu), "precpu_stats": before.get("cpu_stats", NOTHING),
        "memory_stats": {"usage": memory, "stats": {}, "limit": memory_limit} if pids else {},
    }  # fmt: skip


def _cpu(used: int) -> dict[str, Any]:
    """CPU times in ns: `used` by the container, and all of the machine's."""
    machine = sum(int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9])
    return {
        "cpu_usage": {"total_usage": used, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
        "system_cpu_usage": machine * TICK_NS, "online_cpus": os.cpu_count(),
        "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
    }  # fmt: skip


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except OSError:
        return 0

"""`docker stats`: what a container's processes use, summed up from /proc; proc_pid_stat(5)."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from daemon.containers import Container
from daemon.freezer import processes
from daemon.logs import rfc3339

TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
INTERVAL = 1.0  # seconds, as dockerd's


async def samples(container: Container, *, stream: bool, one_shot: bool) -> AsyncGenerator[dict[str, Any], None]:
    """One sample a second while the container is known; a single one holds two measurements, unless one_shot."""
    before: dict[str, Any] = {"cpu_usage": {"total_usage": 0}, "system_cpu_usage": 0}
    if not stream and not one_shot:
        before = await asyncio.to_thread(_cpu, container.pid)
        await asyncio.sleep(INTERVAL)
    while not container.removed.done():
        sample = await asyncio.to_thread(_sample, container, before)
        yield sample
        if not stream:
            return
        before = sample["cpu_stats"]
        await asyncio.sleep(INTERVAL)


def _sample(container: Container, before: dict[str, Any]) -> dict[str, Any]:
    pids = processes(container.pid)
    return {
        "id": container.id, "name": f"/{container.name}", "read": rfc3339(time.time_ns()),
        "preread": rfc3339(time.time_ns()), "num_procs": 0, "storage_stats": {}, "blkio_stats": {},
        "pids_stats": {"current": len(pids)} if pids else {},
        "cpu_stats": _cpu(container.pid), "precpu_stats": before,
        "memory_stats": {
            "usage": sum(_resident(pid) for pid in pids), "stats": {}, "limit": PAGE * os.sysconf("SC_PHYS_PAGES"),
        } if pids else {},
    }  # fmt: skip


def _cpu(pid: int) -> dict[str, Any]:
    """CPU times in ns: of the container's processes, of the whole machine."""
    ticks = sum(_ticks(number) for number in processes(pid))
    machine = sum(int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9])
    return {
        "cpu_usage": {"total_usage": ticks * TICK_NS, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
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

"""1,000 containers, 32 at a time, through each engine: no exit code is lost, nothing stays, labd does not grow."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from private_labd import Labd
from support import Podmanish

from bench.figures import resident_kib
from lab import interpreter
from lab.audit.netlink import AuditControl

pytestmark = [pytest.mark.needs("root", "audit"), pytest.mark.stress]

RUNS, AT_ONCE = 1000, 32
GROWTH = 5 * 1024  # KiB
SETTLING = 10  # seconds


def codes(run: Callable[..., subprocess.CompletedProcess[bytes]], runs: int, at_once: int = AT_ONCE) -> list[int]:
    """The exit codes of so many containers, each of which was told to exit with its number modulo 256."""

    def one(number: int) -> int:
        command = ("run", "--rm", "host", "sh", "-c", f"exit {number % 256}")
        return run(*command).returncode

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(one, range(runs)))


def wanted(runs: int) -> list[int]:
    """What codes() must return."""
    return [number % 256 for number in range(runs)]


def left(*daemons: int) -> dict[str, Any]:
    """What containers could leave in the kernel, and the number of descriptors of these processes."""
    with AuditControl() as control:
        rules = control.rules()
    return {
        "zombies": sum(is_zombie(path) for path in Path("/proc").glob("[0-9]*/stat")),
        "mounts": sorted(row.split(" ", 1)[1] for row in _mounts()),
        "cgroups": sorted(str(path) for path in Path("/sys/fs/cgroup").rglob("*/")),
        "audit rules": rules,
        "netlink sockets": len(Path("/proc/net/netlink").read_text().splitlines()),
        "descriptors": [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in daemons],
    }


def _mounts() -> list[str]:
    rows = Path("/proc/self/mountinfo").read_text().splitlines()
    return [row for row in rows if interpreter.ROOT not in row]  # made once, and meant to stay


def is_zombie(stat: Path) -> bool:
    """The third field of proc_pid_stat(5)."""
    try:
        return stat.read_bytes().rpartition(b") ")[2][:1] == b"Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def settled(before: dict[str, Any], *daemons: int) -> dict[str, Any]:
    """What is left when it is what was there before, or when the time to settle is up."""
    end = time.monotonic() + SETTLING
    while (found := _left_beside(before, *daemons)) != before and time.monotonic() < end:
        time.sleep(0.05)
    return found


def _left_beside(before: dict[str, Any], *daemons: int) -> dict[str, Any]:
    """left(); zombies that were there before may be reaped meanwhile."""
    found = left(*daemons)
    return {**found, "zombies": max(found["zombies"], before["zombies"])}


def test_podmanish(podmanish: Podmanish) -> None:
    """Each run is a process tree of its own; they meet only in the directory of names."""
    before = left()
    assert codes(podmanish, RUNS) == wanted(RUNS)
    assert settled(before) == before
    assert podmanish.output("ps", "-aq") == ""


def test_dockerish(labd: Labd) -> None:
    """All go through one daemon and one spawner; neither may keep a descriptor, and the daemon not 5 MiB."""
    assert codes(labd.dockerish, 2 * AT_ONCE) == wanted(2 * AT_ONCE)  # after which its pools have their size
    before, resident = left(labd.pid, labd.spawner), resident_kib(labd.pid)
    assert codes(labd.dockerish, RUNS) == wanted(RUNS)
    assert settled(before, labd.pid, labd.spawner) == before
    assert resident_kib(labd.pid) < resident + GROWTH
    assert labd.dockerish("ps", "-aq").stdout == b""


def test_soak_of_labd(labd: Labd, capsys: pytest.CaptureFixture[str]) -> None:
    """10,000 runs, 8 at a time: labd's memory does not go on growing, and a run takes as long at the end."""
    marks, times = [], []
    for _ in range(10):
        begin = time.monotonic()
        assert codes(labd.docker, 1000, at_once=8) == wanted(1000)
        times.append(time.monotonic() - begin)
        marks.append(resident_kib(labd.pid))
    with capsys.disabled():
        print(f"\n10,000 runs: RSS in KiB {marks}; seconds for each thousand {[round(took, 1) for took in times]}")
    assert marks[-1] < marks[1] + GROWTH
    assert times[-1] < 2 * times[1]

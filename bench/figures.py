"""Figures that no command line shows: the spawn alone, the reader's rate, the daemon's memory and its patience."""

from __future__ import annotations

import os
import select
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic, perf_counter

import httpx

from bench.contenders import CHECKOUT
from lab.audit.watch import Watch
from lab.errors import EvidenceLost, LabError

SPAWNS = """
import gc, os, sys, time
gc.disable()
sys.path.insert(0, sys.argv[1])
from lab import runtime
from lab.runtime import cgroup, child
from lab.spec import Spec
leave_keys_behind = child._leave_keys_behind
for number in range(int(sys.argv[2])):
    for guards in ("no guards", "seccomp", "keyring", "cgroup", "lifeline", "all guards"):
        has = lambda guard: guards in (guard, "all guards")
        spec = Spec(args=["true"], seccomp="default" if has("seccomp") else "")
        child._leave_keys_behind = leave_keys_behind if has("keyring") else lambda: None
        begin = time.perf_counter()
        spec.cgroup = cgroup.path(os.urandom(8).hex(), spec) if has("cgroup") else ""
        made = runtime.spawn(spec, lifeline=has("lifeline"))
        started = time.perf_counter()
        runtime.wait(made.child)
        cgroup.remove(spec.cgroup)
        print(guards, started - begin, time.perf_counter() - begin, sep=",")
        os.close(made.pidfd)
"""
RATES = (5_000, 10_000, 15_000, 20_000)
CLIENTS = 32


def spawn(rounds: int) -> dict[str, tuple[float, float]]:
    """Median ms, by guards, until spawn() returns, which is when `true` has been exec'ed, and until all is removed.

    They take turns in one process.
    """
    done = subprocess.run(
        [sys.executable, "-ISc", SPAWNS, str(CHECKOUT), str(rounds)], capture_output=True, text=True, check=True
    )
    times: dict[str, tuple[list[float], list[float]]] = {}
    for line in done.stdout.splitlines():
        guards, started, ended = line.split(",")
        both = times.setdefault(guards, ([], []))
        both[0].append(float(started))
        both[1].append(float(ended))
    return {guards: (median_ms(started), median_ms(ended)) for guards, (started, ended) in times.items()}


def loss_free_rate(seconds: float = 1.0) -> tuple[int, str]:
    """(the highest of RATES at which the audit reader loses nothing, why not the next); 0 if none can be tried."""
    best = 0
    for rate in RATES:
        try:
            with tempfile.NamedTemporaryFile() as file, Watch(file.name, touch_calls=False) as watched:
                reached = _write_at(file.name, rate, seconds, watched)
                if len(watched.collect()) != int(rate * seconds):
                    return best, f"events are missing at {rate} a second"
        except EvidenceLost as error:
            return best, f"at {rate} a second: {error.message}"
        except LabError as error:
            return best, error.message
        if reached < 0.95 * rate:
            return best, f"this machine makes no more than {reached:.0f} events a second"
        best = rate
    return best, ""


def _write_at(path: str, rate: int, seconds: float, watched: Watch) -> float:
    """Open a file for writing so often, in another process, while the reader reads; returns the rate that it had."""
    begin = monotonic()
    pid = os.fork()
    if pid == 0:
        for number in range(int(rate * seconds)):
            while monotonic() < begin + number / rate:
                pass
            os.close(os.open(path, os.O_WRONLY))
        os._exit(0)
    ended, poll = os.pidfd_open(pid), select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(watched, select.POLLIN)
    while ended not in [ready for ready, _ in poll.poll()]:
        watched.pump()
    took = monotonic() - begin
    os.close(ended)
    os.waitpid(pid, 0)
    return rate * seconds / took


def resident_kib(pid: int) -> int:
    """VmRSS of a process; proc_pid_status(5)."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def child_of(pid: int) -> int:
    """The first child that any of its threads has."""
    tasks = sorted(Path(f"/proc/{pid}/task").iterdir())
    return next(int(child) for task in tasks for child in (task / "children").read_text().split())


def parallel(path: Path, each: int) -> tuple[list[float], int]:
    """(seconds of every create-start-wait-delete, how many went wrong) of 32 clients at once."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        results = list(pool.map(lambda client: _client(path, client, each), range(CLIENTS)))
    return [took for times, _ in results for took in times], sum(wrong for _, wrong in results)


def _client(path: Path, client: int, each: int) -> tuple[list[float], int]:
    times, wrong = [], 0
    transport = httpx.HTTPTransport(uds=str(path))
    with httpx.Client(transport=transport, base_url="http://labd", timeout=120) as http:
        for number in range(each):
            code = (client * each + number) % 256
            begin = perf_counter()
            body = {"Image": "host", "Cmd": ["sh", "-c", f"exit {code}"]}
            container = http.post("/containers/create", json=body).json()["Id"]
            http.post(f"/containers/{container}/start").raise_for_status()
            wrong += http.post(f"/containers/{container}/wait").json()["StatusCode"] != code
            http.delete(f"/containers/{container}").raise_for_status()
            times.append(perf_counter() - begin)
    return times, wrong


def p99_ms(times: Sequence[float]) -> float:
    """The 99th percentile of seconds, in milliseconds."""
    return sorted(times)[int(0.99 * len(times))] * 1000


def median_ms(times: Sequence[float]) -> float:
    """The median of seconds, in milliseconds."""
    return statistics.median(times) * 1000

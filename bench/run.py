"""Engines and tools side by side, in turn, in one run: python -m bench.run [--rounds N] [--json PATH].

The times depend on the machine; only the ratios within one run can be compared.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench import crowds, figures
from bench.contenders import Contender, contenders
from bench.figures import median_ms, p99_ms
from bench.targets import targets
from lab.audit.probe import probe

CROWDS = (  # name, contender, clients, containers each
    ("labd, 32 docker clients", "docker on labd", 32, 8),
    ("dockerd, 32 docker clients", "docker, own network", 32, 1),
    ("podmanish, 16 at once", "podmanish", 16, 8),
    ("podman, 16 at once", "podman, own network", 16, 1),
)

GUARDS = ("seccomp", "keyring", "cgroup", "lifeline")
REST = 0.05  # seconds before each command


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 if all targets that could be measured were reached, 1 if not."""
    parser = argparse.ArgumentParser(prog="bench", description="The engines beside bwrap, runc, podman, docker.")
    parser.add_argument("--rounds", type=int, default=20, help="runs of each command (%(default)s)")
    parser.add_argument("--json", type=Path, default=Path("bench/results.json"), help="where to write (%(default)s)")
    options = parser.parse_args(argv)
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lab-bench-", dir="/var/tmp")))
        found = contenders(place, stack)
        results: dict[str, Any] = {"machine": machine(), "commands_ms": time_commands(found, options.rounds)}
        labd = next(pid for pid in _children() if "labd" in Path(f"/proc/{pid}/cmdline").read_text())
        results["figures"] = measure(place, labd, options.rounds)
        results["figures"] |= measure_crowds(found, place / "labd.sock")
    results["targets"] = [vars(target) for target in targets(results)]
    options.json.write_text(json.dumps(results, indent=2) + "\n")
    show(results, found)
    print(f"written: {options.json}")
    return 0 if all(row["reached"] is not False for row in results["targets"]) else 1


def machine() -> dict[str, str]:
    """The machine that the times depend on."""
    status = probe().status
    audit = "off or out of reach" if not (status and status.enabled) else f"on, its daemon is pid {status.pid}"
    return {
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "audit": audit,  # audit that is on slows every system call, and a slow auditd limits the rate of events
    }


def time_commands(found: Sequence[Contender], rounds: int) -> dict[str, float]:
    """Median milliseconds of each command.

    The commands take turns, so that a busy moment slows all of them. Each round has another order, and a REST before
    each command, since dockerd's cleaning up in the background would otherwise always slow the same neighbour.
    """
    able = [contender for contender in found if not contender.reason]
    times: dict[str, list[float]] = {contender.name: [] for contender in able}
    for _ in track(range(rounds), "commands", console=Console(stderr=True), transient=True):
        random.shuffle(able)
        for contender in able:
            sleep(REST)
            begin = perf_counter()
            subprocess.run(contender.command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            times[contender.name].append(perf_counter() - begin)
    return {name: round(median_ms(values), 2) for name, values in times.items()}


def measure(place: Path, labd: int, rounds: int) -> dict[str, float | str]:
    """The figures that are not commands. The parallel clients come last, since the kernel cleans up after them."""
    spawned = figures.spawn_ms(5 * rounds)
    bare, guarded = spawned["no guards"], spawned["all guards"]
    rate, reason = figures.loss_free_rate()
    begin = perf_counter()
    times, wrong = figures.parallel_runs(place / "labd.sock", each=8)
    took = perf_counter() - begin
    return {
        "spawn_ms": round(guarded[0], 2),
        "spawn_and_wait_ms": round(guarded[1], 2),
        **{f"{guard}_costs_ms": round(spawned[guard][1] - bare[1], 2) for guard in GUARDS},
        "reader_events_per_second": rate,
        "reader_limit": reason,
        "parallel_clients": figures.CLIENTS,
        "parallel_containers_per_second": round(len(times) / took, 1),
        "parallel_p50_ms": round(median_ms(times), 1),
        "parallel_p95_ms": round(sorted(times)[int(0.95 * len(times))] * 1000, 1),
        "parallel_wrong_exit_codes": wrong,
        "labd_rss_mib": round(figures.resident_kib(labd) / 1024, 1),
        "spawner_rss_mib": round(figures.resident_kib(figures.child_of(labd)) / 1024, 1),
    }


def measure_crowds(found: Sequence[Contender], labd: Path) -> dict[str, float]:
    """Containers a second of many clients at once; then the time of labd's ping beside readers of logs."""
    commands = {contender.name: contender.command for contender in found if not contender.reason}
    results: dict[str, float] = {}
    for name, contender, clients, each in CROWDS:
        if contender in commands:
            rate, wrong = crowds.throughput(commands[contender], clients, each)
            results |= {f"{name}, containers a second": round(rate, 1), f"{name}, wrong exit codes": wrong}
    results["ping_p99_ms_beside_readers"] = round(p99_ms(crowds.ping_beside_readers(labd)), 1)
    return results


def show(results: dict[str, Any], found: Sequence[Contender]) -> None:
    """Three tables on standard output."""
    commands = results["commands_ms"]
    console = Console()
    table = Table("command", "median ms", "podmanish = 1", title="A container that runs `true`, and its removal")
    for contender in found:
        if contender.reason:
            table.add_row(contender.name, "-", contender.reason)
        else:
            time = commands[contender.name]
            table.add_row(contender.name, f"{time:.1f}", f"{time / commands['podmanish']:.2f}")
    console.print(table)
    console.print(", ".join(f"{name}: {value}" for name, value in results["machine"].items()))
    table = Table("figure", "value")
    for name, value in results["figures"].items():
        table.add_row(name, str(value))
    console.print(table)
    table = Table("target", "wanted", "seen", "reached")
    for row in results["targets"]:
        mark = {True: "[green]yes", False: "[red]no", None: "[yellow]not measured"}[row["reached"]]
        table.add_row(row["what"], row["target"], row["seen"], mark)
    console.print(table)


def _children() -> list[int]:
    return [int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]


if __name__ == "__main__":
    sys.exit(main())

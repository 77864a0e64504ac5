"""Engines and tools side by side, in turn, in one run: python -m bench.run [--rounds N] [--json PATH].

The absolute times are the machine's; what counts is the ratios within the run.
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
from lab.audit.probe import probe

RATIOS = (  # slower, faster, at least (or at most, if negative) so many times
    ("podman, own network", "podmanish", 14.0),
    ("podmanish", "bwrap", -3.5),
    ("podmanish", "bwrap, same container", -3.5),
    ("podmanish", "runc", -0.7),
    ("docker, own network", "dockerish", 3.0),
    ("docker, own network", "docker on labd", 9.0),
)
CROWDS = (  # name, contender, clients, containers each
    ("labd, 32 docker clients", "docker on labd", 32, 8),
    ("dockerd, 32 docker clients", "docker, own network", 32, 1),
    ("podmanish, 16 at once", "podmanish", 16, 8),
    ("podman, 16 at once", "podman, own network", 16, 1),
)

GUARDS = ("seccomp", "keyring", "cgroup", "lifeline")
REST = 0.05  # seconds


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 if all targets that could be measured were reached, 1 if not."""
    parser = argparse.ArgumentParser(prog="bench", description="The engines beside bwrap, runc, podman, docker.")
    parser.add_argument("--rounds", type=int, default=20, help="runs of each command (%(default)s)")
    parser.add_argument("--json", type=Path, default=Path("bench/results.json"), help="where to write (%(default)s)")
    options = parser.parse_args(argv)
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lab-bench-", dir="/var/tmp")))
        found = contenders(place, stack)
        results: dict[str, Any] = {"machine": machine(), "commands_ms": timed(found, options.rounds)}
        labd = next(pid for pid in _children() if "labd" in Path(f"/proc/{pid}/cmdline").read_text())
        results["figures"] = measured(place, labd, options.rounds)
        results["figures"] |= crowded(found, place / "labd.sock")
    results["targets"] = targets(results)
    options.json.write_text(json.dumps(results, indent=2) + "\n")
    show(results, found)
    print(f"written: {options.json}")
    return 0 if all(row["reached"] is not False for row in results["targets"]) else 1


def machine() -> dict[str, str]:
    """What the times belong to."""
    status = probe().status
    audit = "off or out of reach" if not (status and status.enabled) else f"on, its daemon is pid {status.pid}"
    return {
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "audit": audit,  # on, it costs every system call a little, and a slow auditd throttles the rate of events
    }


def timed(found: Sequence[Contender], rounds: int) -> dict[str, float]:
    """Median milliseconds of each command.

    They take turns, so that a busy moment hits all alike, in another order each round, after a moment's REST: what
    dockerd still tidies up in the background is not always on the same neighbour's bill.
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


def measured(place: Path, labd: int, rounds: int) -> dict[str, float | str]:
    """The figures that are not commands. The parallel clients come last: what they leave to the kernel is load."""
    spawned = figures.spawn(5 * rounds)
    bare, guarded = spawned["no guards"], spawned["all guards"]
    rate, reason = figures.loss_free_rate()
    begin = perf_counter()
    times, wrong = figures.parallel(place / "labd.sock", each=8)
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


def crowded(found: Sequence[Contender], labd: Path) -> dict[str, float]:
    """Containers a second of many clients at once, and what a ping costs beside them; then beside readers of logs."""
    commands = {contender.name: contender.command for contender in found if not contender.reason}
    results: dict[str, float] = {}
    for name, contender, clients, each in CROWDS:
        if contender in commands:
            rate, wrong = crowds.throughput(commands[contender], clients, each)
            results |= {f"{name}, containers a second": round(rate, 1), f"{name}, wrong exit codes": wrong}
    results["ping_p99_ms_beside_readers"] = round(p99_ms(crowds.ping_beside_readers(labd)), 1)
    return results


def targets(results: dict[str, Any]) -> list[dict[str, Any]]:
    """What was to be reached, what was, and whether; None where it could not be measured."""
    commands, found = results["commands_ms"], results["figures"]
    rows = []
    for slower, faster, limit in RATIOS:
        ratio = commands[slower] / commands[faster] if {slower, faster} <= commands.keys() else None
        reached = None if ratio is None else ratio >= limit if limit > 0 else ratio <= -limit
        wanted = f"at least {limit:g}x" if limit > 0 else f"at most {-limit:g}x"
        seen = "-" if ratio is None else f"{ratio:.1f}x"
        rows.append({"what": f"{slower} / {faster}", "target": wanted, "seen": seen, "reached": reached})
    for name, wanted, reached in (
        ("spawn_ms", "at most 4 ms", found["spawn_ms"] <= 4),
        ("reader_events_per_second", "at least 10000", found["reader_events_per_second"] >= 10_000),
        ("labd_rss_mib", "below 60 MiB", found["labd_rss_mib"] < 60),
        ("parallel_wrong_exit_codes", "0", found["parallel_wrong_exit_codes"] == 0),
        ("ping_p99_ms_beside_readers", "at most 100 ms", found["ping_p99_ms_beside_readers"] <= 100),
    ):
        rows.append({"what": name, "target": wanted, "seen": str(found[name]), "reached": reached})
    for (ours, *_), (theirs, *_) in (CROWDS[:2], CROWDS[2:]):
        rates = [found.get(f"{name}, containers a second") for name in (ours, theirs)]
        ratio = rates[0] / rates[1] if rates[0] and rates[1] else None
        seen = "-" if ratio is None else f"{ratio:.1f}x"
        rows.append({"what": f"{ours} / {theirs}", "target": "at least 5x", "seen": seen,
                     "reached": None if ratio is None else ratio >= 5})  # fmt: skip
    return rows


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

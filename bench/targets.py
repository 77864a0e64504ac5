"""What the measurements should reach, and whether they did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

# Numerator, denominator, and the bound of the ratio of their median times.
RATIOS: tuple[tuple[str, str, Literal["at least", "at most"], float], ...] = (
    ("podman, own network", "podmanish", "at least", 14.0),
    ("podmanish", "bwrap", "at most", 3.5),
    ("podmanish", "bwrap, same container", "at most", 3.5),
    ("podmanish", "runc", "at most", 0.7),
    ("docker, own network", "dockerish", "at least", 3.0),
    ("docker, own network", "docker on labd", "at least", 9.0),
)
# Of bench.run's CROWDS: the lab's rate of containers must be five times the other's.
CROWD_RATIOS = (
    ("labd, 32 docker clients", "dockerd, 32 docker clients"),
    ("podmanish, 16 at once", "podman, 16 at once"),
)


@dataclass(frozen=True)
class Target:
    """What was to be reached, and what was seen; reached is None if it could not be measured."""

    what: str
    target: str
    seen: str
    reached: bool | None


def targets(results: Mapping[str, Any]) -> Iterator[Target]:
    """Every target; results are those of bench.run, with commands_ms and figures."""
    commands, figures = results["commands_ms"], results["figures"]
    for numerator, denominator, bound, limit in RATIOS:
        ratio = _ratio(commands.get(numerator), commands.get(denominator))
        reached = None if ratio is None else ratio >= limit if bound == "at least" else ratio <= limit
        yield Target(f"{numerator} / {denominator}", f"{bound} {limit:g}x", _times(ratio), reached)
    for name, wanted, reached in (
        ("spawn_ms", "at most 4 ms", figures["spawn_ms"] <= 4),
        ("reader_events_per_second", "at least 10000", figures["reader_events_per_second"] >= 10_000),
        ("labd_rss_mib", "below 60 MiB", figures["labd_rss_mib"] < 60),
        ("parallel_wrong_exit_codes", "0", figures["parallel_wrong_exit_codes"] == 0),
        ("ping_p99_ms_beside_readers", "at most 100 ms", figures["ping_p99_ms_beside_readers"] <= 100),
    ):
        yield Target(name, wanted, str(figures[name]), reached)
    for ours, theirs in CROWD_RATIOS:
        ratio = _ratio(*(figures.get(f"{name}, containers a second") for name in (ours, theirs)))
        yield Target(f"{ours} / {theirs}", "at least 5x", _times(ratio), None if ratio is None else ratio >= 5)


def _ratio(numerator: float | None, denominator: float | None) -> float | None:
    """None if one of the two was not measured."""
    return numerator / denominator if numerator and denominator else None


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.1f}x"

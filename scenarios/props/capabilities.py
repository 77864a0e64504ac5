"""The capabilities of a process, by name, from its /proc/PID/status; capabilities(7), proc_pid_status(5)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from lab.runtime.credentials import CAPABILITIES


def capabilities(pid: int | str = "self", which: Literal["CapEff", "CapBnd"] = "CapEff") -> set[str]:
    """The effective set of a process, or its bounding set. Raises FileNotFoundError if there is no such process."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    mask = int(status.partition(f"\n{which}:")[2].split()[0], 16)
    return {name for number, name in enumerate(CAPABILITIES) if mask >> number & 1}

"""The capabilities of a process, by name; capabilities(7)."""

from __future__ import annotations

from typing import Literal

from lab import identity
from lab.runtime.credentials import CAPABILITIES


def capabilities(pid: int | str = "self", which: Literal["CapEff", "CapBnd"] = "CapEff") -> set[str]:
    """The effective set of a process, or its bounding set. Raises what identity.status() raises."""
    mask = identity.capabilities(pid, which)
    return {name for number, name in enumerate(CAPABILITIES) if mask >> number & 1}

"""What the lab changes in its own virtual machine alone, since it holds for a whole machine; and how to take it back.

    audit-feature   loginuid_immutable is on: no process can change a loginuid that is set; audit_set_feature()
    core-pattern    the kernel runs a program of the story's for each crash; core(5)
    crontab         a file of the story's in /etc/cron.d; cron(8)

Each function here returns whether there was anything to take back. It raises ValueError for what the lab cannot have
noted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.audit.netlink import LOGINUID_IMMUTABLE, AuditControl

LAB_MACHINE = Path("/etc/loginuid-lab")  # provision/guest.sh makes it in the lab's own virtual machine
FEATURE, CORE, CRONTAB = "audit-feature", "core-pattern", "crontab"
CORE_PATTERN, CRON = Path("/proc/sys/kernel/core_pattern"), Path("/etc/cron.d")
HELPER = "|/bin/touch "  # how each pattern of the story's begins
LONGEST = 127  # bytes; CORENAME_MAX_SIZE


def loginuid_changeable() -> bool:
    """Turn loginuid_immutable off. Nobody can where it is locked; the lab never locks it."""
    with AuditControl() as control:
        on, locked = control.features()
        if not on & LOGINUID_IMMUTABLE & ~locked:
            return False
        control.set_feature(LOGINUID_IMMUTABLE, False)
        return True


def changes(control: AuditControl) -> frozenset[str]:
    """What of this is in force now, whoever noted it; a feature that is locked is somebody else's."""
    on, locked = control.features()
    found = {str(path) for path in CRON.glob("lab-*")}
    if on & LOGINUID_IMMUTABLE & ~locked:
        found.add("audit's feature loginuid_immutable")
    if (pattern := core_pattern()).startswith(HELPER):
        found.add(f"{CORE_PATTERN} {pattern!r}")
    return frozenset(found)


def core_pattern() -> str:
    """What the kernel does with a core dump."""
    return CORE_PATTERN.read_text(encoding="utf-8", errors="surrogateescape").rstrip("\n")


def restore_core_pattern(was: object, now: object) -> bool:
    """Write the former pattern back, unless it is no longer the story's."""
    if not isinstance(was, str) or not isinstance(now, str) or not was.isprintable() or len(was.encode()) > LONGEST:
        raise ValueError("was or now is not a pattern of core(5)")
    if core_pattern() != now:
        return False
    CORE_PATTERN.write_text(f"{was}\n", encoding="utf-8")
    return True


def remove_crontab(path: object) -> bool:
    """Remove a file that the story's workload wrote."""
    if not isinstance(path, str) or not re.fullmatch(rf"{CRON}/lab-[0-9a-f]{{8}}", path):
        raise ValueError(f"{path!r} is not a path that the lab gives to a crontab")
    there = Path(path).exists()
    Path(path).unlink(missing_ok=True)
    return there


def _undo(entry: dict[str, Any], places: object) -> bool:
    if not LAB_MACHINE.exists():
        raise ValueError("the lab makes this change in its own machine only")
    match entry["kind"]:
        case "audit-feature":
            return loginuid_changeable()
        case "core-pattern":
            return restore_core_pattern(entry.get("was"), entry.get("now"))
    return remove_crontab(entry.get("path"))


UNDO: dict[str, Callable[[dict[str, Any], Any], bool]] = dict.fromkeys((FEATURE, CORE, CRONTAB), _undo)

"""labd's own cgroup: where systemd has delegated it, labd moves one level down and makes room for containers.

    .../labd.service                      has no process, so it can pass controllers on; cgroups(7)
    .../labd.service/lab-supervisor       labd and its spawners
    .../labd.service/loginuid-lab-ID      a container, with limits or without: it can be given limits while it runs

That is for the unit with Delegate=, systemd.resource-control(5). Anywhere else the cgroup is not labd's to divide:
systemd may write there, and a login's scope has the user's shell in it.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from lab.runtime import cgroup

log = logging.getLogger("labd")
MARK = "trusted.delegate"  # systemd sets this attribute to 1: systemd, docs/CGROUP_DELEGATION.md


def settle() -> bool:
    """Move labd, before it has started any process, into its supervisor's cgroup; whether that has been done.

    False, and nothing has changed, if the cgroup was not delegated with all CONTROLLERS of the machine, or if another
    process is in it; so also under cgroup version 1, or in the hybrid form.
    """
    folder, own = f"{cgroup.MOUNT}{cgroup.own_path()}", str(os.getpid())
    passed_on = set(cgroup.read_file(f"{folder}/cgroup.controllers").split()) & set(cgroup.CONTROLLERS)
    if not (delegated(folder) and passed_on and passed_on == cgroup.available()):
        return False
    if cgroup.read_file(f"{folder}/cgroup.procs").split() != [own]:
        return False
    try:
        Path(folder, cgroup.SUPERVISOR).mkdir(exist_ok=True)
        cgroup.write_file(f"{folder}/{cgroup.SUPERVISOR}/cgroup.procs", own)
        cgroup.write_file(f"{folder}/cgroup.subtree_control", " ".join(f"+{name}" for name in sorted(passed_on)))
    except OSError as error:
        log.warning("the cgroup cannot be divided: %s: %s", error.filename, error.strerror)
        with contextlib.suppress(OSError):
            cgroup.write_file(f"{folder}/cgroup.procs", own)
        return False
    return True


def delegated(folder: str) -> bool:
    """Whether systemd leaves this cgroup to the processes in it."""
    try:
        return os.getxattr(folder, MARK) == b"1"
    except OSError:
        return False

"""`docker update`: other limits for a container, and another restart policy."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from daemon.containers import Container
from lab.errors import Conflict, NotRunning
from lab.pidfd import is_alive
from lab.resources import updated
from lab.runtime import cgroup_control

if TYPE_CHECKING:
    from lab.resources import Resources


async def update(container: Container, changes: Resources, policy: dict[str, Any] | None) -> None:
    """Set the limits, at once if it runs, and the policy. Raises InvalidArgument, Conflict, LabError."""
    async with container.changing:
        container.removal.require_present()
        container.require_sound()
        spec, record = container.spec, container.record
        wanted = updated(spec.resources, changes)
        if changes and container.running:
            await asyncio.to_thread(apply, container, wanted)
        spec.resources = wanted
        if policy:
            container.body["HostConfig"]["RestartPolicy"] = policy
        record.save_config(spec={**record.config["spec"], "resources": wanted}, body=container.body)
    container.event("update")


def apply(container: Container, wanted: Resources) -> None:
    """Give the running container these limits; the old ones again, and a Conflict, if the kernel refuses one.

    If it has just ended, they hold from its next start on.
    """
    old, path = container.spec.resources, container.spec.cgroup
    free = {"pids_limit": "max"} if "pids_limit" in {**old, **wanted} else {}
    try:
        cgroup_control.update(path, {**free, **wanted})
    except NotRunning:
        state = container.record.state
        if is_alive(state["pid"], state["start_time"]):  # else it has just ended
            raise Conflict(
                f"Cannot update container {container.name}: it has no cgroup", "give labd a writable /sys/fs/cgroup"
            ) from None
    except OSError as error:
        with contextlib.suppress(NotRunning, OSError):
            cgroup_control.update(path, {**free, **old})
        raise Conflict(
            f"Cannot update container {container.name}: {error.filename}: {error.strerror}",
            "the kernel does not take this limit now: give another",
        ) from None

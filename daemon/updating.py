"""`docker update`: other limits for a container, and another restart policy."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from daemon.containers import Container
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
            free = {"pids_limit": "max"} if "pids_limit" in spec.resources else {}
            await asyncio.to_thread(cgroup_control.update, spec.cgroup, {**free, **wanted})
        spec.resources = wanted
        if policy:
            container.body["HostConfig"]["RestartPolicy"] = policy
        record.save_config(spec={**record.config["spec"], "resources": wanted}, body=container.body)
    container.event("update")

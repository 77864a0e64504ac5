"""What volumes add to a container's life: they are made, filled, told of in the events, and released."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Protocol

from daemon import recording
from daemon.events import Events
from lab import mounting
from lab.errors import CannotStart, LabError
from lab.images import Image
from lab.record import Record
from lab.spec import Spec
from lab.volumes import Volumes

log = logging.getLogger("labd")
LOCAL = {"driver": "local"}


class Keeper(Protocol):
    """What is needed of the engine."""

    events: Events
    volumes: Volumes


class Container(Protocol):
    """What is needed of a container. changing: the lock under which it starts, ends and goes."""

    changing: asyncio.Lock
    record: Record
    spec: Spec

    @property
    def engine(self) -> Keeper: ...

    @property
    def id(self) -> str: ...

    async def remove(self, force: bool, with_volumes: bool) -> None: ...


def tell(events: Events, action: str, names: Iterable[str]) -> None:
    """Events of volumes: create, destroy."""
    for name in names:
        events.add("volume", action, name, LOCAL, {})


def tell_mounts(container: Container, action: str) -> None:
    """The events mount and unmount of a container's volumes."""
    for mount in mounting.volumes_of(container.spec.mounts):
        where = {"destination": mount.target, "propagation": "", "read/write": str(not mount.readonly).lower()}
        more = where if action == "mount" else {}
        container.engine.events.add("volume", action, mount.name, {**LOCAL, "container": container.id, **more}, {})


async def furnish(container: Container, image: Image) -> None:
    """Fill a new container's new volumes, and write its files. It cannot start meanwhile.

    Raises CannotStart, and nothing but named volumes is left of the container then.
    """
    try:
        async with container.changing:
            if mounting.volumes_of(container.spec.mounts):
                await asyncio.to_thread(mounting.fill, container.spec, image, container.engine.volumes)
            recording.write_files(container.record, container.spec)
    except (LabError, OSError) as error:
        await container.remove(force=True, with_volumes=True)
        if isinstance(error, OSError):
            raise CannotStart(
                f"cannot write the container's files: {error.strerror}", "make room on that disk"
            ) from None
        raise


async def release(spec: Spec, volumes: Volumes, events: Events) -> None:
    """Remove the anonymous volumes of a container that is gone."""
    try:
        tell(events, "destroy", await asyncio.to_thread(mounting.release, spec, volumes))
    except OSError as error:  # the next `volume prune` tries again
        log.error("an anonymous volume cannot be removed: %s", error)

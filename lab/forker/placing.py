"""The volumes and files of a container of the fork/exec engine; imported only for containers that have some."""

from __future__ import annotations

import os

from lab import netfiles
from lab.errors import CannotStart, Conflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from lab.images import Image
    from lab.record import Record
    from lab.runargs import RunOptions
    from lab.spec import Mount, Spec
    from lab.store import Store
    from lab.volumes import Volumes


def volumes(store: Store) -> Volumes:
    """The engine's volumes."""
    from lab.volumes import Volumes

    def users(name: str) -> list[str]:
        found = [container for container in store.list() if not container.is_left_over]
        return [c.id for c in found if any(mount.name == name for mount in c.spec.mounts)]

    def unreadable() -> list[str]:
        return [container.id for container in store.list() if container.damage]

    return Volumes(f"{store.root}/volumes", users, unreadable)


def settle(options: RunOptions, image: Image, store: Store) -> None:
    """Put all mounts of the request into options.volumes. Raises InvalidArgument."""
    from lab import mounting

    def mounts_of(reference: str) -> Sequence[Mount]:
        container = store.find(reference)
        if container.status == "damaged":
            raise Conflict(f"container {container.name} is damaged", "remove it")
        return container.spec.mounts

    mounting.settle(options, image, mounts_of)


def create(
    store: Store, container_id: str, name: str, spec: Spec, options: RunOptions, image: Image, config: dict[str, Any]
) -> Record:
    """Make the volumes, write the container to disk, fill the volumes, write the container's files.

    config is the record's but for its spec. Raises InvalidArgument, NameInUse; CannotStart if the disk is full, and
    nothing is left then but named volumes.
    """
    config = {**config, **netfiles.config(options)}
    names = config.get("names", {})
    spec.mounts += netfiles.mounts(spec, image, f"{store.root}/containers/{container_id}", names)
    if not any(mount.kind == "volume" for mount in spec.mounts):
        record = store.create(container_id, name, {**config, "spec": spec.to_dict()}, os.getpid())
        _furnish(record, store, lambda: netfiles.write(record.path, spec, names))
        return record
    from lab import mounting

    def add() -> Record:  # by then the mounts have the volumes' paths
        return store.create(container_id, name, {**config, "spec": spec.to_dict()}, os.getpid())

    def fill() -> None:
        mounting.fill(spec, image, found)
        netfiles.write(made.path, spec, names)

    found = volumes(store)
    made: Record = mounting.make(spec, image, found, add)[0]
    _furnish(made, store, fill)
    return made


def _furnish(record: Record, store: Store, work: Callable[[], None]) -> None:
    try:
        work()
    except (CannotStart, OSError) as error:
        store.remove(record)
        release(record, store)
        if isinstance(error, OSError):
            raise CannotStart(f"cannot write {record.path}: {error.strerror}", "make room on that disk") from None
        raise


def release(record: Record, store: Store) -> None:
    """Remove the anonymous volumes of a container that has been removed."""
    from lab import mounting

    mounting.release(record.spec, volumes(store))


class VolumeKeeper:
    """What `podmanish volume` acts on; lab.volumeverbs."""

    def __init__(self, store: Store) -> None:
        self.volumes = volumes(store)
        self.volumes.sweep()

    def create(self, name: str, labels: Mapping[str, str]) -> str:
        """Make a volume; returns its name."""
        return self.volumes.create(name, labels)[0].name

    def list(self, filters: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
        """Those that pass the filters."""
        from lab.volumefilters import matching

        return [volume.to_dict() for volume in matching(self.volumes, filters)]

    def find(self, name: str) -> dict[str, Any]:
        """One volume."""
        return self.volumes.find(name).to_dict()

    def remove(self, name: str) -> None:
        """Remove one volume."""
        self.volumes.remove(name)

    def prune(self, filters: Mapping[str, Sequence[str]]) -> tuple[Sequence[str], int]:
        """Remove those that no container has; their names and bytes."""
        from lab.volumefilters import prune

        return prune(self.volumes, filters)

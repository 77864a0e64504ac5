"""The volumes and files of a container of the fork/exec engine; imported only for containers that have some."""

from __future__ import annotations

from lab import mounting, netfiles
from lab.errors import CannotStart, Conflict
from lab.store import Store
from lab.volumes import Volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from lab.images import Image
    from lab.record import Record
    from lab.runargs import RunOptions
    from lab.spec import Mount, Spec


def volumes(store: Store) -> Volumes:
    """The engine's volumes."""
    return Volumes(
        f"{store.root}/volumes",
        lambda name: [c.id for c in store.list() if any(mount.name == name for mount in c.spec.mounts)],
    )


def settle(options: RunOptions, store: Store) -> None:
    """Put all mounts of the request into options.volumes. Raises InvalidArgument."""

    def mounts_of(reference: str) -> Sequence[Mount]:
        container = store.find(reference)
        if container.status == "damaged":
            raise Conflict(f"container {container.name} is damaged", "remove it")
        return container.spec.mounts

    mounting.settle(options, mounts_of)


def add(
    spec: Spec, image: Image, store: Store, names: Mapping[str, Sequence[str]], create: Callable[[], Record]
) -> Record:
    """Make the volumes, create() the container on disk, fill the volumes, write the container's files.

    Raises what create() raises; CannotStart if the disk is full, and nothing is left then but named volumes.
    """
    found = volumes(store)
    record: Record = mounting.make(spec, image, found, create)[0] if mounting.volumes_of(spec.mounts) else create()
    try:
        mounting.fill(spec, image, found)
        netfiles.write(record.path, spec, names)
    except (CannotStart, OSError) as error:
        store.remove(record)
        mounting.release(spec, found)
        if isinstance(error, OSError):
            raise CannotStart(f"cannot write {record.path}: {error.strerror}", "make room on that disk") from None
        raise
    return record


def release(record: Record, store: Store) -> None:
    """Remove the anonymous volumes of a container that has been removed."""
    mounting.release(record.spec, volumes(store))


class Keeper:
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

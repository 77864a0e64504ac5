"""Which volumes `volume ls --filter` and `volume prune` mean; docker-volume(1). Both engines use this."""

from __future__ import annotations

from lab.errors import Conflict, InvalidArgument, NotFound
from lab.volumes import ANONYMOUS, Volume, Volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Filters = Mapping[str, Sequence[str]]
YES, NO = ("true", "1", "True"), ("false", "0", "False")
OF_LIST = ("dangling", "driver", "label", "name")
OF_PRUNE = ("all", "label", "label!")


def matching(volumes: Volumes, filters: Filters) -> list[Volume]:
    """Those that pass each filter. Raises InvalidArgument for a filter or a value that Docker does not have."""
    _check(filters, OF_LIST)
    return [volume for volume in volumes.list() if _passes(volume, volumes, filters)]


def _passes(volume: Volume, volumes: Volumes, filters: Filters) -> bool:
    tests: dict[str, Callable[[str], bool]] = {
        "dangling": lambda value: truth("dangling", value) == (not volumes.users(volume.name)),
        "driver": lambda value: value == "local",
        "label": lambda value: _labelled(volume, value),
        "name": lambda value: value in volume.name,
    }
    for name, words in filters.items():
        results = [tests[name](word) for word in words]
        if results and not (all(results) if name == "label" else any(results)):
            return False
    return True


def prune(volumes: Volumes, filters: Filters) -> tuple[list[str], int]:
    """Remove what no container has: the anonymous volumes, with all=true the others, too. Their names and bytes.

    Raises InvalidArgument.
    """
    from lab import trees

    _check(filters, OF_PRUNE)
    everything = any([truth("all", value) for value in filters.get("all", ())])
    gone, reclaimed = [], 0
    for volume in volumes.list():
        wanted = everything or ANONYMOUS in volume.labels
        wanted = wanted and all(_labelled(volume, text) for text in filters.get("label", ()))
        if not wanted or any(_labelled(volume, text) for text in filters.get("label!", ())):
            continue
        if volumes.users(volume.name):
            continue
        size = trees.size(volume.data)
        try:
            volumes.remove(volume.name)
        except (Conflict, NotFound):  # a container has just got it, or another command has removed it
            continue
        gone.append(volume.name)
        reclaimed += size
    return gone, reclaimed


def truth(name: str, value: str) -> bool:
    """true or false. Raises InvalidArgument."""
    if value not in (*YES, *NO):
        raise InvalidArgument(f"invalid filter '{name}={value[:40]}'", "write true or false")
    return value in YES


def _check(filters: Filters, known: Sequence[str]) -> None:
    for name in filters:
        if name not in known:
            raise InvalidArgument(f"invalid filter '{name[:40]}'", f"known are {', '.join(known)}")


def _labelled(volume: Volume, wanted: str) -> bool:
    key, given, value = wanted.partition("=")
    return key in volume.labels and (not given or volume.labels[key] == value)

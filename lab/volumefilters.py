"""Which volumes `volume ls --filter` and `volume prune` mean; docker-volume(1). Both engines use this."""

from __future__ import annotations

from lab.errors import Conflict, NotFound
from lab.filters import check_names, flag, has_label
from lab.volumes import ANONYMOUS, Volume, Volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Filters = Mapping[str, Sequence[str]]
OF_LIST = ("dangling", "driver", "label", "name")
OF_PRUNE = ("all", "label", "label!")


def matching(volumes: Volumes, filters: Filters) -> list[Volume]:
    """Those that pass each filter. Raises InvalidArgument for a filter or a value that Docker does not have."""
    check_names(filters, *OF_LIST)
    return [volume for volume in volumes.list() if _passes(volume, volumes, filters)]


def _passes(volume: Volume, volumes: Volumes, filters: Filters) -> bool:
    tests: dict[str, Callable[[str], bool]] = {
        "dangling": lambda value: flag("dangling", value) == (not (volumes.users(volume.name) or volumes.unreadable())),
        "driver": lambda value: value == "local",
        "label": lambda value: has_label(volume.labels, value),
        "name": lambda value: value in volume.name,
    }
    for name, words in filters.items():
        results = [tests[name](word) for word in words]
        if results and not (all(results) if name == "label" else any(results)):
            return False
    return True


def prune(volumes: Volumes, filters: Filters) -> tuple[list[str], int]:
    """Remove what no container has: the anonymous volumes, with all=true the others, too. Their names and bytes.

    Raises InvalidArgument, and Conflict if a container is damaged, so that nobody knows which volumes it has.
    """
    from lab import trees

    check_names(filters, *OF_PRUNE)
    volumes.require_known_users()
    everything = any([flag("all", value) for value in filters.get("all", ())])
    gone, reclaimed = [], 0
    for volume in volumes.list():
        wanted = everything or ANONYMOUS in volume.labels
        wanted = wanted and all(has_label(volume.labels, text) for text in filters.get("label", ()))
        if not wanted or any(has_label(volume.labels, text) for text in filters.get("label!", ())):
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

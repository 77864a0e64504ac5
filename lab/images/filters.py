"""`docker images --filter`: which images are meant; docker-images(1)."""

from __future__ import annotations

from fnmatch import fnmatchcase

from lab.filters import check_names, flag, has_label
from lab.images.image import Image
from lab.images.names import normalize, split_tag
from lab.images.store import Store
from lab.shown import parse_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Test = Callable[[Store, Image, str], bool]


def named(name: str, pattern: str) -> bool:
    """Whether the pattern means this name, as with Go's path.Match(): a * stops at a slash. The tag may be left out."""
    wanted = normalize(pattern).split("/")
    for candidate in (name, f"{name}:latest", split_tag(name)[0]):
        parts = candidate.split("/")
        if len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted)):
            return True
    return False


TESTS: dict[str, Test] = {
    "reference": lambda _, image, pattern: any(named(name, pattern) for name in image.tags),
    "dangling": lambda _, image, wanted: flag("dangling", wanted) != bool(image.tags),
    "label": lambda _, image, wanted: has_label(image.labels, wanted),
    "label!": lambda _, image, wanted: not has_label(image.labels, wanted),
    "before": lambda images, image, wanted: image.created < images.find(wanted).created,
    "since": lambda images, image, wanted: image.created > images.find(wanted).created,
    "until": lambda _, image, wanted: image.created < parse_time(wanted),
}
ALL_OF = ("label", "label!")  # all values must hold; of the other filters one is enough


def matching(images: Store, filters: Mapping[str, Sequence[str]]) -> list[Image]:
    """Raises InvalidArgument for an unknown filter, NoSuchImage for an unknown image in `before` and `since`.

    Of an image that `reference` means, only the names that it means are left.
    """
    check_names(filters, *TESTS)
    found = [image for image in images.list() if passes(images, image, filters)]
    patterns = filters.get("reference")
    for image in found if patterns else ():
        image.tags = [name for name in image.tags if any(named(name, pattern) for pattern in patterns or ())]
    return found


def passes(images: Store, image: Image, filters: Mapping[str, Sequence[str]]) -> bool:
    """Whether an image is meant by all filters."""
    for name, values in filters.items():
        results = [TESTS[name](images, image, value) for value in values]
        if results and not (all(results) if name in ALL_OF else any(results)):
            return False
    return True


def prunable(images: Store, filters: Mapping[str, Sequence[str]]) -> tuple[Callable[[Image], bool], bool]:
    """For lab.images.removal.prune(): which images, and whether those with names, too. Raises InvalidArgument."""
    check_names(filters, "dangling", "until", "label", "label!")
    rest = {name: values for name, values in filters.items() if name != "dangling"}
    return lambda image: passes(images, image, rest), not all(flag("dangling", v) for v in filters.get("dangling", ()))

"""`docker images --filter`: which images are meant; docker-images(1)."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase

from daemon.routes.filters import check_names, flag
from lab.images import Image, Images, normalize, split_tag
from lab.shown import parse_time

Test = Callable[[Images, Image, str], bool]


def _referenced(images: Images, image: Image, pattern: str) -> bool:
    """As Go's path.Match(): a * stops at a slash. The tag may be left out."""
    name = normalize(pattern).split("/")
    for candidate in (image.name, f"{image.name}:latest", split_tag(image.name)[0]):
        parts = candidate.split("/")
        if len(parts) == len(name) and all(map(fnmatchcase, parts, name)):
            return True
    return False


TESTS: dict[str, Test] = {
    "reference": _referenced,
    "dangling": lambda _, image, wanted: not flag("dangling", wanted),  # every image here has a name
    "label": lambda *_: False,  # no image here has labels
    "label!": lambda *_: True,
    "before": lambda images, image, wanted: image.created < images.find(wanted).created,
    "since": lambda images, image, wanted: image.created > images.find(wanted).created,
    "until": lambda _, image, wanted: image.created < parse_time(wanted),
}


def matching(images: Images, filters: dict[str, list[str]]) -> list[Image]:
    """Raises InvalidArgument for an unknown filter, NoSuchImage for an unknown image in `before` and `since`."""
    check_names(filters, *TESTS)
    return [
        image
        for image in images.list()
        if all(any(TESTS[name](images, image, value) for value in values) for name, values in filters.items() if values)
    ]

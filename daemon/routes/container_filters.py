"""`docker ps --filter`, `docker container prune --filter`: which containers are meant; docker-ps(1)."""

from __future__ import annotations

import re
from collections.abc import Callable

from daemon.containers import Container
from daemon.engine import Engine
from lab.errors import InvalidArgument, NoSuchImage
from lab.filters import TRUTH, check_names, flag, has_label, one_of
from lab.shown import parse_time

STATES = ("created", "running", "paused", "exited", "restarting", "removing", "dead")
VALUES = {"status": STATES, "health": ("starting", "healthy", "unhealthy", "none"), "is-task": TRUTH}
Test = Callable[[Engine, Container, str], bool]


def _labelled(engine: Engine, container: Container, wanted: str) -> bool:
    return has_label(container.body["Labels"], wanted)


def _named(engine: Engine, container: Container, wanted: str) -> bool:
    """A part of the name, with ^ and $ for its ends and `/` before it.

    dockerd accepts a regular expression: Go's engine takes linear time. Python's may take exponential time.
    """
    part = wanted.removeprefix("^").removesuffix("$")
    if set(part) & set(r"\^$*+?()[]{}|"):
        raise InvalidArgument(
            f"invalid filter 'name={wanted[:40]}'", "write a part of the name, with ^ and $ for its ends"
        )
    begins, ends, names = wanted.startswith("^"), wanted.endswith("$"), (container.name, f"/{container.name}")
    if begins and ends:
        return part in names
    if begins or ends:
        return any(name.startswith(part) if begins else name.endswith(part) for name in names)
    return part in names[1]


def _exit_code(engine: Engine, container: Container, wanted: str) -> bool:
    if not re.fullmatch(r"-?\d{1,9}", wanted, re.ASCII):
        raise InvalidArgument(f"invalid filter 'exited={wanted[:40]}'", "write a number")
    return container.status == "exited" and container.exit_code == int(wanted)


def _descends(engine: Engine, container: Container, wanted: str) -> bool:
    """Whether the container has the image that this name or id means now."""
    try:
        image_id = engine.images.find(wanted, damaged=True).id
    except (NoSuchImage, InvalidArgument):
        return False
    return bool(container.record.config["image_id"] == image_id)


def _created_before(engine: Engine, container: Container, wanted: str) -> bool:
    """until=TIME, as parse_time() reads it: seconds since 1970, RFC 3339, or how long ago (10m)."""
    return _created(container) < parse_time(wanted)


TESTS: dict[str, Test] = {
    "id": lambda _, container, wanted: container.id.startswith(wanted),
    "name": _named,
    "label": _labelled,
    "label!": lambda engine, container, wanted: not _labelled(engine, container, wanted),
    "status": lambda _, container, wanted: container.status == wanted,
    "exited": _exit_code,
    "ancestor": lambda engine, container, wanted: _descends(engine, container, wanted),
    "before": lambda engine, container, wanted: _created(container) < _created(engine.find(wanted)),
    "since": lambda engine, container, wanted: _created(container) > _created(engine.find(wanted)),
    "network": lambda _, container, wanted: container.spec.network == wanted,
    "volume": lambda _, container, wanted: any(wanted in (m.source, m.target, m.name) for m in container.spec.mounts),
    "until": _created_before,
    "health": lambda _, container, wanted: wanted == (container.health.status or "none"),
    "is-task": lambda engine, container, wanted: not flag("is-task", wanted),
    "publish": lambda *_: False,  # no container publishes ports
    "expose": lambda *_: False,
}
ALL_OF = ("label", "label!")  # all values must hold; of the other filters one is enough


def matching(engine: Engine, filters: dict[str, list[str]], *, all: bool) -> list[Container]:
    """The youngest first. Raises InvalidArgument for an unknown filter or value."""
    check_names(filters, *TESTS)
    for name, words in VALUES.items():
        for value in filters.get(name, ()):
            one_of(words, name, value)
    all = all or "status" in filters or "exited" in filters
    found = [
        c for c in engine.containers.values() if (all or c.running or c.restarting) and _passes(engine, c, filters)
    ]
    return sorted(found, key=_created, reverse=True)


def _passes(engine: Engine, container: Container, filters: dict[str, list[str]]) -> bool:
    for name, values in filters.items():
        results = [TESTS[name](engine, container, value) for value in values]
        if results and not (all(results) if name in ALL_OF else any(results)):
            return False
    return True


def _created(container: Container) -> int:
    created: int = container.record.config["created"]
    return created

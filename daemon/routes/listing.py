"""Which containers `docker ps --filter` and `docker container prune --filter` mean; docker-ps(1)."""

from __future__ import annotations

import re
from collections.abc import Callable

from daemon.containers import Container
from daemon.engine import Engine
from lab.errors import InvalidArgument
from lab.shown import parse_time

STATES = ("created", "running", "paused", "exited", "restarting", "removing", "dead")
TRUTH = ("true", "false", "1", "0", "True", "False")
VALUES = {"status": STATES, "health": ("starting", "healthy", "unhealthy", "none"), "is-task": TRUTH}
Test = Callable[[Engine, Container, str], bool]


def _labelled(engine: Engine, container: Container, wanted: str) -> bool:
    key, given, value = wanted.partition("=")
    labels = container.body["Labels"]
    return key in labels and (not given or labels[key] == value)


def _named(engine: Engine, container: Container, wanted: str) -> bool:
    """A part of the name, with ^ and $ for its ends; `/` may go before it.

    dockerd takes a regular expression, but its engine is linear: Python's can be kept busy for ever by a pattern.
    """
    part = wanted.removeprefix("^").removesuffix("$")
    if set(part) & set(r"\^$*+?()[]{}|"):
        raise InvalidArgument(
            f"invalid filter 'name={wanted[:40]}'", "a part of the name is expected, with ^ and $ for its ends"
        )
    begins, ends, names = wanted.startswith("^"), wanted.endswith("$"), (container.name, f"/{container.name}")
    if begins and ends:
        return part in names
    if begins or ends:
        return any(name.startswith(part) if begins else name.endswith(part) for name in names)
    return part in names[1]


def _exit_code(engine: Engine, container: Container, wanted: str) -> bool:
    if not re.fullmatch(r"-?\d{1,9}", wanted, re.ASCII):
        raise InvalidArgument(f"invalid filter 'exited={wanted[:40]}'", "a number is expected")
    return container.status == "exited" and container.exit_code == int(wanted)


def one_of(words: tuple[str, ...], name: str, value: str) -> str:
    """The value of a filter that has but a few. Raises InvalidArgument."""
    if value not in words:
        raise InvalidArgument(f"invalid filter '{name}={value[:40]}'", f"one of {', '.join(words)}")
    return value


def flag(name: str, value: str) -> bool:
    """true or false, as a filter has it. Raises InvalidArgument."""
    return one_of(TRUTH, name, value).lower() in ("1", "true")


def _created_before(engine: Engine, container: Container, wanted: str) -> bool:
    """until=: a time in seconds since 1970, or how long ago (10m)."""
    return _created(container) < parse_time(wanted)


TESTS: dict[str, Test] = {
    "id": lambda _, container, wanted: container.id.startswith(wanted),
    "name": _named,
    "label": _labelled,
    "label!": lambda engine, container, wanted: not _labelled(engine, container, wanted),
    "status": lambda _, container, wanted: container.status == wanted,
    "exited": _exit_code,
    "ancestor": lambda _, container, wanted: (
        wanted.removesuffix(":latest") == container.record.config["image"].removesuffix(":latest")
        or container.record.config["image_id"].removeprefix("sha256:").startswith(wanted.removeprefix("sha256:"))
    ),
    "before": lambda engine, container, wanted: _created(container) < _created(engine.find(wanted)),
    "since": lambda engine, container, wanted: _created(container) > _created(engine.find(wanted)),
    "network": lambda _, container, wanted: container.spec.network == wanted,
    "volume": lambda _, container, wanted: any(wanted in (m.source, m.target) for m in container.spec.mounts),
    "until": _created_before,
    "health": lambda _, container, wanted: wanted == "none",
    "is-task": lambda engine, container, wanted: not flag("is-task", wanted),
    "publish": lambda *_: False,  # no container has ports of its own
    "expose": lambda *_: False,
}
ALL_OF = ("label", "label!")  # given twice both must hold; of the others one is enough


def matching(engine: Engine, filters: dict[str, list[str]], *, all: bool) -> list[Container]:
    """The youngest first. Raises InvalidArgument for a filter that docker has not."""
    for name in filters:
        if name not in TESTS:
            raise InvalidArgument(f"invalid filter '{name[:40]}'", f"known are {', '.join(sorted(TESTS))}")
    for name, words in VALUES.items():
        for value in filters.get(name, ()):
            one_of(words, name, value)
    all = all or "status" in filters or "exited" in filters
    found = [c for c in engine.containers.values() if (all or c.running) and _passes(engine, c, filters)]
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

"""labd's side of --pid and --ipc container:NAME: the other container at the moment of this one's start."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from daemon.run import Run
from lab import joining
from lab.errors import Conflict, InvalidArgument, NotFound, NotRunning
from lab.spec import Spec


class Donor(Protocol):
    """What is needed of the other container."""

    spec: Spec
    run: Run

    @property
    def id(self) -> str: ...

    @property
    def running(self) -> bool: ...

    @property
    def restarting(self) -> bool: ...


@contextlib.contextmanager
def joined(spec: Spec, find: Callable[[str], Donor]) -> Iterator[Mapping[str, int]]:
    """Open for a `with` what lab.joining.join() opens, which may change spec. Raises what that raises."""

    def open_other(name: str) -> tuple[str, Spec, int]:
        try:
            other = find(name)
        except NotFound as error:  # 404 would mean that this container is unknown
            raise InvalidArgument(error.message, "name a running container") from None
        if other.restarting:
            raise Conflict(f"Container {name} is restarting, wait until the container is running")
        process = other.run.process if other.running else None
        if process is None or process.pidfd < 0:  # -1: it has just ended
            raise NotRunning(f"container {name} is not running", "start that one first")
        return other.id, other.spec, os.dup(process.pidfd)

    opened = joining.join(spec, open_other) if spec.joins else {}
    try:
        yield opened
    finally:
        joining.close(opened)

"""A command that has changed the machine takes back what it changed when a signal ends it, too."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


@contextmanager
def orderly_end() -> Iterator[None]:
    """SIGHUP, SIGINT and SIGTERM unwind the stack of `with` blocks; a second signal does not disturb that.

    SIGINT raises KeyboardInterrupt, the others SystemExit with the exit status that a shell would show.
    """

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        for ending in ENDING:
            signal.signal(ending, signal.SIG_IGN)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

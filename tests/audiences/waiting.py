"""Waiting for an event: as long as it takes on a busy machine, and LAB_SLOW times as long on a slow one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

LIMIT = 60 * float(os.environ.get("LAB_SLOW") or 1)  # seconds; only a test that fails waits for so long


def wait_for(happened: Callable[[], object], *, pause: float = 0.02, told: Callable[[], str] = str) -> None:
    """Until that is so; told says what was there instead."""
    until = time.monotonic() + LIMIT
    while not happened():
        assert time.monotonic() < until, told()
        time.sleep(pause)

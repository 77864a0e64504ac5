"""What happened, for `docker events`: the last few in memory, and a queue for each one who listens.

Both are bounded: so many events, each of so many bytes. Who does not read while QUEUED come is told no more.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

KEPT = 256  # as many as dockerd keeps
QUEUED = 512
LONGEST_TEXT = 4 << 10  # of an action, a name or a value: dockerd has no limit, and a label may have megabytes
ALL_TEXT = 16 << 10  # of one event's attributes: labels that exceed it are left out
Event = dict[str, Any]


class Events:
    """A bounded history and its listeners."""

    def __init__(self) -> None:
        self._history: deque[Event] = deque(maxlen=KEPT)
        self._queues: set[asyncio.Queue[Event | None]] = set()

    def add(self, kind: str, action: str, actor: str, attributes: Mapping[str, str], labels: Mapping[str, str]) -> None:
        """Tell that `action` happened to the container or image `actor`."""
        now = time.time_ns()
        action = action[:LONGEST_TEXT]
        known = _bounded(attributes, labels)
        event: Event = {
            "Type": kind, "Action": action, "Actor": {"ID": actor, "Attributes": known}, "scope": "local",
            "time": now // 10**9, "timeNano": now,
        }  # fmt: skip
        if kind == "container":
            event |= {"status": action, "id": actor, "from": known.get("image", "")}
        self._history.append(event)
        for queue in tuple(self._queues):
            self._tell(queue, event)

    def close(self) -> None:
        """End every listener's stream."""
        for queue in tuple(self._queues):
            self._tell(queue, None)

    def _tell(self, queue: asyncio.Queue[Event | None], event: Event | None) -> None:
        try:
            queue.put_nowait(event)
        except asyncio.QueueFull:  # its stream ends when it has read what it has
            self._queues.discard(queue)

    async def follow(
        self, since: float | None, until: float | None, wanted: Callable[[Event], bool]
    ) -> AsyncGenerator[Event, None]:
        """Past events from `since` on (None: none), then new ones to `until` (None: for ever); seconds since 1970."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue(QUEUED)
        if since is not None:
            for event in self._history:
                if event["timeNano"] >= since * 1e9:
                    queue.put_nowait(event)
        self._queues.add(queue)
        try:
            while queue in self._queues or not queue.empty():
                async with asyncio.timeout(None if until is None else max(0.0, until - time.time())):
                    next_event = await queue.get()
                if next_event is None or (until is not None and next_event["timeNano"] > until * 1e9):
                    return
                if wanted(next_event):
                    yield next_event
        except TimeoutError:
            return
        finally:
            self._queues.discard(queue)


def _bounded(attributes: Mapping[str, str], labels: Mapping[str, str]) -> dict[str, str]:
    """Both in one, the attributes' own names first; long texts are cut."""
    found: dict[str, str] = {}
    left = ALL_TEXT
    for name, value in (*attributes.items(), *labels.items()):
        name, value = name[:LONGEST_TEXT], value[:LONGEST_TEXT]
        left -= len(name) + len(value)
        if left < 0:
            break
        found.setdefault(name, value)
    return found

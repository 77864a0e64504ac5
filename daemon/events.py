"""`docker events`: the last events in memory, and a queue for each listener.

Both are bounded in number and in bytes. A listener that leaves QUEUED events unread is dropped.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

KEPT = 256  # as many as dockerd keeps
QUEUED = 512
LONGEST_TEXT = 4 << 10  # characters of an action, a name or a value: a label may have megabytes
ALL_TEXT = 16 << 10  # characters of one event's attributes: labels beyond this are left out
Event = dict[str, Any]


class Events:
    """A bounded history and its listeners."""

    def __init__(self) -> None:
        self._history: deque[Event] = deque(maxlen=KEPT)
        self._queues: set[asyncio.Queue[Event | None]] = set()

    def add(self, kind: str, action: str, actor: str, attributes: Mapping[str, str], labels: Mapping[str, str]) -> None:
        """Record that `action` happened to `actor`, the id of a container or an image (kind)."""
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
        except asyncio.QueueFull:  # its stream ends after the queued events
            self._queues.discard(queue)

    async def follow(
        self, since: float | None, until: float | None, wanted: Callable[[Event], bool]
    ) -> AsyncGenerator[Event, None]:
        """Past events from `since` on (None: none), then new ones up to `until` (None: no end); seconds since 1970."""
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
    """Attributes and labels together; an attribute wins over a label of its name. Long texts are cut."""
    found: dict[str, str] = {}
    left = ALL_TEXT
    for name, value in (*attributes.items(), *labels.items()):
        name, value = name[:LONGEST_TEXT], value[:LONGEST_TEXT]
        left -= len(name) + len(value)
        if left < 0:
            break
        found.setdefault(name, value)
    return found

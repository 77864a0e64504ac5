"""What happened, for `docker events`: the last few in memory, and a queue for each one who listens."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

KEPT = 256  # as many as dockerd keeps
Event = dict[str, Any]


class Events:
    """A bounded history and its listeners."""

    def __init__(self) -> None:
        self._history: deque[Event] = deque(maxlen=KEPT)
        self._queues: set[asyncio.Queue[Event | None]] = set()

    def add(self, kind: str, action: str, actor: str, **attributes: str) -> None:
        """Tell that `action` happened to the container or image `actor`."""
        now = time.time_ns()
        event: Event = {
            "Type": kind, "Action": action, "Actor": {"ID": actor, "Attributes": attributes}, "scope": "local",
            "time": now // 10**9, "timeNano": now,
        }  # fmt: skip
        if kind == "container":
            event |= {"status": action, "id": actor, "from": attributes.get("image", "")}
        self._history.append(event)
        for queue in self._queues:
            queue.put_nowait(event)

    def close(self) -> None:
        """End every listener's stream."""
        for queue in self._queues:
            queue.put_nowait(None)

    async def follow(
        self, since: float | None, until: float | None, wanted: Callable[[Event], bool]
    ) -> AsyncIterator[Event]:
        """Past events from `since` on (None: none), then new ones to `until` (None: for ever); seconds since 1970."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        if since is not None:
            for event in self._history:
                if event["timeNano"] >= since * 1e9:
                    queue.put_nowait(event)
        self._queues.add(queue)
        try:
            while True:
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

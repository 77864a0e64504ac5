"""Deleting a container, once, however many ask: AutoRemove and a request may meet."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from lab.errors import Conflict, NoSuchContainer

log = logging.getLogger("labd")


class Removal:
    """The end of one container. done: a future of its exit code; delete: removes its files, raises OSError."""

    def __init__(self, container_id: str, delete: Callable[[], Awaitable[None]]) -> None:
        self.id, self._delete = container_id, delete
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None

    @property
    def begun(self) -> bool:
        return self.done.done() or self._task is not None

    def require_present(self, *, or_going: bool = False) -> None:
        """Raises NoSuchContainer; and Conflict while it is deleted, unless or_going."""
        if self.done.done():
            raise NoSuchContainer(f"No such container: {self.id}")
        if self._task and not or_going:
            raise Conflict(f"removal of container {self.id} is already in progress")

    async def carry_out(self, code: int) -> None:
        """Delete, and tell the code to those who wait. Raises OSError."""
        if self.done.done():
            return
        if self._task is None:
            self._task = asyncio.create_task(self._go(code))
        await asyncio.shield(self._task)

    async def carry_out_or_tell(self, code: int) -> None:
        """For AutoRemove: a container that cannot be deleted stays, and waiting clients get the exit code anyway."""
        try:
            await self.carry_out(code)
        except OSError as error:
            log.error("container %s cannot be removed: %s", self.id, error)
            waiting, self.done = self.done, asyncio.get_running_loop().create_future()
            waiting.set_result(code)

    async def _go(self, code: int) -> None:
        try:
            await self._delete()
        finally:
            self._task = None
        self.done.set_result(code)

"""`docker exec`: one more process in a running container."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from daemon.models import ExecCreate
from daemon.options import exec_options, first_size
from daemon.run import Run
from daemon.spawning import SpawnerLink
from lab.assemble import assemble_exec
from lab.errors import Conflict, LabError
from lab.spec import Spec
from lab.store import new_id


class Entered(Protocol):
    """What an Exec needs of its container."""

    spec: Spec

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def link(self) -> SpawnerLink: ...

    def event(self, action: str, **attributes: str) -> None: ...

    def require_awake(self) -> None: ...

    def kept_awake(self) -> AbstractAsyncContextManager[None]: ...


class Exec:
    """Made by POST /containers/ID/exec, started once by POST /exec/ID/start; or by a health check.

    ended: a task that is done when the process has ended and its output is read; set by start().
    """

    ended: asyncio.Task[None]

    def __init__(self, container: Entered, body: ExecCreate) -> None:
        container.require_awake()
        self.id, self.container, self.body = new_id(), container, body
        self.spec = assemble_exec(exec_options(body, container.id), container.spec)
        self.run = Run()
        self.beginning = asyncio.Lock()  # held while it is being started
        self.started = False
        self.failed: int | None = None
        container.event(f"exec_create: {' '.join(body.Cmd)}", execID=self.id)

    @property
    def exit_code(self) -> int | None:
        """None until the process has ended."""
        return self.run.exit_code if self.failed is None else self.failed

    @property
    def running(self) -> bool:
        """From the request to start it on, as in dockerd."""
        return self.started and self.exit_code is None

    def claim(self) -> None:
        """Take the right to start it, which exists once. Raises Conflict, NotRunning."""
        if self.started:
            raise Conflict(f"Error: Exec command {self.id} has already run or is running")
        self.container.require_awake()
        self.started = True

    async def start(self, loginuid: int | None) -> None:
        """Start the process, stamped with a given loginuid. Raises what lab.runtime.spawn_into() raises.

        The exit code is then the error's: 126, 127 or 125.
        """
        self.spec.console_size = first_size(self.body.ConsoleSize)
        try:
            async with self.beginning, self.container.kept_awake():
                await self.run.start(
                    self.container.link, self.id, self.spec,
                    stdin=self.body.AttachStdin, into=self.container.id, loginuid=loginuid,
                )  # fmt: skip
        except LabError as error:
            self.failed = error.exit_code
            self.run.output.abandon()
            raise
        self.container.event(f"exec_start: {' '.join(self.body.Cmd)}", execID=self.id)
        self.ended = asyncio.create_task(self._supervise())

    async def _supervise(self) -> None:
        code = await self.run.finish()
        self.container.event("exec_die", execID=self.id, exitCode=str(code))

"""One container's life: created -> running <-> paused -> exited -> removed.

Every change of state happens in one of Container's methods, under its lock; what survives the daemon is in
lab.record's Record, the rest is here.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
from collections.abc import AsyncGenerator
from typing import Any, Protocol

from daemon.events import Events
from daemon.run import Run
from daemon.spawning import SpawnerLink
from daemon.stdio import Pulse
from lab.damage import DAMAGED
from lab.errors import Conflict, LabError, NoSpace, NoSuchContainer, NotRunning, StillRunning
from lab.pidfd import is_alive
from lab.record import UNKNOWN, Record
from lab.runtime import cgroup
from lab.signals import signal_number
from lab.spec import Spec
from lab.store import Store

log = logging.getLogger("labd")
STOP_SECONDS = 10


class Keeper(Protocol):
    """What a container needs of the engine that keeps it."""

    events: Events
    link: SpawnerLink
    store: Store

    async def forget(self, container: Container) -> None:
        """Delete it, and all it has on disk. Raises OSError if it has to stay."""


class Container:
    """A container that the daemon knows. record is its part on disk; body is Docker's create request as stored."""

    def __init__(self, engine: Keeper, record: Record) -> None:
        self.engine, self.record = engine, record
        self.spec: Spec = record.spec
        self.body: dict[str, Any] = record.config["body"]
        self.run = Run()
        self.paused = False
        self.removed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.log_grew = Pulse()
        self._next_exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._changing = asyncio.Lock()
        self._supervisor: asyncio.Task[None] | None = None
        self._restarting = 0  # requests under way
        self._removing: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def status(self) -> str:
        """One of Docker's words: created, running, paused, exited; dead if its record is damaged."""
        if self.record.status == DAMAGED:
            return "dead"
        return "paused" if self.paused else self.record.status

    @property
    def running(self) -> bool:
        """Whether it has processes, be they paused."""
        return self.record.status == "running"

    @property
    def exit_code(self) -> int:
        return self.record.state.get("exit_code") or 0

    @property
    def pid(self) -> int:
        return self.run.process.pid if self.running and self.run.process else 0

    def event(self, action: str, **attributes: str) -> None:
        """Tell those who follow the daemon's events."""
        known = {"image": self.record.config["image"], "name": self.name, **attributes}
        self.engine.events.add("container", action, self.id, known, self.body["Labels"])

    def require_running(self) -> None:
        """Raises NotRunning."""
        if not self.running:
            raise NotRunning(f"Container {self.id} is not running", "start it first")

    def require_awake(self) -> None:
        """Raises NotRunning, Conflict."""
        self.require_running()
        if self.paused:
            raise Conflict(f"Container {self.id} is paused", "unpause the container before exec")

    @contextlib.asynccontextmanager
    async def kept_awake(self) -> AsyncGenerator[None, None]:
        """It is not paused meanwhile: a process that is born frozen would hold up the spawner, and so all others.

        Raises NotRunning, Conflict.
        """
        async with self._changing:
            self.require_awake()
            yield

    async def start(self, loginuid: int | None = None) -> bool:
        """Start its process, stamped with loginuid if given; False if it runs already.

        Raises CommandNotFound, CommandNotExecutable, CannotStart.
        """
        async with self._changing:
            self._require_present()
            self.require_sound()
            if self.running:
                return False
            try:
                await self._spawn(loginuid)
            except LabError as error:
                self.run.output.abandon()
                self.run = Run()
                if not self.removed.done():
                    self._save(exit_code=error.exit_code, error=error.message)
                    if self.body["HostConfig"]["AutoRemove"]:
                        await self._remove(error.exit_code)
                raise
            return True

    async def _spawn(self, loginuid: int | None) -> None:
        run = self.run
        self._save_or_refuse(error="")
        run.output.on_record = self.log_grew.beat
        self.spec.cgroup = cgroup.path(self.id, self.spec)
        process = await run.start(
            self.engine.link,
            self.id,
            self.spec,
            stdin=self.body["OpenStdin"],
            log=self.record.log_path,
            loginuid=loginuid,
        )
        size = self.body["HostConfig"]["ConsoleSize"]
        if self.spec.tty and len(size) == 2 and all(size):
            run.resize(*size)
        try:
            self.record.started(process.pid, self.engine.link.pid, self.spec.cgroup)
        except OSError as error:  # a daemon that is killed could not tell the next one of it
            process.kill(signal.SIGKILL)
            await self._supervise(run)
            raise _not_recorded(error) from None
        self.event("start")
        self._supervisor = asyncio.create_task(self._supervise(run))

    async def _supervise(self, run: Run) -> None:
        code = await run.finish()
        if self.paused:
            self.paused = False
        try:
            self._record_end(code, run.oom_killed)
        finally:  # whatever the disk says: who waits must hear
            self.run = Run()
            self.event("die", exitCode=str(code))
            waiting, self._next_exit = self._next_exit, asyncio.get_running_loop().create_future()
            waiting.set_result(code)
            if self.body["HostConfig"]["AutoRemove"] and not self._restarting:
                await self._remove_or_tell(code)

    def _record_end(self, code: int, oom_killed: bool) -> None:
        try:
            self.record.exited(code, oom_killed)
        except OSError as error:
            log.error("the end of container %s (exit code %d) cannot be recorded: %s", self.id, code, error.strerror)
        if code == UNKNOWN and not is_alive(self.record.state["monitor"], self.record.state["monitor_start_time"]):
            self._save(error="how it ended is unknown: the daemon's spawner was killed")

    def _save(self, **changes: Any) -> None:
        """Into the state; what the disk has no room for is at least known until the daemon ends."""
        try:
            self.record.save_state(**changes)
        except OSError as error:
            log.error("the state of container %s cannot be written: %s", self.id, error.strerror)

    def _save_or_refuse(self, **changes: Any) -> None:
        """As _save(), but raises NoSpace, LabError: before a start, of which the disk must know."""
        try:
            self.record.save_state(**changes)
        except OSError as error:
            raise _not_recorded(error) from None

    def waiter(self, condition: str) -> asyncio.Future[int]:
        """A future of the exit code: for "not-running", "next-exit" or "removed"."""
        if condition == "removed":
            return self.removed
        if condition == "next-exit" or self.running:
            return self._next_exit
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        done.set_result(self.exit_code)
        return done

    def kill(self, number: int) -> None:
        """Signal its first process. Raises NotRunning."""
        self.require_running()
        if self.run.process:
            self.run.process.kill(number)
        if number == signal.SIGKILL and self.paused:
            cgroup.freeze(self.spec.cgroup, False)  # version 1's freezer holds even SIGKILL back
        self.event("kill", signal=str(number))

    async def kill_and_wait(self, number: int) -> None:
        """As kill(); after SIGKILL returns when it is dead, as dockerd does."""
        exited = self.waiter("next-exit")
        self.kill(number)
        if number == signal.SIGKILL:
            await asyncio.shield(exited)

    async def stop(self, seconds: float | None, number: int | None = None) -> bool:
        """Its stop signal (or this one), and SIGKILL after so many seconds (None: never). False if it did not run."""
        if not self.running:
            return False
        exited = self.waiter("next-exit")
        with contextlib.suppress(NotRunning):
            self.kill(number or self.stop_signal)
            if self.paused:
                self.resume()
            try:
                async with asyncio.timeout(seconds):
                    await asyncio.shield(exited)
            except TimeoutError:
                self.kill(signal.SIGKILL)
        await asyncio.shield(exited)
        self.event("stop")
        return True

    @property
    def stop_signal(self) -> int:
        return signal_number(self.body["StopSignal"] or "TERM")

    async def restart(self, seconds: float | None, number: int | None, loginuid: int | None) -> None:
        """stop() and start(), between which AutoRemove rests. Raises what start() raises."""
        self._restarting += 1
        try:
            await self.stop(seconds, number)
            await self.start(loginuid)
        finally:
            self._restarting -= 1
        self.event("restart")

    async def pause(self) -> None:
        """Freeze all its processes. Raises NotRunning, Conflict, MissingFeature."""
        async with self._changing:
            self.require_running()
            if self.paused:
                raise Conflict(f"Container {self.id} is already paused")
            await asyncio.to_thread(cgroup.freeze, self.spec.cgroup, True)
            self.paused = self.running
        self.event("pause")

    def resume(self) -> None:
        """Thaw them. Raises Conflict if it is not paused."""
        if not self.paused:
            raise Conflict(f"Container {self.id} is not paused")
        cgroup.freeze(self.spec.cgroup, False)
        self.paused = False
        self.event("unpause")

    def rename(self, name: str) -> None:
        """Raises NameInUse, InvalidArgument, Conflict."""
        self._require_present()
        self.require_sound()
        old = self.name
        self.engine.store.rename(self.record, name)
        self.event("rename", oldName=f"/{old}")

    async def remove(self, force: bool) -> None:
        """Delete it and its log. Raises StillRunning without force."""
        async with self._changing:
            if self._removing is None:
                self._require_present()
            if self.running:
                if not force:
                    raise StillRunning(
                        f'cannot remove container "/{self.name}": container is {self.status}',
                        "stop the container before removing or force remove",
                    )
                exited = self.waiter("next-exit")
                self.kill(signal.SIGKILL)
                await asyncio.shield(exited)
            await self._remove(self.exit_code)

    async def _remove(self, code: int) -> None:
        """Once, whoever asks: AutoRemove may have begun with it. Raises OSError."""
        if self.removed.done():
            return
        if self._removing is None:
            self._removing = asyncio.create_task(self._delete(code))
        await asyncio.shield(self._removing)

    async def _delete(self, code: int) -> None:
        self.run.output.abandon()
        try:
            await self.engine.forget(self)
        finally:
            self._removing = None
        self.event("destroy")
        self.removed.set_result(code)

    async def _remove_or_tell(self, code: int) -> None:
        """For AutoRemove: if it cannot be deleted, it stays, to be removed by hand; who waits must hear."""
        try:
            await self._remove(code)
        except OSError as error:
            log.error("container %s cannot be removed: %s", self.id, error)
            waiting, self.removed = self.removed, asyncio.get_running_loop().create_future()
            waiting.set_result(code)

    def _require_present(self) -> None:
        if self.removed.done():
            raise NoSuchContainer(f"No such container: {self.id}")
        if self._removing:
            raise Conflict(f"removal of container {self.id} is already in progress")

    def require_sound(self) -> None:
        """Raises Conflict for one whose record is damaged: it can be looked at and removed."""
        if self.status == "dead":
            raise Conflict(f"container {self.name} is damaged: {self.record.state['error']}", "remove it")


def _not_recorded(error: OSError) -> LabError:
    kind = NoSpace if error.errno in (errno.ENOSPC, errno.EDQUOT) else LabError
    return kind(
        f"the container's start cannot be recorded: {error.strerror}", "make room on the disk of labd's state directory"
    )

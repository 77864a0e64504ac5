"""One container's life: created -> running <-> paused -> exited -> removed.

Every change of state happens in one of Container's methods. What must survive the daemon is in the record on disk
(daemon.recording), the rest is here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncGenerator
from typing import Any, Protocol

from daemon import joining, recording, volumes
from daemon.attribution import NOBODY, Asker, Attribution
from daemon.events import Events
from daemon.health import Monitor
from daemon.models import Restart
from daemon.options import first_size
from daemon.removal import Removal
from daemon.restarting import Comeback
from daemon.run import Run
from daemon.spawning import SpawnerLink
from daemon.stdio import Pulse
from lab.damage import DAMAGED
from lab.errors import Conflict, InvalidArgument, LabError, NotRunning, StillRunning
from lab.record import UNKNOWN, Record
from lab.runtime import cgroup, cgroup_control
from lab.signals import signal_number
from lab.spec import Spec
from lab.store import Store
from lab.volumes import Volumes

log = logging.getLogger("labd")
STOP_SECONDS = 10


class Keeper(Protocol):
    """What a container needs of the engine that keeps it; closing: no container comes back any more."""

    attribution: Attribution
    closing: bool
    events: Events
    link: SpawnerLink
    host_link: SpawnerLink
    store: Store
    volumes: Volumes

    def find(self, reference: str) -> Container:
        """Raises NoSuchContainer, InvalidArgument."""

    async def forget(self, container: Container) -> None:
        """Delete the container and its files. Raises OSError if that is impossible."""


class Container:
    """A container that the daemon knows. record: its part on disk; body: Docker's create request as stored there."""

    def __init__(self, engine: Keeper, record: Record) -> None:
        self.engine, self.record = engine, record
        self.spec: Spec = record.spec
        self.body: dict[str, Any] = record.config["body"]
        self.run, self.link = Run(), engine.link
        self.paused = False
        self.removal = Removal(self.id, self._delete)
        self.takes_volumes: bool = self.body["HostConfig"]["AutoRemove"]  # whether its end is that of its volumes
        self.log_grew = Pulse()
        self.comeback = Comeback(self)
        self.health = Monitor(self)
        self._next_exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.changing = asyncio.Lock()
        self._files = asyncio.Lock()  # while it is held they are not deleted; AutoRemove does not take the other lock
        self._beginning = asyncio.Lock()  # held by a start, whoever asked for it
        self._supervisor: asyncio.Task[None] | None = None
        self._restarting = 0  # how many restart requests are being served

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def status(self) -> str:
        """One of Docker's words: created, running, paused, restarting, exited; dead if the record is damaged."""
        if self.record.status == DAMAGED:
            return "dead"
        if self.restarting:
            return "restarting"
        return "paused" if self.paused else self.record.status

    @property
    def running(self) -> bool:
        """Whether it has processes, paused ones included."""
        return self.record.status == "running"

    @property
    def restarting(self) -> bool:
        """Whether it has ended, and is to be started again by its restart policy."""
        return self.comeback.pending

    @property
    def starting(self) -> bool:
        """Whether a start is under way, whoever asked for it; one that fails then is not followed by another."""
        return self._beginning.locked()

    @property
    def closing(self) -> bool:
        return self.engine.closing

    @property
    def policy(self) -> Restart:
        return Restart.model_validate(self.body["HostConfig"]["RestartPolicy"])

    @property
    def exit_code(self) -> int:
        return self.record.state.get("exit_code") or 0

    @property
    def pid(self) -> int:
        return self.run.process.pid if self.running and self.run.process else 0

    def event(self, action: str, **attributes: str) -> None:
        """Add an event to the daemon's events."""
        known = {"image": self.record.config["image"], "name": self.name, **attributes}
        self.engine.events.add("container", action, self.id, known, self.body["Labels"])

    def require_running(self) -> None:
        """Raises NotRunning."""
        if not self.running:
            raise NotRunning(f"Container {self.id} is not running", "start it first")

    def require_awake(self) -> None:
        """Raises NotRunning, Conflict."""
        if self.restarting:
            raise Conflict(f"Container {self.id} is restarting, wait until the container is running")
        self.require_running()
        if self.paused:
            raise Conflict(f"Container {self.id} is paused", "unpause the container first")

    @contextlib.asynccontextmanager
    async def frozen(self, wanted: bool) -> AsyncGenerator[None, None]:
        """For the length of a `with` its files stay and, if wanted, its processes stand still.

        Raises NoSuchContainer, Conflict, MissingFeature.
        """
        async with self.changing, self._files:
            self.removal.require_present()
            freeze = wanted and self.running and not self.paused
            if freeze:
                with contextlib.suppress(NotRunning):  # it has just ended
                    await asyncio.to_thread(cgroup_control.freeze, self.spec.cgroup, True)
            try:
                yield
            finally:
                if freeze and self.running:
                    cgroup_control.thaw(self.spec.cgroup)

    @contextlib.asynccontextmanager
    async def kept_awake(self) -> AsyncGenerator[None, None]:
        """For the length of a `with` the container cannot be paused. Raises NotRunning, Conflict.

        A process that is born frozen does not exec, and its start would time out.
        """
        async with self.changing:
            self.require_awake()
            yield

    async def start(self, asker: Asker = NOBODY) -> bool:
        """Start the first process, stamped with the asker's loginuid if it has one; False if it runs already.

        Raises CommandNotFound, CommandNotExecutable, CannotStart.
        """
        async with self.changing:
            await self.end_recorded()
            self.removal.require_present()
            self.require_sound()
            if self.running or self.restarting:
                return False
            self.record.state.update(restart_count=0, stopped=False)  # _spawn() writes them
            self.comeback.begin_anew()
            await self._begin(asker)
            return True

    async def _begin(self, asker: Asker) -> None:
        async with self._beginning:
            try:
                await self._spawn(asker)
            except LabError as error:
                await self._start_failed(error, asker)
                raise

    async def settled(self) -> None:
        """Wait for the end of a start that is under way; dockerd's start keeps its container locked so long."""
        async with self._beginning:
            pass

    async def end_recorded(self) -> None:
        """If its process has ended, wait until that is recorded: its last output comes first; daemon.stdio."""
        if self.running and self.run.process and self.run.process.ended.done():
            await asyncio.shield(self._next_exit)

    async def _start_failed(self, error: LabError, asker: Asker) -> None:
        self.run.output.abandon()
        self.run = Run()
        await asyncio.to_thread(cgroup.remove, self.spec.cgroup)  # a spawner that died meanwhile has left it
        if not self.removal.done.done():
            recording.save(self.record, exit_code=error.exit_code, error=error.message)
            if self.body["HostConfig"]["AutoRemove"]:
                await self.removal.carry_out(error.exit_code)
        await self.engine.attribution.audit("start", self.id, self.name, 0, asker.peer, success=False)

    async def _spawn(self, asker: Asker) -> None:
        run = self.run
        recording.save_before_start(self.record, self.spec)
        run.output.on_record = self.log_grew.beat
        self.spec.cgroup = cgroup.path(self.id, self.spec)
        spec = Spec.from_dict(self.spec.to_dict())
        spec.console_size = first_size(self.body["HostConfig"]["ConsoleSize"])
        with joining.joined(spec, self.engine.find) as others:
            self.link = self.engine.host_link if spec.pid == "host" else self.engine.link
            process = await run.start(
                self.link, self.id, spec,
                stdin=self.body["OpenStdin"], log=self.record.log_path, loginuid=asker.loginuid, joined=others,
            )  # fmt: skip
        try:
            self.record.started(process.pid, self.link.pid, self.spec.cgroup)
        except OSError as error:  # if this daemon were killed, the next one could not know of the process
            process.kill(signal.SIGKILL)
            await self._supervise(run)
            raise recording.not_recorded(error) from None
        told = self.engine.attribution.audit("start", self.id, self.name, process.pid, asker.peer)
        volumes.tell_mounts(self, "mount")
        self.event("start")
        self.health.start()
        process.ended.add_done_callback(lambda _: self.health.stop())  # a check that cannot begin then is no failure
        self._supervisor = asyncio.create_task(self._supervise(run, asyncio.create_task(told)))

    async def _supervise(self, run: Run, told: asyncio.Task[None] | None = None) -> None:
        """Wait for the end of the run, and record it; told ends when the audit log has been told of the start."""
        code = await run.finish()
        if code == UNKNOWN:  # a spawner that was killed has left the cgroup; any other has removed it
            await asyncio.to_thread(cgroup.remove, self.spec.cgroup)
        if told:
            await told
            await self.engine.attribution.audit("stop", self.id, self.name, self.pid)
        self.paused = False
        try:
            recording.save_end(self.record, code, run.oom_killed)
        finally:  # waiting clients must get the exit code even if the disk fails
            self.run = Run()
            self.event("die", exitCode=str(code))
            volumes.tell_mounts(self, "unmount")
            self._tell_waiters(code)
            if self.body["HostConfig"]["AutoRemove"] and not self._restarting:
                await self.removal.carry_out_or_tell(code)
            elif not self._restarting:
                self.comeback.plan()

    async def start_again(self) -> None:
        """By the policy and not by a user: the loginuid is the daemon's, whatever it stamps for others."""
        if self.removal.begun:
            return
        self.record.state["restart_count"] = self.record.state.get("restart_count", 0) + 1
        try:
            await self._begin(NOBODY)
        except LabError as error:
            log.error("container %s cannot be started again: %s", self.id, error.message)
            self._tell_waiters(error.exit_code)

    def waiter(self, condition: str) -> asyncio.Future[int]:
        """A future of the exit code for Docker's conditions "not-running", "next-exit" and "removed"."""
        if condition == "removed":
            return self.removal.done
        if condition == "next-exit" or self.running or self.restarting:
            return self._next_exit
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        done.set_result(self.exit_code)
        return done

    def kill(self, number: int) -> None:
        """Signal the first process; after the stop signal or SIGKILL it does not come back. Raises NotRunning."""
        if number in (self.stop_signal, signal.SIGKILL) and self._stay_away():
            return
        if not self.running:
            raise NotRunning(f"Cannot kill container: {self.name}: Container {self.id} is not running")
        if self.run.process:
            self.run.process.kill(number)
        if number == signal.SIGKILL and self.paused:
            cgroup_control.thaw(self.spec.cgroup)
        self.event("kill", signal=str(number))

    def _stay_away(self) -> bool:
        """Not to be started again; whether it was waiting for that."""
        if not self.closing and self.policy.Name not in ("", "no"):
            recording.save(self.record, stopped=True)
        elif not self.closing and self.running:  # written with its end: until then an update may bring a policy
            self.record.state["stopped"] = True
        if not self.comeback.cancel():
            return False
        self._tell_waiters(self.exit_code)
        return True

    def _tell_waiters(self, code: int) -> None:
        waiting, self._next_exit = self._next_exit, asyncio.get_running_loop().create_future()
        waiting.set_result(code)

    async def kill_and_wait(self, number: int) -> None:
        """kill(); SIGKILL returns only once the process has ended, as in dockerd."""
        await self.settled()
        exited = self.waiter("next-exit")
        self.kill(number)
        if number == signal.SIGKILL:
            await asyncio.shield(exited)

    async def stop(self, seconds: float | None, number: int | None = None) -> bool:
        """Send the stop signal (or `number`), and SIGKILL after `seconds` (None: never). False if it did not run."""
        await self.settled()
        if self._stay_away():
            self.event("stop")
            return True
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

    async def restart(self, seconds: float | None, number: int | None, asker: Asker) -> None:
        """stop() and start(); AutoRemove does not act in between. Raises what start() raises."""
        self._restarting += 1
        try:
            await self.stop(seconds, number)
            await self.start(asker)
        finally:
            self._restarting -= 1
        self.event("restart")

    async def pause(self) -> None:
        """Freeze all processes. Raises NotRunning, Conflict, MissingFeature."""
        async with self.changing:
            self.require_running()
            if self.paused:
                raise Conflict(f"Container {self.id} is already paused")
            await asyncio.to_thread(cgroup_control.freeze, self.spec.cgroup, True)
            self.paused = self.running
        self.event("pause")

    def resume(self) -> None:
        """Thaw all processes. Raises Conflict if the container is not paused."""
        if not self.paused:
            raise Conflict(f"Container {self.id} is not paused")
        cgroup_control.freeze(self.spec.cgroup, False)
        self.paused = False
        self.event("unpause")

    def rename(self, name: str) -> None:
        """Raises NameInUse, InvalidArgument, Conflict."""
        self.removal.require_present()
        self.require_sound()
        old = self.name
        if name == old:
            raise InvalidArgument("Renaming a container with the same name as its current name", "choose another name")
        self.engine.store.rename(self.record, name)
        self.event("rename", oldName=f"/{old}")

    async def remove(self, force: bool, with_volumes: bool = False) -> None:
        """Delete the container and its files; with_volumes: and its anonymous volumes.

        Raises StillRunning if it runs, unless force is set.
        """
        async with self.changing:
            await self.end_recorded()
            self.removal.require_present(or_going=True)
            self.takes_volumes |= with_volumes
            if self.running or self.restarting:
                if not force:
                    raise StillRunning(
                        f'cannot remove container "/{self.name}": container is {self.status}',
                        "stop the container before removing or force remove",
                    )
                exited = self.waiter("next-exit")
                self.kill(signal.SIGKILL)
                await asyncio.shield(exited)
            await self.removal.carry_out(self.exit_code)

    async def _delete(self) -> None:
        self.run.output.abandon()
        async with self._files:
            await self.engine.forget(self)
        self.event("destroy")
        self._tell_waiters(self.exit_code)  # one that has never run has no other end
        if self.takes_volumes:
            await volumes.release(self.spec, self.engine.volumes, self.engine.events)

    def require_sound(self) -> None:
        """Raises Conflict if the record is damaged: such a container can only be inspected and removed."""
        if self.status == "dead":
            raise Conflict(f"container {self.name} is damaged: {self.record.state['error']}", "remove it")

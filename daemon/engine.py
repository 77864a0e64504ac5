"""What one daemon knows: its containers, execs, images and events, and the spawner behind them."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
from pathlib import Path

from daemon import volumes
from daemon.attribution import Attribution
from daemon.containers import Container
from daemon.events import Events
from daemon.execs import Exec
from daemon.models import ContainerCreate, ExecCreate
from daemon.names import random_name
from daemon.options import run_options
from daemon.record_check import checked
from daemon.settling import settled
from daemon.spawning import SpawnerLink
from lab import files, mounting, netfiles
from lab.assemble import assemble
from lab.errors import Conflict, InvalidArgument, NoSuchContainer, NoSuchExec, NotRunning
from lab.images import Images
from lab.pidfd import ended, send_signal
from lab.record import Record
from lab.runtime import cgroup, cgroup_control
from lab.spec import Mount
from lab.store import Store, new_id
from lab.volumes import Volumes

log = logging.getLogger("labd")
EXECS_KEPT = 1000  # more are dropped, the oldest idle one first: the request of each may have megabytes
SPAWNER_SECONDS = SURVIVOR_SECONDS = 10


class Engine:
    """root/labd holds the containers, root/images the images, which podmanish shares.

    shutdown_timeout: seconds between the stop signal and SIGKILL for containers that run at the daemon's end.
    """

    def __init__(self, root: Path, attribution: Attribution, shutdown_timeout: int) -> None:
        self.root, self.attribution, self.shutdown_timeout = root, attribution, shutdown_timeout
        files.close_state(str(root))
        self.images = Images(str(root / "images"))
        self.store = Store(str(root / "labd"))
        self.volumes = Volumes(f"{self.store.root}/volumes", self.users_of_volume, self.unreadable)
        self.events = Events()
        self.containers: dict[str, Container] = {}
        self.execs: dict[str, Exec] = {}
        self.closing = False
        self._lock = lock(root / "labd.lock")
        self._spawner_lock = wait_for_lock(root / "spawner.lock")
        self.link = SpawnerLink(self.store.root, self._spawner_lock)
        self.host_link = SpawnerLink(self.store.root, self._spawner_lock, apart=False)  # started when it is needed

    async def start(self) -> None:
        """Start the spawner; read from disk how an earlier daemon's containers ended."""
        self.link.start()
        self.images.sweep()
        self.store.sweep()
        self.volumes.sweep()
        cgroup.sweep()
        for record in self.store.list():
            if record.status == "running":
                end_survivor(record)
            elif not record.damage:
                cgroup.remove(cgroup.path(record.id, record.spec))  # of a start that was killed with the daemon
            container = Container(self, checked(record))
            self.containers[container.id] = container
            if container.body["HostConfig"]["AutoRemove"]:
                try:
                    await self.forget(container)
                    await volumes.release(container.spec, self.volumes, self.events)
                except OSError as error:
                    log.error("container %s cannot be removed: %s", container.id, error)
            else:
                container.comeback.plan(daemon_began=True)

    async def end_containers(self) -> None:
        """End all containers as dockerd does: stop signal, and SIGKILL after the timeout."""
        self.closing = True
        stops = [container.stop(self.shutdown_timeout) for container in self.containers.values()]
        await asyncio.gather(*stops, return_exceptions=True)
        self.events.close()

    async def close(self) -> None:
        """End the spawners, and with them every process that still runs; release the locks."""
        await asyncio.gather(self.link.stop(), self.host_link.stop())
        os.close(self._spawner_lock)
        os.close(self._lock)

    async def create(self, body: ContainerCreate, name: str = "") -> Container:
        """Make a container. Raises NoSuchImage, InvalidArgument, NameInUse, NotImplementedHere, CannotStart."""
        options = run_options(body)
        image = self.images.find(options.image)
        container_id = new_id()
        mounting.settle(options, image, self._mounts_of)
        layer = "" if image.is_host else f"{self.store.root}/containers/{container_id}/layer"
        spec = assemble(options, image, container_id, layer, state=str(self.root))
        names = netfiles.config(options)
        folder = f"{self.store.root}/containers/{container_id}"
        spec.mounts += netfiles.mounts(spec, image, folder, names.get("names", {}))
        kept = settled(body, options)

        def add() -> Record:
            config = {
                "image": body.Image, "image_id": image.id, "spec": spec.to_dict(), "rm": options.rm,
                "body": kept, **names,
            }  # fmt: skip
            return self.store.create(container_id, name.removeprefix("/") or random_name(container_id), config)

        record, new = mounting.make(spec, image, self.volumes, add)
        container = self.containers[container_id] = Container(self, record)
        volumes.tell(self.events, "create", new)
        container.event("create")
        await volumes.furnish(container, image)
        return container

    def _mounts_of(self, reference: str) -> list[Mount]:
        container = self.find(reference)
        container.require_sound()
        return container.spec.mounts

    def users_of_volume(self, name: str) -> list[str]:
        """The ids of the containers that have this volume, running or not."""
        return [c.id for c in tuple(self.containers.values()) if any(m.name == name for m in c.spec.mounts)]

    def unreadable(self) -> list[str]:
        """The ids of the containers whose mounts are not known, because the config on the disk is damaged."""
        return [c.id for c in tuple(self.containers.values()) if c.record.damage]

    def find(self, reference: str) -> Container:
        """By name, id or unique beginning of an id. Raises NoSuchContainer, InvalidArgument."""
        if reference in self.containers:
            return self.containers[reference]
        name = reference.removeprefix("/")
        matching = []
        for container in self.containers.values():
            if container.name == name:
                return container
            if reference and container.id.startswith(reference):
                matching.append(container)
        if len(matching) > 1:
            raise InvalidArgument(f"multiple IDs found with provided prefix: {reference}", "write more of the id")
        if not matching:
            raise NoSuchContainer(f"No such container: {reference[:200]}")
        return matching[0]

    def find_exec(self, exec_id: str) -> Exec:
        """Raises NoSuchExec."""
        if exec_id not in self.execs:
            raise NoSuchExec(f"No such exec instance: {exec_id[:200]}")
        return self.execs[exec_id]

    def create_exec(self, container: Container, body: ExecCreate) -> Exec:
        """Make an exec. Raises NotRunning, Conflict, InvalidArgument.

        It is kept until its container is removed, or until EXECS_KEPT newer ones exist and it does not run.
        """
        new = Exec(container, body)
        self.execs[new.id] = new
        if len(self.execs) > EXECS_KEPT:
            spare = next((key for key, found in self.execs.items() if found is not new and not found.running), None)
            if spare:
                del self.execs[spare]
        return new

    def running_execs(self, container: Container) -> list[str]:
        """The ids of the execs that run in this container."""
        return [found.id for found in self.execs.values() if found.container is container and found.running]

    async def forget(self, container: Container) -> None:
        """Delete a container that does not run, and its files.

        Raises OSError if its name cannot be released. If its files cannot be deleted, the next start tries again.
        """
        hidden = self.store.hide(container.record)
        self.containers.pop(container.id, None)
        for exec_id in [key for key, value in self.execs.items() if value.container is container]:
            del self.execs[exec_id]
        try:
            if hidden:
                await asyncio.to_thread(files.remove_tree, hidden)
        except OSError as error:
            log.error("%s cannot be deleted now: %s", hidden, error)


def end_survivor(record: Record) -> None:
    """Kill a container whose spawner has died, and wait: the kernel may not have ended it yet."""
    with contextlib.suppress(NotRunning):
        pidfd = record.open()
        send_signal(pidfd, signal.SIGKILL)
        if path := record.state.get("cgroup"):
            cgroup_control.thaw(path)
        ended(pidfd, SURVIVOR_SECONDS)
        os.close(pidfd)
    record.reload()


def lock(path: Path) -> int:
    """Lock this state directory for this daemon; return the descriptor. Raises Conflict if another daemon holds it.

    flock(2) ends with its holder, however the holder dies. A pid in a file could belong to another process by now.
    """
    if not path.parent.exists():
        files.make_private(str(path.parent))
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise Conflict(
            f"another labd is running with the state directory {path.parent}", "stop it first, or use another --state"
        ) from None
    return fd


def wait_for_lock(path: Path) -> int:
    """Wait for the spawner of a killed daemon to record its containers' ends. Raises Conflict after SPAWNER_SECONDS."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def give_up(*_: object) -> None:
        raise Conflict(f"the spawner of an earlier labd still holds {path}", f"find it with `fuser {path}`, and end it")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(SPAWNER_SECONDS)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return fd

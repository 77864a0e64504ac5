"""Containers on disk: a directory each, a symlink for each name, changes under flock(2).

ROOT/names                locked while a name is taken or freed
ROOT/names/NAME           -> the id
ROOT/containers/ID/config what was asked for; lab.record
ROOT/containers/ID/state  what became of it; lab.record
ROOT/containers/ID/log    what the container wrote; lab.logs
ROOT/containers/ID/layer  upper/ and work/ of its overlay, if it has one
ROOT/containers/.ID       a container that is being made or removed
"""

from __future__ import annotations

import fcntl
import os
import time

from lab import files
from lab.errors import PROGRAM, InvalidArgument, NameInUse, NoSuchContainer, NotAllowed
from lab.files import Lock
from lab.pidfd import start_time
from lab.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
ID_LENGTH = 64


class Store:
    """All containers of one engine below one directory."""

    def __init__(self, root: str) -> None:
        self.root = root

    def create(self, container_id: str, name: str, config: dict[str, Any], monitor: int = 0) -> Record:
        """plan() a container and add() it to the disk. Raises InvalidArgument, NameInUse."""
        container = self.plan(container_id, name, config, monitor)
        self.add(container)
        return container

    def plan(self, container_id: str, name: str, config: dict[str, Any], monitor: int = 0) -> Record:
        """A container that is not on disk yet. Raises InvalidArgument for a name that Docker would not take.

        monitor is the pid of the process that is about to start it, 0 if there is none yet: a planned container whose
        monitor has died counts as ended.
        """
        check_name(name)
        state = {"status": "created", "monitor": monitor, "monitor_start_time": monitor and start_time(monitor)}
        config = {"name": name, "created": time.time_ns(), **config}
        return Record(f"{self.root}/containers/{container_id}", config, state)

    def add(self, container: Record) -> None:
        """Reserve the id and the name, and write the container to disk. Raises NameInUse."""
        with self._lock():
            self._take_name(container.name, container.id)
            making = self._unfinished(container.id)
            try:
                os.mkdir(making, 0o700)
                files.write_new(f"{making}/config", container.config, durable=container.is_durable)
                files.write_new(f"{making}/state", container.state, durable=container.is_durable)
                if container.config["spec"]["layer"]:
                    _make_layer(f"{making}/layer")
                os.rename(making, container.path)
                if container.is_durable:
                    for path in (container.path, os.path.dirname(making), f"{self.root}/names"):
                        files.sync_directory(path)
            except OSError:  # the disk is full
                self._drop(container.name, container.id)
                raise

    def end(self, container: Record, code: int, oom_killed: bool = False) -> None:
        """Record the exit code; remove a container of `--rm` instead, unless a process holds it to read the code."""
        if container.config["rm"] and self._remove_unless_held(container):
            return
        container.exited(code, oom_killed)

    def _remove_unless_held(self, container: Record) -> bool:
        try:
            self._remove(container, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, FileNotFoundError):
            return False
        return True

    def _remove(self, container: Record, operation: int = fcntl.LOCK_EX) -> None:
        """Free the name under the store's lock; then delete the files, which may take long, without it."""
        with Lock(container.path, operation):
            with self._lock():
                hidden = self._hide(container.name, container.id)
            files.remove_tree(hidden)

    def layer_path(self, container_id: str) -> str:
        """The directory of the container's overlay."""
        return f"{self.root}/containers/{container_id}/layer"

    def find(self, reference: str) -> Record:
        """The container with this id, name or beginning of an id. Raises NoSuchContainer, InvalidArgument."""
        container_id = self._by_id(reference) or self._by_name(reference) or self._by_prefix(reference)
        container = self._load(container_id) if container_id else None
        if container is None:
            raise NoSuchContainer(f"No such container: {reference}", f"`{PROGRAM} ps -a` lists all containers")
        return container

    def list(self) -> list[Record]:
        """All containers, the youngest first."""
        found = [container for container in map(self._load, self._ids()) if container]
        return sorted(found, key=lambda container: -container.config["created"])

    def rename(self, container: Record, name: str) -> None:
        """Give the container another name. Raises NameInUse, InvalidArgument."""
        check_name(name)
        with self._lock():
            self._take_name(name, container.id)
            old = container.name
            try:
                container.save_config(name=name)
            except OSError:  # the disk is full
                container.config["name"] = old
                os.unlink(f"{self.root}/names/{name}")
                raise
            os.unlink(f"{self.root}/names/{old}")

    def remove(self, container: Record) -> None:
        """Delete the container from disk as soon as no process holds it; do nothing if it is gone."""
        try:
            self._remove(container)
        except FileNotFoundError:
            pass  # another process has removed it or is removing it

    def hide(self, container: Record) -> str:
        """The first, quick part of remove(): free the name. Returns the directory to delete; "" if there is none."""
        try:
            with Lock(container.path), self._lock():
                return self._hide(container.name, container.id)
        except FileNotFoundError:
            return ""

    def sweep(self) -> None:
        """Delete what a process that was killed while it made or removed a container has left."""
        with self._lock():
            for name in os.listdir(f"{self.root}/containers"):  # none is being made right now: that needs the lock
                path = f"{self.root}/containers/{name}"
                if name.startswith(".") or not (os.path.exists(f"{path}/config") or os.path.exists(f"{path}/state")):
                    try:
                        with Lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB):  # a process that holds it is using it
                            files.remove_tree(path)
                    except (OSError, NotAllowed):
                        pass  # the next sweep tries again
            ids = self._ids()
            for name in os.listdir(f"{self.root}/names"):
                if self._by_name(name) not in ids:
                    os.unlink(f"{self.root}/names/{name}")

    def _drop(self, name: str, container_id: str) -> None:
        files.remove_tree(self._hide(name, container_id))

    def _hide(self, name: str, container_id: str) -> str:
        """Free the name and rename the directory; returns the directory, which the caller deletes."""
        if self._by_name(name) == container_id:
            os.unlink(f"{self.root}/names/{name}")
        try:
            os.rename(f"{self.root}/containers/{container_id}", self._unfinished(container_id))
        except FileNotFoundError:
            pass  # it was never renamed from .ID to ID
        return self._unfinished(container_id)

    def _unfinished(self, container_id: str) -> str:
        return f"{self.root}/containers/.{container_id}"

    def _lock(self) -> Lock:
        for path in (self.root, f"{self.root}/names", f"{self.root}/containers"):
            files.make_private(path)
        return Lock(f"{self.root}/names")

    def _ids(self) -> Sequence[str]:
        try:
            return [name for name in os.listdir(f"{self.root}/containers") if not name.startswith(".")]
        except FileNotFoundError:
            return ()

    def _take_name(self, name: str, container_id: str) -> None:
        link = f"{self.root}/names/{name}"
        owner = self._by_name(name)
        if owner:
            holder = self._load(owner)
            if holder and not holder.is_left_over:
                raise NameInUse(
                    f'the name "{name}" is already in use by container {owner[:12]}',
                    f"remove that container (`{PROGRAM} rm {name}`), or choose another name",
                )
            self._drop(name, owner)  # a `--rm` container whose monitor was killed
        os.symlink(container_id, link)

    def _by_name(self, name: str) -> str:
        if not name or not NAME_CHARACTERS.issuperset(name):
            return ""
        try:
            return os.readlink(f"{self.root}/names/{name}")
        except OSError:
            return ""

    def _by_id(self, reference: str) -> str:
        exact = len(reference) == ID_LENGTH and frozenset("0123456789abcdef").issuperset(reference)
        return reference if exact and os.path.isdir(f"{self.root}/containers/{reference}") else ""

    def _by_prefix(self, prefix: str) -> str:
        if not prefix or not frozenset("0123456789abcdef").issuperset(prefix):
            return ""
        ids = [name for name in self._ids() if name.startswith(prefix)]
        if len(ids) > 1:
            raise InvalidArgument(
                f"{len(ids)} containers have an id that begins with {prefix}", "write more digits of the id"
            )
        return ids[0] if ids else ""

    def _load(self, container_id: str) -> Record | None:
        from lab import damage  # a `run` need not import this

        path = f"{self.root}/containers/{container_id}"
        reason = ""
        try:
            try:
                config = damage.read_config(path)
            except damage.Damage as error:
                reason = str(error)
            except FileNotFoundError:
                if not os.path.exists(f"{path}/state"):
                    return None  # it is being removed, or its maker was killed
                reason = f"{path}/config: missing"
            if reason:
                config = damage.config_instead(path, self._name_of(container_id))
            container = Record(path, config, {})
            container.damage = reason
            return container.reload()
        except (FileNotFoundError, NotADirectoryError):
            return None  # removed meanwhile

    def _name_of(self, container_id: str) -> str:
        """The name whose symlink leads to a container without a config; else the beginning of its id."""
        names = [name for name in os.listdir(f"{self.root}/names") if self._by_name(name) == container_id]
        return names[0] if names else container_id[:12]


def _make_layer(path: str) -> None:
    """Make upper/ and work/ of an overlay. The mode of upper/ is that of the container's `/`, whatever the umask."""
    os.mkdir(path, 0o700)
    for part in ("upper", "work"):
        os.mkdir(f"{path}/{part}")
        os.chmod(f"{path}/{part}", 0o755)


def new_id() -> str:
    """64 hexadecimal digits, as in Docker and Podman."""
    return os.urandom(32).hex()


def check_name(name: str) -> None:
    """Docker's rule: [a-zA-Z0-9][a-zA-Z0-9_.-]+. Raises InvalidArgument."""
    if len(name) < 2 or len(name) > 200 or not NAME_CHARACTERS.issuperset(name) or name[0] in "_.-":
        raise InvalidArgument(
            f"invalid container name {name[:80]!r}",
            "use 2 to 200 letters, digits and _.-, and begin with a letter or a digit",
        )

"""Volumes on disk: directories that outlive containers, or go with them. The local driver of docker-volume(1).

ROOT/NAME/_data    what containers see
ROOT/NAME/volume   its record, as a Python literal: when it was made, labels
ROOT/NAME/filling  what the image has there, while it is copied; the volume is locked meanwhile
ROOT/.DIGITS       a volume that is being made or removed

ROOT is locked (flock(2), shared) from the making of a volume until the record of its container is on disk, and
(exclusive) while a volume is removed: so none is removed that a container is about to use.
"""

from __future__ import annotations

import fcntl
import os
import time

from lab import files
from lab.errors import PROGRAM, Conflict, InvalidArgument, NotAllowed, NotFound
from lab.files import Lock
from lab.mountpoints import mount_points

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
ANONYMOUS = "com.docker.volume.anonymous"  # the label by which moby tells them apart
LONGEST_NAME = 255  # bytes of a file's name


class Volume:
    """One volume: created in ns since 1970. A record that cannot be read counts as one without labels."""

    __slots__ = ("created", "data", "labels", "name")

    def __init__(self, name: str, data: str, created: int, labels: Mapping[str, str]) -> None:
        self.name, self.data, self.created, self.labels = name, data, created, dict(labels)

    def to_dict(self) -> dict[str, Any]:
        """Docker's Volume object."""
        from lab.shown import rfc3339

        return {
            "CreatedAt": f"{rfc3339(self.created)[:19]}Z", "Driver": "local", "Labels": self.labels or None,
            "Mountpoint": self.data, "Name": self.name, "Options": None, "Scope": "local",
        }  # fmt: skip


class Volumes:
    """The volumes below one directory.

    users tells which containers, by id, have a volume; unreadable, of which containers nobody knows what they have.
    """

    def __init__(
        self, root: str, users: Callable[[str], Sequence[str]], unreadable: Callable[[], Sequence[str]]
    ) -> None:
        self.root, self.users, self.unreadable = root, users, unreadable

    def held(self) -> Lock:
        """While a `with` of it lasts, no volume is removed."""
        files.make_private(self.root)
        return Lock(self.root, fcntl.LOCK_SH)

    def create(self, name: str = "", labels: Mapping[str, str] | None = None) -> tuple[Volume, bool]:
        """The volume of this name, and whether it is new; without a name an anonymous one. Raises InvalidArgument."""
        if not name:
            name, labels = os.urandom(32).hex(), {**(labels or {}), ANONYMOUS: ""}
        check_name(name)
        if found := self._load(name):
            return found, False
        with self.held():  # so that no sweep takes the unfinished one
            return self._make(name, labels or {})

    def _make(self, name: str, labels: Mapping[str, str]) -> tuple[Volume, bool]:
        making = f"{self.root}/.{os.urandom(8).hex()}"
        os.mkdir(making, 0o700)
        os.mkdir(f"{making}/_data")
        os.chmod(f"{making}/_data", 0o755)
        record: dict[str, Any] = {"created": time.time_ns(), "labels": dict(labels)}
        files.write_new(f"{making}/volume", record, durable=ANONYMOUS not in record["labels"])
        try:
            os.rename(making, f"{self.root}/{name}")
        except OSError:  # another command was faster
            files.remove_tree(making)
            return self.find(name), False
        files.sync_directory(self.root)
        return self.find(name), True

    def find(self, name: str) -> Volume:
        """Raises NotFound."""
        found = self._load(name) if _is_name(name) else None
        if found is None:
            text = name[:80] if name.isprintable() else f"{name[:80]!a}"
            raise NotFound(f"get {text}: no such volume")
        return found

    def list(self) -> list[Volume]:
        """All volumes, by name."""
        try:
            names = sorted(filter(_is_name, os.listdir(self.root)))
        except FileNotFoundError:
            return []
        return [found for found in map(self._load, names) if found]

    def remove(self, name: str) -> None:
        """Delete a volume. Raises NotFound; Conflict if a container may have it, or something is mounted in it."""
        volume = self.find(name)
        going = f"{self.root}/.{os.urandom(8).hex()}"
        with Lock(self.root):
            if used := self.users(name):
                raise Conflict(
                    f"remove {name}: volume is in use - [{', '.join(used)}]", "remove these containers first"
                )
            self.require_known_users()
            if inside := _mounted_below(volume.data):
                raise Conflict(f"remove {name}: {inside} is mounted in it", f"unmount it first: umount {inside}")
            try:
                os.rename(f"{self.root}/{name}", going)
            except FileNotFoundError:
                raise NotFound(f"get {name}: no such volume") from None
            lock = Lock(going)
            lock.__enter__()
        try:
            files.remove_tree(going)
        finally:
            lock.__exit__()

    def require_known_users(self) -> None:
        """Raises Conflict while the record of a container cannot be read: it may have any volume."""
        for container in self.unreadable():
            raise Conflict(
                f"no volume can be removed: container {container[:12]} is damaged, and may use any of them",
                f"look into the volumes, then remove that container: {PROGRAM} rm {container[:12]}",
            )

    def sweep(self) -> None:
        """Delete what a killed create() or remove() has left."""
        if not os.path.isdir(self.root):
            return
        with Lock(self.root):
            for path in [f"{self.root}/{name}" for name in os.listdir(self.root) if name.startswith(".")]:
                try:
                    with Lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB):  # else another command is removing it
                        files.remove_tree(path)
                except (OSError, NotAllowed):
                    pass  # the next sweep tries again

    def fill(self, volume: Volume, source: int) -> None:
        """Copy the directory at descriptor source into the volume, if that is empty; all of it, or nothing.

        Raises OSError.
        """
        from lab import trees

        folder = os.path.dirname(volume.data)
        with Lock(folder):
            copying = f"{folder}/filling"
            files.remove_tree(copying)  # of a copy that was killed
            if os.listdir(volume.data):
                return
            os.mkdir(copying, 0o700)
            try:
                fd = os.open(copying, files.OPEN_DIRECTORY)
                try:
                    trees.copy(source, fd)
                    _move_in(fd, volume.data)
                finally:
                    os.close(fd)
            finally:
                files.remove_tree(copying)

    def _load(self, name: str) -> Volume | None:
        import ast

        folder = f"{self.root}/{name}"
        try:
            created, labels = os.stat(f"{folder}/_data").st_mtime_ns, {}
        except OSError:
            return None
        try:
            with open(f"{folder}/volume", encoding="utf-8", errors="surrogateescape") as file:
                record = ast.literal_eval(file.read(32 << 20))
            created, labels = int(record["created"]), {str(key): str(text) for key, text in record["labels"].items()}
        except (OSError, ValueError, SyntaxError, TypeError, KeyError, AttributeError, MemoryError, RecursionError):
            pass  # a cut of power; the data is what counts
        return Volume(name, f"{folder}/_data", created, labels)


def _move_in(copied: int, data: str) -> None:
    """Move the copied entries into the volume, and give it the copied directory's owner, mode and times."""
    top = os.open(data, files.OPEN_DIRECTORY | os.O_NOFOLLOW)
    try:
        status = os.fstat(copied)
        for name in os.listdir(copied):
            os.rename(name, name, src_dir_fd=copied, dst_dir_fd=top)
        if os.geteuid() == 0:
            os.fchown(top, status.st_uid, status.st_gid)
        os.fchmod(top, status.st_mode & 0o7777)
        os.utime(top, ns=(status.st_atime_ns, status.st_mtime_ns))
    finally:
        os.close(top)


def check_name(name: str) -> None:
    """moby's rule, [a-zA-Z0-9][a-zA-Z0-9_.-]+. Raises InvalidArgument."""
    if len(name) == 1:
        raise InvalidArgument(
            "volume name is too short, names should be at least two alphanumeric characters", "choose a longer name"
        )
    if not _is_name(name):
        text = name[:80] if name.isprintable() else f"{name[:80]!a}"
        raise InvalidArgument(
            f'create {text}: "{text}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
        )


def _is_name(name: str) -> bool:
    return 2 <= len(name) <= LONGEST_NAME and CHARACTERS.issuperset(name) and name[0] not in "_.-"


def _mounted_below(path: str) -> str:
    """A mount point of this mount namespace at or below the path; "" if there is none."""
    real = os.path.realpath(path)
    return next((point for point in mount_points() if point == real or point.startswith(f"{real}/")), "")

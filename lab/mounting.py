"""What `-v`, `--mount` and `--volumes-from` need besides the runtime: volumes are made, filled and released.

Both engines call, in this order: settle(), make(), fill(); and release() when a container goes.
"""

from __future__ import annotations

import errno
import os

from lab import syscalls
from lab.errors import CannotStart, Conflict, InvalidArgument, LabError, NotFound
from lab.mountargs import parse_from, volume

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from lab.images import Image
    from lab.runargs import RunOptions
    from lab.spec import Mount, Spec
    from lab.volumes import Volumes

NEW_IN_HOST = ("/dev", "/proc", "/run", "/sys", "/tmp", "/var/tmp")  # lab.runtime.rootfs makes these for `host`


def settle(options: RunOptions, image: Image, mounts_of: Callable[[str], Sequence[Mount]]) -> None:
    """Put all mounts of the request into options.volumes. mounts_of gives those of another container.

    As in Docker: two for one target are an error; a named one wins over one of --volumes-from, and each over an
    anonymous volume; so do those that the image declares (VOLUME in a Dockerfile). Raises InvalidArgument.
    """
    found: dict[str, Mount] = {}
    for text in options.volumes_from:
        reference, readonly = parse_from(text)
        try:
            others = mounts_of(reference)
        except LabError as error:  # not 404: the docker command would look for an image then
            raise InvalidArgument(error.message, error.hint) from None
        for mount in others:
            if mount.kind != "file":
                found[mount.target] = _copied(mount, readonly)
    chosen: set[str] = set(options.tmpfs)
    for mount in options.volumes:
        if not mount.anonymous:
            if mount.target in chosen:
                raise InvalidArgument(f"Duplicate mount point: {mount.target}", "name each target once")
            chosen.add(mount.target)
            found[mount.target] = mount
    for mount in (*options.volumes, *(volume("", target) for target in image.volumes)):
        if mount.anonymous and mount.target not in chosen:
            found.setdefault(mount.target, mount)
    options.volumes = [mount for target, mount in found.items() if target not in options.tmpfs]


def _copied(mount: Mount, readonly: bool | None) -> Mount:
    from lab.spec import Mount

    fields = {**mount.to_dict(), "copy": mount.kind == "bind"}  # the other container has filled the volume
    return Mount(**fields) if readonly is None else Mount(**{**fields, "readonly": readonly or mount.readonly})


def volumes_of(mounts: Sequence[Mount]) -> list[Mount]:
    """Those that are volumes."""
    return [mount for mount in mounts if mount.kind == "volume"]


def make(spec: Spec, image: Image, volumes: Volumes, add: Callable[[], Any]) -> tuple[Any, list[str]]:
    """Make the volumes that are missing, then add() the container to the disk.

    Returns what add() returns, and the names of the new volumes. If add() fails, the new anonymous ones are removed.
    Raises InvalidArgument, and what add() raises.
    """
    wanted, new = volumes_of(spec.mounts), []
    if not wanted:
        return add(), []
    for mount in wanted:
        _check_target(mount, image, volumes)
    try:
        with volumes.held():
            for mount in wanted:
                volume, is_new = volumes.create(mount.name)
                mount.name, mount.source = volume.name, volume.data
                new += [volume.name] if is_new else []
            return add(), new
    except BaseException:
        _remove([mount.name for mount in wanted if mount.anonymous and mount.name in new], volumes)
        raise


def _check_target(mount: Mount, image: Image, volumes: Volumes) -> None:
    fd = _in_image(mount.target, image)
    if fd < 0:
        return
    try:
        if image.is_host and mount.copy and os.listdir(fd) and _is_empty(mount.name, volumes):
            raise InvalidArgument(
                f"the new volume at {mount.target} would get a copy of this machine's own {mount.target}",
                f"copy nothing: -v NAME:{mount.target}:nocopy, or choose a target that the machine does not have",
            )
    finally:
        os.close(fd)


def _is_empty(name: str, volumes: Volumes) -> bool:
    data = f"{volumes.root}/{name}/_data"
    return not name or not os.path.isdir(data) or not os.listdir(data)


def _in_image(target: str, image: Image) -> int:
    """A descriptor of the directory at target in the image, -1 if the image has none. Raises InvalidArgument."""
    if image.is_host and any(target == new or target.startswith(f"{new}/") for new in NEW_IN_HOST):
        return -1
    root = os.open(image.rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return syscalls.openat2(root, target, os.O_RDONLY | os.O_DIRECTORY, syscalls.RESOLVE_IN_ROOT)
    except OSError as error:
        if error.errno == errno.ENOTDIR:
            raise InvalidArgument(
                f"cannot mount volume over existing file, file exists {target}", "choose another target"
            ) from None
        return -1
    finally:
        os.close(root)


def fill(spec: Spec, image: Image, volumes: Volumes) -> None:
    """Copy what the image has at their targets into empty volumes, as docker does. Raises CannotStart."""
    for mount in volumes_of(spec.mounts):
        fd = _in_image(mount.target, image) if mount.copy and not image.is_host else -1
        if fd < 0:
            continue
        try:
            volumes.fill(volumes.find(mount.name), fd)
        except OSError as error:
            raise CannotStart(
                f"cannot copy {mount.target} of the image into volume {mount.name}: {error.strerror}",
                f"make room, or copy nothing: -v {mount.name}:{mount.target}:nocopy",
            ) from None
        finally:
            os.close(fd)


def release(spec: Spec, volumes: Volumes) -> list[str]:
    """Remove the container's anonymous volumes that no other container has; returns their names."""
    return _remove([mount.name for mount in volumes_of(spec.mounts) if mount.anonymous], volumes)


def _remove(names: Sequence[str], volumes: Volumes) -> list[str]:
    gone = []
    for name in names:
        try:
            volumes.remove(name)
            gone.append(name)
        except (Conflict, NotFound):
            pass  # another container has it, as after --volumes-from
    return gone


def shown(mounts: Sequence[Mount]) -> list[dict[str, Any]]:
    """Docker's MountPoint objects."""
    return [_shown(mount) for mount in mounts if mount.kind != "file"]


def _shown(mount: Mount) -> dict[str, Any]:
    common = {"Source": mount.source, "Destination": mount.target, "RW": not mount.readonly}
    if mount.kind == "volume":
        mode = "ro" if mount.readonly else "" if mount.anonymous else "z"  # moby labels what has a name with z
        return {"Type": "volume", "Name": mount.name, **common, "Driver": "local", "Mode": mode, "Propagation": ""}
    mode = "ro" if mount.readonly else ""
    return {"Type": "bind", **common, "Mode": mode, "Propagation": mount.propagation or "rprivate"}

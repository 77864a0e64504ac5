"""The container's root: a tree of mounts that nobody else sees, and pivot_root(2) into it.

Every mount is first a detached file descriptor (open_tree(2), fsmount(2)) and is then attached at a descriptor
that was resolved inside the new root (openat2(2), RESOLVE_IN_ROOT). No step follows a path that a symlink in an
image, or a racing process, could lead out of the container.

A default container has CAP_MKNOD, as under Docker. So every mount in it is nodev, volumes included, but for those of
the six usual devices, its own terminals, and what --device names. A privileged container may use all devices.
"""

from __future__ import annotations

import errno
import os
import stat

from lab import syscalls
from lab.errors import CannotStart
from lab.syscalls import (
    AT_EMPTY_PATH,
    AT_RECURSIVE,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    OPEN_TREE_CLONE,
    RESOLVE_IN_ROOT,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lab.spec import Spec

CGROUPS = "/sys/fs/cgroup"
STAGING = "/tmp"  # any directory will do: what is mounted on it is seen by this process alone
PRIVATE = ("dev", "proc", "run", "sys", "tmp")  # the host image has its own of these
DEVICES = ("full", "null", "random", "tty", "urandom", "zero")
OWN_DEVICES = ("console", "fd", "mqueue", "ptmx", "pts", "shm", "stderr", "stdin", "stdout")
SAFE = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC


def enter(spec: Spec) -> None:
    """Build the root that spec describes and move into it. For a process in its own mount namespace.

    Raises CannotStart for a mount that cannot be made, OSError for a kernel that refuses.
    """
    syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
    nodev = 0 if spec.privileged else MOUNT_ATTR_NODEV
    binds = [(m.target, clone_tree(m.source, nodev | (MOUNT_ATTR_RDONLY if m.readonly else 0))) for m in spec.mounts]
    nodes = [(device.target, clone_tree(device.source, 0)) for device in spec.devices]
    system, devices = _system_mounts(spec, nodev), _devices(spec)
    root = _host_root(nodev) if spec.rootfs == "/" else _image_root(spec, nodev)
    for target, tree in system:
        attach(root, target, tree)
    _fill_dev(root, spec, devices)
    for target, tree in nodes:
        attach(root, target, tree)
    for target, tree in sorted(binds, key=lambda bind: bind[0].count("/")):
        attach(root, target, tree)
    _restrict(root, spec)
    if spec.readonly or spec.rootfs == "/":
        syscalls.mount_setattr(root, MOUNT_ATTR_RDONLY)
    os.fchdir(root)
    syscalls.pivot_root(".", ".")
    syscalls.umount2(".", syscalls.MNT_DETACH)
    os.chdir("/")


def clone_tree(source: str, attributes: int, dir_fd: int = syscalls.AT_FDCWD, *, below: bool = True) -> int:
    """A detached copy of the mounts at source and, unless told not to, below it, with these MOUNT_ATTR_*."""
    try:
        flags = OPEN_TREE_CLONE | (AT_RECURSIVE if below else 0) | (0 if source else AT_EMPTY_PATH)
        tree = syscalls.open_tree(source, flags, dir_fd)
        if attributes:
            syscalls.mount_setattr(tree, attributes, AT_RECURSIVE)
    except OSError as error:
        raise CannotStart(f"cannot bind {source}: {error.strerror}") from error
    return tree


def attach(root: int, target: str, tree: int) -> None:
    """Attach a detached mount at target inside root, making the mount point if it is missing; closes tree."""
    point = _mount_point(root, target, stat.S_ISDIR(os.fstat(tree).st_mode))
    try:
        attach_at(point, tree)
    except OSError as error:
        raise CannotStart(f"cannot mount on {target}: {error.strerror}") from error


def attach_at(point: int, tree: int) -> None:
    """Attach a detached mount at an open mount point; closes both."""
    syscalls.move_mount(tree, point)
    os.close(point)
    os.close(tree)


def _mount_point(root: int, target: str, directory: bool) -> int:
    try:
        return syscalls.openat2(root, target, os.O_PATH, RESOLVE_IN_ROOT)
    except FileNotFoundError:
        parent_path, name = os.path.split(target.rstrip("/"))
    parent = _mount_point(root, parent_path, True)
    try:
        if directory:
            os.mkdir(name, 0o755, dir_fd=parent)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=parent))
    except OSError as error:
        if error.errno == errno.EROFS:
            raise CannotStart(
                f"mount target {target} does not exist in the image, and the image is read-only",
                f"mount on a new name at the top, such as /{name}",
            ) from None
        reason = "is a symlink that leads nowhere" if error.errno == errno.EEXIST else error.strerror
        raise CannotStart(f"cannot make the mount target: {target} {reason}") from None
    finally:
        os.close(parent)
    return syscalls.openat2(root, target, os.O_PATH, RESOLVE_IN_ROOT)


def place(directory: int, name: str, tree: int) -> None:
    """Attach a detached mount at a new name in a directory that nobody else can write to; closes tree."""
    if stat.S_ISDIR(os.fstat(tree).st_mode):
        os.mkdir(name, 0o755, dir_fd=directory)
    else:
        os.mknod(name, 0o644, dir_fd=directory)
    syscalls.move_mount(tree, directory, name)
    os.close(tree)


def _host_root(nodev: int) -> int:
    """The `host` image: an empty tmpfs with the machine's own directories bound into it, read-only."""
    with os.scandir("/") as entries:
        shared = [entry for entry in entries if entry.name not in PRIVATE]
    links = [(entry.name, os.readlink(entry.path)) for entry in shared if entry.is_symlink()]
    directories = [entry for entry in shared if entry.is_dir(follow_symlinks=False)]
    trees = [(entry.name, clone_tree(entry.path, nodev | MOUNT_ATTR_RDONLY)) for entry in directories]
    root = _stage(syscalls.new_filesystem("tmpfs", {"mode": "755"}, nodev))
    for name, target in links:
        os.symlink(target, name, dir_fd=root)
    for name, tree in trees:
        place(root, name, tree)
    place(root, "run", _scratch("755", nodev))
    place(root, "tmp", _scratch("1777", nodev))
    attach(root, "/var/tmp", _scratch("1777", nodev))  # inside the container
    return root


def _scratch(mode: str, nodev: int) -> int:
    return syscalls.new_filesystem("tmpfs", {"mode": mode}, MOUNT_ATTR_NOSUID | nodev)


def _image_root(spec: Spec, nodev: int) -> int:
    """An imported image: read-only as it is, or the lower layer of an overlay that takes the writes."""
    if not spec.layer:
        return _stage(clone_tree(spec.rootfs, nodev | MOUNT_ATTR_RDONLY))
    # By descriptor: an option of fsconfig(2) holds at most 255 bytes, a path may be longer.
    paths = {"lowerdir": spec.rootfs, "upperdir": f"{spec.layer}/upper", "workdir": f"{spec.layer}/work"}
    descriptors = {key: os.open(path, os.O_PATH | os.O_CLOEXEC) for key, path in paths.items()}
    try:
        options: dict[str, str | None] = {key: f"/proc/self/fd/{fd}" for key, fd in descriptors.items()}
        overlay = syscalls.new_filesystem("overlay", options, nodev)
    except OSError as error:
        raise CannotStart(
            f"cannot mount an overlay over {spec.rootfs}: {error.strerror}",
            "keep images and containers on a filesystem that overlayfs takes as upper layer, such as ext4 or xfs",
        ) from error
    return _stage(overlay)


def _stage(tree: int) -> int:
    attach_at(os.open(STAGING, os.O_PATH | os.O_CLOEXEC), os.dup(tree))
    return tree


def _system_mounts(spec: Spec, nodev: int) -> list[tuple[str, int]]:
    """What every container has of its own; made before the root, while the host's /proc and /sys are in sight."""
    return [
        ("/proc", syscalls.new_filesystem("proc", {}, SAFE)),
        *_sys_mounts(spec),
        ("/dev", syscalls.new_filesystem("tmpfs", {"mode": "755"}, MOUNT_ATTR_NOSUID | nodev)),
    ]


def _sys_mounts(spec: Spec) -> list[tuple[str, int]]:
    """/sys, read-only. Of what is mounted below it only the cgroups, as in Docker: debugfs and tracefs show the kernel.

    In a user namespace a mount cannot be had without those below it; there they are as closed as to the user.
    """
    if spec.privileged:
        return [("/sys", clone_tree("/sys", 0))]
    if spec.uid_mappings:
        return [("/sys", clone_tree("/sys", SAFE | MOUNT_ATTR_RDONLY))]
    mounts = [("/sys", clone_tree("/sys", SAFE | MOUNT_ATTR_RDONLY, below=False))]
    if os.path.isdir(CGROUPS):
        mounts.append((CGROUPS, clone_tree(CGROUPS, SAFE | MOUNT_ATTR_RDONLY)))
    return mounts


def _devices(spec: Spec) -> list[tuple[str, int]]:
    """Mounts for names in /dev: bound, not made by mknod(2), which a user namespace may not."""
    terminals: dict[str, str | None] = {"newinstance": None, "ptmxmode": "0666", "mode": "620"}
    if len(spec.uid_mappings) != 1:  # gid 5 is `tty`, which a map of a single id has not
        terminals["gid"] = "5"
    return [
        *((name, clone_tree(f"/dev/{name}", 0)) for name in (_host_devices(False) if spec.privileged else DEVICES)),
        ("pts", syscalls.new_filesystem("devpts", terminals, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)),
        ("mqueue", syscalls.new_filesystem("mqueue", {}, SAFE)),
        ("shm", syscalls.new_filesystem("tmpfs", {"mode": "1777", "size": "64m"}, SAFE)),
    ]


def _host_devices(links: bool) -> list[str]:
    with os.scandir("/dev") as entries:
        return [entry.name for entry in entries if entry.is_symlink() == links and entry.name not in OWN_DEVICES]


def _fill_dev(root: int, spec: Spec, devices: list[tuple[str, int]]) -> None:
    links = {"fd": "/proc/self/fd", "ptmx": "pts/ptmx"}
    links |= {name: f"/proc/self/fd/{number}" for number, name in enumerate(("stdin", "stdout", "stderr"))}
    if spec.privileged:
        links |= {name: os.readlink(f"/dev/{name}") for name in _host_devices(True)}
    dev = syscalls.openat2(root, "/dev", os.O_RDONLY | os.O_DIRECTORY, RESOLVE_IN_ROOT)
    for name, target in links.items():
        os.symlink(target, name, dir_fd=dev)
    for name, tree in devices:
        place(dev, name, tree)
    os.close(dev)


def _restrict(root: int, spec: Spec) -> None:
    """Docker's masked and read-only paths; runc's maskPath() and readonlyPath()."""
    for path in spec.readonly_paths:
        point = _existing(root, path)
        if point >= 0:
            attach_at(point, clone_tree("", MOUNT_ATTR_RDONLY, point))
    # Copies of what is attached already: the end of a mount that never was costs the kernel an RCU grace period.
    null, empty = _existing(root, "/dev/null"), -1
    for path in spec.masked_paths:
        point = _existing(root, path)
        if point < 0:
            continue
        if not stat.S_ISDIR(os.fstat(point).st_mode):
            mask = clone_tree("", 0, null)
        elif empty < 0:
            mask = syscalls.new_filesystem("tmpfs", {}, SAFE | MOUNT_ATTR_RDONLY)
            empty = os.dup(mask)
        else:
            mask = clone_tree("", 0, empty)
        attach_at(point, mask)
    for fd in (null, empty):
        if fd >= 0:
            os.close(fd)


def _existing(root: int, path: str) -> int:
    try:
        return syscalls.openat2(root, path, os.O_PATH, RESOLVE_IN_ROOT)
    except FileNotFoundError:
        return -1

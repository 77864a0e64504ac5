"""The container's root: a tree of mounts in its mount namespace, and pivot_root(2) into it.

Every mount is first a detached file descriptor and is then attached inside the new root; lab/runtime/attaching.py says
how, and why no symlink leads it out.

A default container has CAP_MKNOD, as under Docker. So every mount in it is nodev, volumes included, except those of
the six usual devices, its terminals, and the devices that --device names. A privileged container may use all devices.
"""

from __future__ import annotations

import os
import stat

from lab import syscalls
from lab.errors import CannotStart
from lab.runtime.attaching import attach, attach_at, attach_new, clone_tree, mount_id
from lab.syscalls import (
    AT_RECURSIVE,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    RESOLVE_IN_ROOT,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.spec import Mount, Spec

CGROUPS = "/sys/fs/cgroup"
STAGING = "/tmp"  # any directory does: this process alone sees what is mounted on it
PRIVATE = ("dev", "proc", "run", "sys", "tmp")  # the host image gets new ones of these
DEVICES = ("full", "null", "random", "tty", "urandom", "zero")
OWN_DEVICES = ("console", "fd", "mqueue", "ptmx", "pts", "shm", "stderr", "stdin", "stdout")
TMPFS = {"suid": MOUNT_ATTR_NOSUID, "dev": MOUNT_ATTR_NODEV, "exec": MOUNT_ATTR_NOEXEC}
SAFE = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC


def enter(spec: Spec, given: Mapping[str, int] | None = None) -> None:
    """Build the root that spec describes and move into it. The caller must be in a new mount namespace.

    given    detached mounts that take the place of new ones, by their paths in the root; lab.runtime.sharing
    Raises CannotStart for a mount that cannot be made, OSError for a kernel that refuses.
    """
    nodev = 0 if spec.privileged else MOUNT_ATTR_NODEV
    following = {mount.target: _bind(mount, nodev) for mount in spec.mounts if mount.propagation}
    syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
    binds = [(m.target, following[m.target] if m.propagation else _bind(m, nodev)) for m in spec.mounts]
    binds += [(target, _tmpfs(options)) for target, options in spec.tmpfs.items()]
    nodes = [(device.target, clone_tree(device.source, 0)) for device in spec.devices]
    given = dict(given or {})
    system, devices = _system_mounts(spec, nodev, given), _devices(spec, given)
    root = _host_root(nodev) if spec.rootfs == "/" else _image_root(spec, nodev)
    for target, tree in system:
        attach(root, target, tree)
    _fill_dev(root, spec, devices)
    for target, tree in nodes:
        attach(root, target, tree)
    _attach_all(root, spec, binds)
    _restrict(root, spec)
    if spec.readonly or spec.rootfs == "/":
        syscalls.mount_setattr(root, MOUNT_ATTR_RDONLY)
    os.fchdir(root)
    syscalls.pivot_root(".", ".")
    syscalls.umount2(".", syscalls.MNT_DETACH)
    os.chdir("/")


def _attach_all(root: int, spec: Spec, binds: list[tuple[str, int]]) -> None:
    """What is asked for, and the engine's own files: for these nothing is made in a directory that the user binds.

    dockerd makes them in a layer of the image, where it removes symlinks that stand at their paths.
    """
    kinds = {mount.target: mount.kind for mount in spec.mounts}
    only = set[str]()
    if "file" in kinds.values():
        only = {mount_id(root), *(mount_id(tree) for target, tree in binds if kinds.get(target, "volume") == "volume")}
    for target, tree in sorted(binds, key=lambda bind: bind[0].count("/")):
        attach(root, target, tree, only if kinds.get(target) == "file" else ())


def _bind(mount: Mount, nodev: int) -> int:
    attributes = nodev | (MOUNT_ATTR_RDONLY if mount.readonly else 0)
    if mount.propagation:
        _require_propagation(mount.source)
    tree = clone_tree(mount.source, attributes, recursive=mount.recursive)
    if mount.propagation:  # the clone is of the host's peer group until it becomes a slave of it
        syscalls.mount_setattr(tree, 0, AT_RECURSIVE, syscalls.MS_SLAVE)
    return tree


def _require_propagation(source: str) -> None:
    """Raises CannotStart if the mount that source is on tells nobody of later mounts; runc checks the same."""
    fd = os.open(source, os.O_PATH | os.O_CLOEXEC)
    try:
        number = mount_id(fd)
    finally:
        os.close(fd)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        row = next((line for line in file if line.split()[0] == number), "")
    if "shared:" not in row.partition(" - ")[0] and "master:" not in row.partition(" - ")[0]:
        raise CannotStart(
            f"path {source} is not on a shared or slave mount",
            "see `findmnt -o TARGET,PROPAGATION`, or leave rslave out",
        )


def _tmpfs(options: str) -> int:
    """A tmpfs with the options of mount(8); noexec, nosuid and nodev unless they are undone, as in Docker."""
    words = [word for word in options.split(",") if word]
    values: dict[str, str | None] = {name: value for name, given, value in (w.partition("=") for w in words) if given}
    attributes = sum(flag for name, flag in TMPFS.items() if f"no{name}" in words or name not in words)
    try:
        return syscalls.new_filesystem("tmpfs", values, attributes | (MOUNT_ATTR_RDONLY if "ro" in words else 0))
    except OSError as error:
        raise CannotStart(f"cannot mount a tmpfs with {options}: {error.strerror}", "see tmpfs(5)") from None


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
        attach_new(root, name, tree)
    attach_new(root, "run", _scratch("755", nodev))
    attach_new(root, "tmp", _scratch("1777", nodev))
    attach(root, "/var/tmp", _scratch("1777", nodev))
    return root


def _scratch(mode: str, nodev: int) -> int:
    return syscalls.new_filesystem("tmpfs", {"mode": mode}, MOUNT_ATTR_NOSUID | nodev)


def _image_root(spec: Spec, nodev: int) -> int:
    """An imported image: read-only, or the lower layer of an overlay whose upper layer takes the writes."""
    if not spec.layer:
        return _stage(clone_tree(spec.rootfs, nodev | MOUNT_ATTR_RDONLY))
    # By descriptor, since a path may be longer than the 255 bytes of an option of fsconfig(2).
    paths = {"lowerdir": spec.rootfs, "upperdir": f"{spec.layer}/upper", "workdir": f"{spec.layer}/work"}
    descriptors = {key: os.open(path, os.O_PATH | os.O_CLOEXEC) for key, path in paths.items()}
    try:
        options: dict[str, str | None] = {key: f"/proc/self/fd/{fd}" for key, fd in descriptors.items()}
        if spec.uid_mappings:  # without it no directory of the image can be removed in a user namespace; Linux 5.11
            options["userxattr"] = None
        overlay = syscalls.new_filesystem("overlay", options, nodev)
    except OSError as error:
        raise CannotStart(
            f"cannot mount an overlay over {spec.rootfs}: {error.strerror}",
            "keep images and containers on a filesystem that may be the upper layer of an overlay, such as ext4 or xfs",
        ) from error
    return _stage(overlay)


def _stage(tree: int) -> int:
    attach_at(os.open(STAGING, os.O_PATH | os.O_CLOEXEC), os.dup(tree))
    return tree


def _system_mounts(spec: Spec, nodev: int, given: Mapping[str, int]) -> list[tuple[str, int]]:
    """The mounts that every container gets; made before the root, while the host's /proc and /sys are visible."""
    return [
        ("/proc", given["/proc"] if "/proc" in given else syscalls.new_filesystem("proc", {}, SAFE)),
        *_sys_mounts(spec),
        *((path, tree) for path, tree in given.items() if path.startswith("/sys/")),
        ("/dev", syscalls.new_filesystem("tmpfs", {"mode": "755"}, MOUNT_ATTR_NOSUID | nodev)),
    ]


def _sys_mounts(spec: Spec) -> list[tuple[str, int]]:
    """/sys, read-only, and below it the cgroups only, as in Docker: debugfs and tracefs would show the kernel.

    In a user namespace a mount cannot be copied without those below it; what they show is what the user may see anyway.
    """
    if spec.privileged:
        return [("/sys", clone_tree("/sys", 0))]
    if spec.uid_mappings:
        return [("/sys", clone_tree("/sys", SAFE | MOUNT_ATTR_RDONLY))]
    mounts = [("/sys", clone_tree("/sys", SAFE | MOUNT_ATTR_RDONLY, recursive=False))]
    if os.path.isdir(CGROUPS):
        mounts.append((CGROUPS, clone_tree(CGROUPS, SAFE | MOUNT_ATTR_RDONLY)))
    return mounts


def _devices(spec: Spec, given: Mapping[str, int]) -> list[tuple[str, int]]:
    """Mounts for names in /dev. Devices are bound, since mknod(2) is not allowed in a user namespace."""
    terminals: dict[str, str | None] = {"newinstance": None, "ptmxmode": "0666", "mode": "620"}
    if len(spec.uid_mappings) != 1:  # gid 5 is `tty`; a map of a single id does not contain it
        terminals["gid"] = "5"
    return [
        *((name, clone_tree(f"/dev/{name}", 0)) for name in (_host_devices(False) if spec.privileged else DEVICES)),
        ("pts", syscalls.new_filesystem("devpts", terminals, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)),
        *_ipc_mounts(spec, given),
    ]


def _ipc_mounts(spec: Spec, given: Mapping[str, int]) -> list[tuple[str, int]]:
    """/dev/mqueue and /dev/shm; the latter is missing with --ipc none, as in Docker."""
    mqueue = given["/dev/mqueue"] if "/dev/mqueue" in given else syscalls.new_filesystem("mqueue", {}, SAFE)
    if spec.ipc == "none":
        return [("mqueue", mqueue)]
    size: dict[str, str | None] = {"mode": "1777", "size": str(spec.shm_size)}
    shm = given["/dev/shm"] if "/dev/shm" in given else syscalls.new_filesystem("tmpfs", size, SAFE)
    return [("mqueue", mqueue), ("shm", shm)]


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
        attach_new(dev, name, tree)
    os.close(dev)


def _restrict(root: int, spec: Spec) -> None:
    """Docker's masked and read-only paths; runc's maskPath() and readonlyPath()."""
    for path in spec.readonly_paths:
        point = _existing(root, path)
        if point >= 0:
            attach_at(point, clone_tree("", MOUNT_ATTR_RDONLY, point))
    # Reuse attached mounts: closing a mount that was never attached waits for an RCU grace period.
    null, empty = _existing(root, "/dev/null"), -1
    for path in spec.masked_paths:
        point = _existing(root, path)
        if point < 0:
            continue
        if not stat.S_ISDIR(os.fstat(point).st_mode):
            mask = clone_tree("", 0, _require_null(null))
        elif empty < 0:
            mask = syscalls.new_filesystem("tmpfs", {}, SAFE | MOUNT_ATTR_RDONLY)
            empty = os.dup(mask)
        else:
            mask = clone_tree("", 0, empty)
        attach_at(point, mask)
    for fd in (null, empty):
        if fd >= 0:
            os.close(fd)


def _require_null(fd: int) -> int:
    """Raises CannotStart unless fd is null(4): a volume at /dev may have a symlink there (CVE-2025-31133 of runc)."""
    if fd < 0 or not stat.S_ISCHR((found := os.fstat(fd)).st_mode) or found.st_rdev != os.makedev(1, 3):
        raise CannotStart("/dev/null is not the device, which is to hide files of /proc", "mount nothing at /dev")
    return fd


def _existing(root: int, path: str) -> int:
    try:
        return syscalls.openat2(root, path, os.O_PATH, RESOLVE_IN_ROOT)
    except FileNotFoundError:
        return -1

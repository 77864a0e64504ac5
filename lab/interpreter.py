"""The engine's executable, protected from the containers.

Until its command has been exec'ed, a container's process is a copy of the engine, and its /proc/self/exe is the
host's Python. A container can name that path as its command, or as the interpreter of a script (`#!/proc/self/exe`),
and can then open the host's file as root: CVE-2019-5736. So the engines run from a read-only mount of that file's
directory: chmod(2), setxattr(2) and open(2) for writing fail there with EROFS.

    /run/lab/interpreter/usr   a bind mount of /usr, for /usr/bin/python3; stays until reboot or `lab restore`
"""

from __future__ import annotations

import os
import sys

from lab import syscalls
from lab.errors import Conflict, MissingFeature
from lab.files import Lock, make_public

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

ROOT = "/run/lab/interpreter"
SEALS = 0xF  # F_SEAL_SEAL, SHRINK, GROW, WRITE; fcntl(2)
F_ADD_SEALS = 1033


def guarded() -> bool:
    """Whether this process's /proc/self/exe leads to a file that no container may change."""
    if _is_readonly("/proc/self/exe") or os.readlink("/proc/self/exe").startswith("/memfd:"):
        return True
    # An ordinary user's containers have the rights of the user, who may not change the file of another.
    return os.geteuid() != 0 and os.stat("/proc/self/exe").st_uid != os.geteuid()


def guard() -> None:
    """Return if guarded(), else restart this program from the read-only mount. Raises MissingFeature."""
    if not guarded():
        restart(os.environ)


def restart(environment: Mapping[str, str]) -> NoReturn:
    """Replace this process by the same program, guarded, with the same arguments and this environment."""
    # Python finds its libraries, those of a virtual environment included, by the first argument.
    arguments = [sys.executable, *sys.orig_argv[1:]]
    program: str | int = "/proc/self/exe"
    if not guarded():
        program = executable() if os.geteuid() == 0 else _sealed_copy()
    os.execve(program, arguments, environment)


def place(interpreter: str = sys.executable) -> str:
    """The path of this interpreter on the read-only mount, whether or not that has been made."""
    return ROOT + os.path.realpath(interpreter).removeprefix(ROOT)


def executable() -> str:
    """Make the read-only mount if it is missing, and return place(). Raises MissingFeature."""
    original = place().removeprefix(ROOT)
    directory = os.path.dirname(os.path.dirname(original))
    try:
        make_public(ROOT)
        with Lock(ROOT):
            if not _is_readonly(ROOT + original):  # a directory may be left from before
                make_public(ROOT + directory)
                _bind(directory, ROOT + directory)
    except OSError as error:
        raise MissingFeature(
            f"cannot mount {directory} read-only on {ROOT}{directory}: {error.strerror}",
            "check that root may mount there: without it a container could change the engine's interpreter",
        ) from None
    return ROOT + original


def release() -> list[str]:
    """Unmount all read-only mounts; returns the mount points. Processes that run from there are not affected.

    Raises Conflict for a mount point that a later mount hides.
    """
    from lab.mountpoints import mount_points

    found = [point for point in mount_points() if point.startswith(f"{ROOT}/")]
    for point in reversed(found):
        try:
            syscalls.umount2(point, syscalls.MNT_DETACH)
        except OSError as error:
            hint = f"look for what is mounted above it (findmnt -T {point}), unmount that, and try again"
            raise Conflict(f"cannot unmount {point}: {error.strerror}", hint) from None
        try:
            os.removedirs(point)
        except OSError:
            pass  # another mount is below it, or /run/lab is in use
    return found


def _is_readonly(path: str) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except FileNotFoundError:
        return False


def _bind(directory: str, target: str) -> None:
    tree = syscalls.open_tree(directory, syscalls.OPEN_TREE_CLONE)
    attributes = syscalls.MOUNT_ATTR_RDONLY | syscalls.MOUNT_ATTR_NOSUID | syscalls.MOUNT_ATTR_NODEV
    syscalls.mount_setattr(tree, attributes)
    point = os.open(target, os.O_PATH | os.O_CLOEXEC)
    syscalls.move_mount(tree, point)
    syscalls.mount("", target, "", syscalls.MS_PRIVATE)
    os.close(tree)
    os.close(point)


def _sealed_copy() -> int:
    """A copy of the interpreter in memory, for an ordinary user who owns it and may not mount; memfd_create(2)."""
    import fcntl

    with open("/proc/self/exe", "rb") as original:
        copy = os.memfd_create("python", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        while os.sendfile(copy, original.fileno(), None, 1 << 30):
            pass
    os.fchmod(copy, 0o700)
    fcntl.fcntl(copy, F_ADD_SEALS, SEALS)
    return copy

"""The engine's own executable, out of a container's reach.

Until its command has been exec'ed, a container's process is a copy of the engine, and its /proc/self/exe is the
host's Python. A container may name just that as its command, or as the interpreter of a script (`#!/proc/self/exe`),
and has then got hold of the host's file as root: CVE-2019-5736. So the engines run from a mount of that file's
directory that is read-only: chmod(2), setxattr(2), open(2) for writing through it give EROFS.

    /run/lab/interpreter/usr   a bind mount of /usr for /usr/bin/python3: made once, kept until reboot or `lab restore`
"""

from __future__ import annotations

import os
import sys

from lab import syscalls
from lab.errors import MissingFeature
from lab.files import Lock, make_public

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

ROOT = "/run/lab/interpreter"
SEALS = 0xF  # F_SEAL_SEAL, SHRINK, GROW, WRITE; fcntl(2)
F_ADD_SEALS = 1033


def guarded() -> bool:
    """Whether no container can reach a file that it may change through this process's /proc/self/exe."""
    if _is_readonly("/proc/self/exe") or os.readlink("/proc/self/exe").startswith("/memfd:"):
        return True
    # An ordinary user's containers have no more rights to the file than the user, and no user may change another's.
    return os.geteuid() != 0 and os.stat("/proc/self/exe").st_uid != os.geteuid()


def guard() -> None:
    """Return if guarded(), else start this program anew where it is. Raises MissingFeature."""
    if not guarded():
        restart(os.environ)


def restart(environment: Mapping[str, str]) -> NoReturn:
    """Replace this process by the same program with the same arguments, guarded, with this environment."""
    # By the first argument Python finds its libraries, in a virtual environment, too.
    arguments = [sys.executable, *sys.orig_argv[1:]]
    program: str | int = "/proc/self/exe"
    if not guarded():
        program = executable() if os.geteuid() == 0 else _sealed_copy()
    os.execve(program, arguments, environment)


def place(interpreter: str = sys.executable) -> str:
    """Where this interpreter is to be found on the read-only mount, once that has been made."""
    return ROOT + os.path.realpath(interpreter).removeprefix(ROOT)


def executable() -> str:
    """place(), with the mount made if it is not there. Raises MissingFeature."""
    real = place().removeprefix(ROOT)
    directory = os.path.dirname(os.path.dirname(real))
    try:
        make_public(ROOT)
        with Lock(ROOT):
            if not _is_readonly(ROOT + real):  # there may be a directory that nothing is mounted on
                make_public(ROOT + directory)
                _bind(directory, ROOT + directory)
    except OSError as error:
        raise MissingFeature(
            f"cannot mount {directory} read-only on {ROOT}{directory}: {error.strerror}",
            "the engine needs that, so that no container can change its interpreter",
        ) from None
    return ROOT + real


def release() -> list[str]:
    """Unmount all; returns the mount points. What still runs from there goes on."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        points = [line.split()[4].encode().decode("unicode_escape") for line in file]
    found = [point for point in points if point.startswith(f"{ROOT}/")]
    for point in found:
        syscalls.umount2(point, syscalls.MNT_DETACH)
        try:
            os.removedirs(point)
        except OSError:
            pass  # another is mounted below, or /run/lab is in use
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
    """For the user whose own file the interpreter is, and who may not mount: a copy in memory; memfd_create(2)."""
    import fcntl

    with open("/proc/self/exe", "rb") as original:
        copy = os.memfd_create("python", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        while os.sendfile(copy, original.fileno(), None, 1 << 30):
            pass
    os.fchmod(copy, 0o700)
    fcntl.fcntl(copy, F_ADD_SEALS, SEALS)
    return copy

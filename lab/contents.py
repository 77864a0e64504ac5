"""A program that writes a tar of a container's files to standard output: what `export` and `commit` need.

    python -IS contents.py root ROOTFS LAYER    the whole root: the image's files, and the layer's over them
    python -IS contents.py diff ROOTFS LAYER    what the layer holds above the image, with whiteouts

The process mounts what it is to read, read-only and without devices, in a mount namespace of its own, and makes that
its root: no symlink of the container leads out, and none of the container's own mounts is seen, so that no volume is
exported. The container may run meanwhile; a file that shrinks is filled up with zeros. The last line on standard error
is the number of entries, or the reason for a failure.
"""

import os
import stat
import sys
import tarfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lab import files, syscalls, tars
from lab.errors import CannotStart
from lab.runtime.attaching import attach_at, clone_tree
from lab.runtime.rootfs import SAFE, STAGING
from lab.syscalls import MOUNT_ATTR_RDONLY
from lab.whiteouts import CAPABILITY, OPAQUE, WHITEOUT, XATTR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.spec import Spec

MOUNT_POINTS = ("dev", "proc", "sys")  # the runtime makes them if the image lacks them
OVERLAY = ("trusted.overlay.", "user.overlay.")


class Exactly:
    """A file of a known size, however many bytes it has by now."""

    def __init__(self, fd: int, size: int) -> None:
        self.fd, self.left = fd, size

    def read(self, size: int) -> bytes:
        size = min(size, self.left)
        data = os.read(self.fd, size) if size else b""
        self.left -= len(data or bytes(size))
        return data or bytes(size)


def open_regular(path: str) -> int:
    """Open a regular file that a container may have replaced since lstat(2): by a FIFO, whose open(2) waits, a device,
    which it may act on, or a link. Raises OSError.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(f"{path} has changed while it was read")
    return fd


def main(verb: str, rootfs: str, layer: str) -> int:
    """Write the tar; returns the exit code, 0 or 1."""
    try:
        enter(verb, rootfs, layer)
        with tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            count = sum(add(tar, path, diff=verb == "diff") for path in walk())
    except Exception as error:  # not a traceback, which would open source files in the container
        message = error.message if isinstance(error, CannotStart) else tars.reason(error)
        print(message, file=sys.stderr)
        return 1
    print(count, file=sys.stderr)
    return 0


def enter(verb: str, rootfs: str, layer: str) -> None:
    """Make what is to be read the root of this process. Raises CannotStart, OSError."""
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
    if verb == "diff":
        tree = clone_tree(f"{layer}/upper", SAFE | MOUNT_ATTR_RDONLY)
    else:  # two lower layers: the container's own overlay stays the only one that writes
        fds = [os.open(path, os.O_PATH | os.O_CLOEXEC) for path in (f"{layer}/upper", rootfs)]
        lower = ":".join(f"/proc/self/fd/{fd}" for fd in fds)
        options: dict[str, str | None] = {"lowerdir": lower}
        if _in_user_namespace():  # the container's overlay marks directories with user.*, too
            options["userxattr"] = None
        tree = syscalls.new_filesystem("overlay", options, SAFE | MOUNT_ATTR_RDONLY)
    point = os.open(STAGING, os.O_PATH | os.O_CLOEXEC)
    attach_at(point, os.dup(tree))
    tars.seal()
    os.fchdir(tree)
    os.chroot(".")


def _in_user_namespace() -> bool:
    with open("/proc/self/uid_map") as file:
        return file.read().split() != ["0", "0", "4294967295"]


def walk() -> "Iterator[str]":
    """Every path below the root, a directory before what is in it."""
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        inner = []
        for name in sorted(os.listdir(folder or ".")):
            path = f"{folder}/{name}" if folder else name
            yield path
            if stat.S_ISDIR(_lstat(path)):
                inner.append(path)
        waiting += reversed(inner)


def _lstat(path: str) -> int:
    try:
        return os.lstat(path).st_mode
    except FileNotFoundError:  # the container has just removed it
        return 0


def add(tar: tarfile.TarFile, path: str, *, diff: bool) -> int:
    """Add what is at the path; returns the number of entries. A socket has no form in a tar, and is left out."""
    mode = _lstat(path)
    folder, name = os.path.split(path)
    if diff and stat.S_ISCHR(mode) and os.lstat(path).st_rdev == 0:
        return _add_empty(tar, os.path.join(folder, WHITEOUT + name))
    if not mode or stat.S_ISSOCK(mode) or (diff and path in MOUNT_POINTS and not os.listdir(path)):
        return 0
    member = tar.gettarinfo(path, path)
    if not member.isreg():
        tar.addfile(member)
        return 1 + (diff and stat.S_ISDIR(mode) and _add_opaque(tar, path))
    fd = open_regular(path)
    try:
        if capability := _xattr(fd, CAPABILITY):
            member.pax_headers = {XATTR + CAPABILITY: capability.decode(errors="surrogateescape")}
        if stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode):
            files.require_room(sys.stdout.fileno(), member.size)  # a sparse file costs its container nothing
        tar.addfile(member, Exactly(fd, member.size))  # type: ignore[arg-type]
    finally:
        os.close(fd)
    return 1


def _add_opaque(tar: tarfile.TarFile, path: str) -> int:
    """The overlay's marks on a directory: opaque hides what is below. Raises OSError for one that was moved."""
    if any(_xattr(path, f"{prefix}redirect") for prefix in OVERLAY):
        raise OSError(f"{path} is a directory of the image that was renamed: a layer cannot tell that")
    if any(_xattr(path, f"{prefix}opaque") == b"y" for prefix in OVERLAY):
        return _add_empty(tar, f"{path}/{OPAQUE}")
    return 0


def _add_empty(tar: tarfile.TarFile, path: str) -> int:
    tar.addfile(tarfile.TarInfo(path))
    return 1


def _xattr(where: "str | int", name: str) -> bytes:
    try:
        return os.getxattr(where, name)
    except OSError:
        return b""


def command(spec: "Spec", verb: str) -> list[str]:
    """The words that run this program for a container; verb is root or diff."""
    return [sys.executable, "-IS", os.path.abspath(__file__), verb, spec.rootfs, spec.layer]


def write(spec: "Spec", target: "str | int", verb: str) -> int:
    """Run this program, as root of a user namespace if need be: the tar goes to a new file, or to a descriptor.

    Returns the number of entries. Raises LabError.
    """
    import subprocess

    from lab.errors import LabError

    words = command(spec, verb)
    if os.geteuid() != 0:
        words = [sys.executable, "-IS", os.path.abspath(__file__), "as-root", *words]
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    fd = os.open(target, flags, 0o600) if isinstance(target, str) else target
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=fd, stderr=subprocess.PIPE, check=False)
    finally:
        if isinstance(target, str):
            os.close(fd)
    said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    if done.returncode:
        raise LabError(f"cannot read the container's files: {said}", "look at the container's directory and its disk")
    return int(said)


def as_root(words: "list[str]") -> int:
    """Run this program's other verbs as root of a user namespace, where the container's ids are mapped."""
    from lab import userns
    from lab.errors import NotAllowed

    try:
        userns.as_root(lambda: os.execv(words[0], words))
    except NotAllowed:  # the other verb has told why
        return 1
    return 0


if __name__ == "__main__":
    if sys.argv[1] == "as-root":
        sys.exit(as_root(sys.argv[2:]))
    sys.exit(main(*sys.argv[1:]))

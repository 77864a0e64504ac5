"""`docker cp`: a separate process that moves into the container's root before it touches a path.

    python -I -S -c ... CHECKOUT stat|get|put PATH OWNER STORE ID [PIDFD]

PIDFD is the first process of a container that runs.

Inside that root no symlink and no ".." of the container leads out; from outside, every path would be a danger
(CVE-2018-15664). Nothing is imported after the move: the module would be the container's (CVE-2019-14271).

The first line of standard output is JSON: what is at PATH, or {"error"}, whose value is LabError.to_bytes() as text.
`get` writes a tar behind that line, `put` reads one from standard input before it. What it unpacks belongs to OWNER, a
user as in --user; "" leaves the owners that the tar names.
"""

# No pathlib, as in all of labd's programs: so they start in a few ms.
# ruff: noqa: PTH112, PTH114, PTH119, PTH208
from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import stat
import sys
import tarfile

from lab import syscalls, tars
from lab.contents import Exactly, open_regular
from lab.errors import Conflict, InvalidArgument, LabError, NotFound
from lab.runtime import rootfs
from lab.runtime.credentials import look_up
from lab.shown import printable
from lab.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LONGEST_MESSAGE = 1000
# Go's os.FileMode, which the engine API sends: its own bits above the nine permission bits.
GO_MODES = {stat.S_IFDIR: 1 << 31, stat.S_IFLNK: 1 << 27, stat.S_IFIFO: 1 << 25, stat.S_IFSOCK: 1 << 24,
            stat.S_IFBLK: 1 << 26, stat.S_IFCHR: 1 << 26 | 1 << 21}  # fmt: skip
GO_BITS = {stat.S_ISUID: 1 << 23, stat.S_ISGID: 1 << 22, stat.S_ISVTX: 1 << 20}


def enter(root: str, container_id: str, pidfd: str = "") -> None:
    """Move into the root of a running container; build a stopped one's root in a private mount namespace."""
    if pidfd:
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            syscalls.setns(int(pidfd), syscalls.CLONE_NEWNS)
            return
    container = Store(root).find(container_id)
    if container.status == "damaged":
        raise Conflict(f"container {container.name} is damaged: {container.state['error']}", "remove it")
    syscalls.unshare(syscalls.CLONE_NEWNS)
    rootfs.enter(container.spec)


def describe(path: str) -> dict[str, Any]:
    """ContainerPathStat of the engine API."""
    if path.endswith("/") and not os.path.isdir(path) and os.path.lexists(path.rstrip("/")):
        raise NotADirectoryError(errno.ENOTDIR, "not a directory", path)
    found = os.lstat(path.rstrip("/") or "/")
    kind = stat.S_IFMT(found.st_mode)
    mode = found.st_mode & 0o777 | GO_MODES.get(kind, 0)
    mode |= sum(go for bit, go in GO_BITS.items() if found.st_mode & bit)
    seconds, nanoseconds = divmod(found.st_mtime_ns, 10**9)
    return {
        "name": os.path.basename(path.rstrip("/")) or "/", "size": found.st_size, "mode": mode,
        "mtime": seconds, "nanoseconds": nanoseconds,
        "linkTarget": os.path.realpath(path) if stat.S_ISLNK(found.st_mode) else "",
    }  # fmt: skip


def get(path: str) -> None:
    """A tar of what is at path, named by its last part."""
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, path.rstrip("/") or "/", os.path.basename(path.rstrip("/")) or ".")


def _add(tar: tarfile.TarFile, path: str, name: str) -> None:
    """Add what is at path, under this name. Not TarFile.add(): it opens by path what lstat(2) called a file before."""
    member = tar.gettarinfo(path, name)
    if member is None:
        return  # a socket has no form in a tar
    if member.isreg():
        fd = open_regular(path)
        try:
            tar.addfile(member, Exactly(fd, member.size))  # type: ignore[arg-type]
        finally:
            os.close(fd)
        return
    tar.addfile(member)
    if member.isdir():
        for inner in sorted(os.listdir(path)):
            with contextlib.suppress(FileNotFoundError):  # the container has just removed it
                _add(tar, f"{path.rstrip('/')}/{inner}", f"{name}/{inner}")


def put(path: str, owner: str) -> None:
    """Unpack the tar from standard input in the directory at path; an empty input is an empty tar, as in Docker."""
    if not os.path.lexists(path):
        raise FileNotFoundError
    if not os.path.isdir(path):
        raise NotADirectoryError(errno.ENOTDIR, "extraction point is not a directory", path)
    os.chdir(path)
    user = look_up(owner) if owner else None

    def fits(member: tarfile.TarInfo) -> bool:
        if os.path.isdir(member.name) and not member.isdir() and not os.path.islink(member.name):
            raise IsADirectoryError(errno.EISDIR, "cannot overwrite directory with non-directory", member.name)
        if user:
            member.uid, member.gid = user.uid, user.gid
        return True

    with open(0, "rb", closefd=False) as source:
        if source.peek(1):
            tars.unpack(source, fits)


def main() -> None:
    """Exit status 0; errors are reported on standard output."""
    verb, path, owner, *where = sys.argv[2:]
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # where labd has been killed, nobody is left to be told
    os.umask(0o022)
    tars.confine()
    try:
        enter(*where)
        tars.seal()
        if verb == "put":
            put(path, owner)
        found = describe(path)
    except LabError as error:
        _refuse(error)
    except FileNotFoundError:
        _refuse(NotFound(f"Could not find the file {path} in the container"))
    except OSError as error:
        _refuse(InvalidArgument(f"{error.filename or path}: {error.strerror or error}"))
    except Exception as error:  # a traceback would look for source files in the container
        _refuse(InvalidArgument(f"cannot read the tar: {tars.reason(error)}"))
    else:
        _say(found)
        if verb == "get":
            _get_all(path)


def _get_all(path: str) -> None:
    try:
        get(path)
    except Exception as error:  # as above; the first line has been sent: the client notices a tar that is cut short
        print(f"labd: archive of {path!r}: {tars.reason(error)}", file=sys.stderr)
        sys.exit(1)


def _refuse(error: LabError) -> None:
    error.message = printable(error.message[:LONGEST_MESSAGE])  # it may hold names from the container or the tar
    _say({"error": error.to_bytes().decode()})


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()

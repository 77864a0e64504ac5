"""The daemon's socket: made here, with the right mode from the first moment, or passed in by systemd."""

from __future__ import annotations

import fcntl
import grp
import os
import socket
import stat
from pathlib import Path

from lab.errors import Conflict, InvalidArgument, NotAllowed
from lab.files import make_public

MODE = 0o660
LISTEN_FDS_START = 3  # sd_listen_fds(3)


class Listener:
    """A listening UNIX socket."""

    def __init__(self, sock: socket.socket, path: Path | None, lock_fd: int = -1) -> None:
        self.socket, self.path, self.lock_fd = sock, path, lock_fd
        self.inode = path.stat().st_ino if path else 0

    def close(self) -> None:
        """Close it, and unlink its path unless the path is a newer daemon's socket or systemd's."""
        self.socket.close()
        if self.path:
            try:
                if self.path.lstat().st_ino == self.inode:
                    self.path.unlink()
            except FileNotFoundError:
                pass
        if self.lock_fd >= 0:
            os.close(self.lock_fd)


def bind(path: Path, group: str) -> Listener:
    """Bind PATH as root:group 0660. Raises Conflict if a daemon listens there, InvalidArgument for an unknown group.

    The umask gives the socket its mode in bind(2) itself, so that no other user can connect before the chmod(2). A lock
    file beside it decides between two daemons that start at once. A socket that nobody listens on is replaced.
    """
    gid = _group_id(group)
    lock_fd = _lock(path)
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o777 & ~MODE)
    try:
        sock.bind(str(path))
    except OSError as error:
        raise InvalidArgument(
            f"cannot bind {path}: {error.strerror or error}",
            "choose a --socket of at most 107 bytes; unix(7)",
        ) from None
    finally:
        os.umask(before)
    os.chown(path, 0 if os.geteuid() == 0 else -1, gid)
    sock.listen(512)
    return Listener(sock, path, lock_fd)


def _lock(path: Path) -> int:
    """The descriptor of the locked PATH.lock; flock(2) ends with the daemon."""
    try:
        if not path.parent.exists():
            make_public(str(path.parent))
        fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError as error:
        raise NotAllowed(
            f"cannot write {error.filename}: {error.strerror}", "run labd as root, or use --socket"
        ) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise _in_use(path) from None
    return fd


def _remove_stale(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise InvalidArgument(f"{path} exists and is not a socket", "move it away, or use another --socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise _in_use(path)


def _in_use(path: Path) -> Conflict:
    return Conflict(f"another daemon is listening on {path}", "stop it first, or use another --socket")


def _group_id(group: str) -> int:
    if not group:
        return -1
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise InvalidArgument(f'unknown group "{group}"', f"create it: groupadd {group}") from None


def inherited() -> Listener | None:
    """The socket of labd.socket, if systemd started us through it; sd_listen_fds(3)."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    count = os.environ.get("LISTEN_FDS", "")
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    if count != "1":
        raise InvalidArgument(
            f"systemd passed {count} sockets instead of one", "write one ListenStream= in labd.socket"
        )
    os.set_inheritable(LISTEN_FDS_START, False)
    return Listener(socket.socket(fileno=LISTEN_FDS_START), None)

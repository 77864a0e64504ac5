"""Which ids an ordinary user may have in a user namespace; user_namespaces(7), subuid(5)."""

from __future__ import annotations

import os
import shutil

from lab import syscalls
from lab.errors import NotAllowed
from lab.runtime.process import write_id_mappings
from lab.spec import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Mappings = list[tuple[int, int, int]]


def mappings() -> tuple[Mappings, Mappings]:
    """(uid_mappings, gid_mappings): root inside is the caller outside.

    With newuidmap(1) and a range of subordinate ids the others are mapped, too; without, root is the only user.
    """
    uid, gid = os.getuid(), os.getgid()
    ranges = [_range("/etc/subuid", uid), _range("/etc/subgid", uid)]
    if not all(count for _, count in ranges) or not shutil.which("newuidmap") or not shutil.which("newgidmap"):
        return [(0, uid, 1)], [(0, gid, 1)]
    (first_uid, uids), (first_gid, gids) = ranges
    return [(0, uid, 1), (1, first_uid, uids)], [(0, gid, 1), (1, first_gid, gids)]


def as_root(action: Callable[[], None]) -> None:
    """Do it in a child that is root in a user namespace with these ids; podman-unshare(1). Raises NotAllowed."""
    uids, gids = mappings()
    mapped, go = os.pipe2(os.O_CLOEXEC)
    pid, pidfd = syscalls.clone3(syscalls.CLONE_NEWUSER)
    if pid == 0:
        os.close(go)
        try:
            if os.read(mapped, 1):
                os.setresgid(0, 0, 0)
                os.setresuid(0, 0, 0)
                action()
                os._exit(0)
        finally:
            os._exit(1)
    os.close(mapped)
    try:
        write_id_mappings(pid, Spec(args=["true"], uid_mappings=uids, gid_mappings=gids))
        os.write(go, b"g")
    finally:
        os.close(go)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
    if status:
        raise NotAllowed("some of the container's files cannot be deleted", "delete them as root")


def _range(path: str, uid: int) -> tuple[int, int]:
    """(first id, count) that the file gives this user, by name or number; (0, 0) for none."""
    import pwd

    try:
        owners = {str(uid), pwd.getpwuid(uid).pw_name}
    except KeyError:
        owners = {str(uid)}
    try:
        with open(path, encoding="utf-8") as file:
            rows = [line.strip().split(":") for line in file]
    except FileNotFoundError:
        return 0, 0
    return next(((int(row[1]), int(row[2])) for row in rows if len(row) == 3 and row[0] in owners), (0, 0))

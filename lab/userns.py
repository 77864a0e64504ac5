"""The ids that an ordinary user may map in a user namespace; user_namespaces(7), subuid(5)."""

from __future__ import annotations

import os

from lab import syscalls
from lab.errors import CannotStart, NotAllowed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Mappings = list[tuple[int, int, int]]


def mappings() -> tuple[Mappings, Mappings]:
    """(uid_mappings, gid_mappings): root inside is the caller outside.

    With newuidmap(1) and a range of subordinate ids other ids are mapped, too; else root is the only user inside.
    """
    import shutil

    uid, gid = os.getuid(), os.getgid()
    ranges = [_range("/etc/subuid", uid), _range("/etc/subgid", uid)]
    if not all(count for _, count in ranges) or not shutil.which("newuidmap") or not shutil.which("newgidmap"):
        return [(0, uid, 1)], [(0, gid, 1)]
    (first_uid, uids), (first_gid, gids) = ranges
    return [(0, uid, 1), (1, first_uid, uids)], [(0, gid, 1), (1, first_gid, gids)]


def as_root(action: Callable[[], None]) -> None:
    """Run action in a child that is root in a user namespace with mappings(); podman-unshare(1). Raises NotAllowed."""
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
        write_id_mappings(pid, uids, gids)
        os.write(go, b"g")
    finally:
        os.close(go)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
    if status:
        raise NotAllowed("some files of the container cannot be deleted", "delete the container as root")


def write_id_mappings(pid: int, uids: Mappings, gids: Mappings) -> None:
    """Map the ids of the user namespace of pid; user_namespaces(7). newuidmap(1) maps more ids than a user alone may.

    Raises CannotStart.
    """
    if len(uids) > 1:
        import subprocess  # costly, and only subordinate ids need it

        for program, rows in (("newuidmap", uids), ("newgidmap", gids)):
            numbers = [str(number) for row in rows for number in row]
            done = subprocess.run([program, str(pid), *numbers], capture_output=True, text=True, check=False)
            if done.returncode:
                why = done.stderr.strip().removeprefix(f"{program}: ")
                raise CannotStart(f"{program}: {why}", "see /etc/subuid and /etc/subgid, subuid(5)")
        return
    write_whole(f"/proc/{pid}/setgroups", "deny")
    for name, rows in (("uid_map", uids), ("gid_map", gids)):
        write_whole(f"/proc/{pid}/{name}", " ".join(str(number) for number in rows[0]))


def write_whole(path: str, text: str) -> None:
    """Write a file of /proc in one write(2). Raises CannotStart with the kernel's reason."""
    # Not open().write(), whose error comes at the close and may be lost in a destructor.
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        raise CannotStart(f"cannot write {path}: {error.strerror}") from None
    finally:
        os.close(fd)


def _range(path: str, uid: int) -> tuple[int, int]:
    """(first id, count) of the range that the file gives to this user, by name or number; (0, 0) if there is none."""
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

"""How each change that is journalled is taken back: only what the lab makes, where the lab makes it.

The user of a story owns parts of what a run leaves, and may have put symlinks, other pids and other files there
meanwhile. After a fault, a line of the journal may hold anything. So every fact is checked before root acts on it.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import stat
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from lab.audit import watch
from lab.audit.rules import Rule
from lab.errors import MissingFeature
from lab.files import remove_tree
from lab.mountpoints import mount_points
from lab.paths import STATE
from lab.pidfd import open_process
from lab.syscalls import AT_FDCWD, MNT_DETACH, openat2, umount2
from scenarios.needs import run
from scenarios.safety import guest
from scenarios.safety.processes import end_process, let_go
from scenarios.safety.sessions import end_session

DIRECTORY = Path("/run/lab")
ENGINES = Path("/run/lab-engines")
UNITS = Path("/run/systemd/system")
CGROUPS = ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified")
IMAGE = "loginuid-lab/host"
RESOLVE_NO_SYMLINKS = 0x04
NETWORK_SECONDS = 5
Places = Collection[Path]


class Refused(Exception):
    """The journal describes something that the lab cannot have made; the message says why."""


def take_back(entry: Any, places: Places) -> bool:
    """Undo one entry; its paths must be below these places. Returns whether there was anything to undo.

    Raises Refused before anything is done.
    """
    if not isinstance(entry, dict) or not isinstance(entry.get("kind"), str) or entry["kind"] not in UNDO:
        raise Refused("no such kind of change")
    return UNDO[entry["kind"]](entry, places)


def _text(entry: dict[str, Any], name: str) -> str:
    value = entry.get(name)
    if not isinstance(value, str) or not value.isprintable():
        raise Refused(f"{name} is not a printable text")
    return value


def _number(entry: dict[str, Any], name: str) -> int:
    value = entry.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise Refused(f"{name} is not a number from 0 to 2**63 - 1")
    return value


def _own_path(entry: dict[str, Any], places: Places) -> str:
    """An absolute path strictly below one of the places, none of whose parents is a symlink."""
    path = _text(entry, "path")
    own = any(Path(path).is_relative_to(place) and Path(path) != place for place in places)
    own = own or path.startswith(f"{STATE}/dockerd-")
    if not own or not path.startswith("/") or os.path.normpath(path) != path:
        raise Refused(f"{path!r} is not below {' or '.join(map(str, places))}")
    if os.path.realpath(Path(path).parent) != str(Path(path).parent):
        raise Refused(f"{path!r} leads through a symlink")
    return path


def _undo_process(entry: dict[str, Any], places: Places) -> bool:
    pid, start_time = _number(entry, "pid"), _number(entry, "start_time")
    if not 1 < pid < 2**31:
        raise Refused(f"{pid} cannot be a process that the lab started")
    pidfd = open_process(pid, start_time)
    if pidfd < 0:
        return False
    end_process(pidfd)
    os.close(pidfd)
    return True


def _undo_session(entry: dict[str, Any], places: Places) -> bool:
    """End what a login session of the lab has started; never a session that this process belongs to."""
    session, began = _number(entry, "session"), _number(entry, "start_time")
    try:
        return end_session(session, began)
    except ValueError as error:
        raise Refused(str(error)) from None


def _undo_directory(entry: dict[str, Any], places: Places) -> bool:
    path = _own_path(entry, places)
    there = os.path.lexists(path)
    remove_directory(path)
    return there


def remove_directory(path: str) -> None:
    """Detach all mounts below a directory, then remove the directory; a killed engine leaves mounts behind."""
    let_go(path)
    for point in reversed(mount_points()):
        if f"{point}/".startswith(f"{path}/"):
            with suppress(OSError):
                # A user may own a directory on the way, and could replace that directory by a symlink.
                fd = openat2(AT_FDCWD, point, os.O_PATH, RESOLVE_NO_SYMLINKS)
                umount2(f"/proc/self/fd/{fd}", MNT_DETACH)
                os.close(fd)
    try:
        remove_tree(path)
    except OSError:  # one entry cannot be removed: remove all the others
        shutil.rmtree(path, ignore_errors=True)


def remove_cgroup(path: Path) -> None:
    """Remove a cgroup and those below it, unless a process is still in one; cgroups(7)."""
    with suppress(OSError):
        for directory, _, _ in os.walk(path, topdown=False):
            Path(directory).rmdir()


def remove_unit(path: Path) -> None:
    """Stop a unit of this machine's systemd and remove its file, if it is still there."""
    if path.exists():
        name = path.name.replace("@.", "@*.")
        run(["systemctl", "stop", name])
        path.unlink()
        run(["systemctl", "daemon-reload"])
        run(["systemctl", "reset-failed", name])


def remove_network(name: str) -> None:
    """Remove a network namespace, and the near end of its veth pair, if they are still there; ip-netns(8).

    The namespace's name is a mount. With the last process in the namespace and that mount, the kernel removes the
    namespace, the veth's far end in it, and so the near end; veth(4). Raises TimeoutError if the near end stays.
    """
    place, near = Path("/run/netns", name), Path(f"/sys/class/net/{name}-h")
    with suppress(OSError):  # no mount: `ip netns add` was killed before it, or this is the second time
        umount2(str(place), MNT_DETACH)
    place.unlink(missing_ok=True)
    for _ in range(NETWORK_SECONDS * 100):
        if not near.exists():
            return
        time.sleep(0.01)
    raise TimeoutError(
        errno.ETIMEDOUT, "the kernel has not removed it: a process may still be in its namespace", str(near)
    )


def _undo_network(entry: dict[str, Any], places: Places) -> bool:
    name = _text(entry, "name")
    if not re.fullmatch(r"lab-[0-9a-f]{1,8}", name):
        raise Refused(f"{name!r} is not a name that the lab gives to a network")
    there = Path("/run/netns", name).exists() or Path(f"/sys/class/net/{name}-h").exists()
    remove_network(name)
    return there


def _undo_cgroup(entry: dict[str, Any], places: Places) -> bool:
    path = Path(_text(entry, "path"))
    if str(path.parent) not in CGROUPS or not path.name.startswith("systemd-") or path.name.endswith(".slice"):
        raise Refused(f"{str(path)!r} is not a path that the lab gives to a cgroup")
    there = path.exists()
    remove_cgroup(path)
    return there


def _undo_unit(entry: dict[str, Any], places: Places) -> bool:
    path = Path(_text(entry, "path"))
    if path.parent != UNITS or not re.fullmatch(r"lab-[\w@.-]+", path.name):
        raise Refused(f"{str(path)!r} is not a path that the lab gives to a unit")
    there = path.exists()
    remove_unit(path)
    return there


WITHOUT_SETTINGS = ("env", "-u", "CONTAINERS_CONF", "-u", "CONTAINERS_STORAGE_CONF", "-u", "DOCKER_HOST")


def _undo_image(entry: dict[str, Any], places: Places) -> bool:
    """Remove the lab's image, which has a random name, and its containers from a real engine."""
    image, argv = _text(entry, "image"), entry.get("argv")
    if not image.startswith(f"{IMAGE}:") or not isinstance(argv, list) or not _is_engine(argv):
        raise Refused(f"{image!r} is not an image that the lab imports into docker or podman")
    # Podman refuses to start with a CONTAINERS_CONF that was removed, for example by engines-down.
    gone = [word for word in argv if word.startswith("CONTAINERS_") and not Path(word.partition("=")[2]).exists()]
    # Root needs no sudo, which may be gone, too; but sudo also kept this process's own settings from the engine.
    engine = [*WITHOUT_SETTINGS, *(word for word in argv if word not in (*gone, "sudo"))]
    with suppress(MissingFeature):  # the engine was uninstalled meanwhile
        there = run([*engine, "images", "--quiet", image]).stdout.strip() != ""
        listed = run([*engine, "ps", "--all", "--quiet", "--filter", f"ancestor={image}"])
        if containers := listed.stdout.split():
            run([*engine, "rm", "--force", *containers])
        run([*engine, "rmi", "--force", image])
        return there
    return False


def _is_engine(argv: Collection[object]) -> bool:
    """Whether a command is docker or podman, behind at most sudo, env and setpriv."""
    words = [word if isinstance(word, str) else "" for word in argv]
    for word in words:
        if word in ("docker", "podman"):
            return "" not in words
        if word not in ("sudo", "env", "setpriv") and not word.startswith(("--", "CONTAINERS_", "DOCKER_")):
            return False
    return False


def _undo_pause(entry: dict[str, Any], places: Places) -> bool:
    """End the process that keeps rootless podman's user namespace; the user's file `path` holds its pid.

    The user can point the path at any file and write any pid into it. So only a process with no other uid than the
    user's is ended, which the user could do alone.
    """
    uid, path = _number(entry, "uid"), _text(entry, "path")
    if uid == 0 or not any(Path(path).is_relative_to(place) for place in places):
        raise Refused(f"{path!r} is not below a story's directory, or the user is root")
    try:
        fd = openat2(AT_FDCWD, path, os.O_RDONLY | os.O_NONBLOCK, RESOLVE_NO_SYMLINKS)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from None
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        text = file.read(32).strip() if stat.S_ISREG(status.st_mode) and status.st_uid == uid else b""
    if not text.isdigit() or not 1 < int(text) < 2**31:
        raise Refused(f"{path} is not a file of uid {uid} that holds a pid")
    with suppress(ProcessLookupError, FileNotFoundError):
        pidfd = os.pidfd_open(int(text))
        try:
            uids = _uids(int(text))
            signal.pidfd_send_signal(pidfd, 0)  # the process lives, so the uids are not those of a later one
            if uids != {uid}:
                raise Refused(f"{path} names process {int(text)}, which is not uid {uid}'s")
            end_process(pidfd)
            return True
        finally:
            os.close(pidfd)
    return False


def _uids(pid: int) -> set[int]:
    """Real, effective, saved and filesystem uid; proc_pid_status(5)."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    return {int(word) for line in lines if line.startswith("Uid:") for word in line.split()[1:]}


def _undo_audit(entry: dict[str, Any], places: Places) -> bool:
    facts = {name: value for name, value in entry.items() if name != "kind"}
    if entry["kind"] == watch.RULE:
        try:
            key = Rule.unpack(bytes.fromhex(_text(entry, "packed"))).key
        except Exception as error:  # whatever the parser raises, the bytes are no rule
            raise Refused("packed is no audit rule") from error
        if not key.startswith("lab-"):
            raise Refused(f"the lab adds no audit rule with the key {key!r}")
    elif _number(entry, "was") > 1 or _number(entry, "auditd") >= 2**31:
        raise Refused("was or auditd is not a state that the kernel's audit can have")
    return watch.undo(entry["kind"], facts)


UNDO: dict[str, Callable[[dict[str, Any], Places], bool]] = {
    "process": _undo_process,
    "session": _undo_session,
    "directory": _undo_directory,
    "image": _undo_image,
    "cgroup": _undo_cgroup,
    "network": _undo_network,
    "pause": _undo_pause,
    "unit": _undo_unit,
    watch.RULE: _undo_audit,
    watch.ENABLED: _undo_audit,
    **guest.UNDO,
}

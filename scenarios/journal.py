"""What a run changes on this machine, written down before it is done, so that `lab restore` can take it back.

    /run/lab/stage.lock   held by the one run that may be on
    /run/lab/journal      a JSON object a line, each synced to disk before the change that it tells of

/run is emptied by a reboot, and so is everything that is journalled: audit rules, processes, files in /run.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from lab.audit import watch
from lab.errors import Conflict
from lab.store import is_alive, start_time
from lab.syscalls import MNT_DETACH, umount2

DIRECTORY = Path("/run/lab")


class Journal:
    """The lock and the journal of one run; a context manager. Leaving it takes back what is still noted."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self.path, self.lock_path = directory / "journal", directory / "stage.lock"
        self._kept = False

    def __enter__(self) -> Self:
        """Raises Conflict if another run is on. What a killed run left is restored first."""
        self.path.parent.mkdir(mode=0o755, exist_ok=True)
        self._lock = os.open(self.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            if error.errno != errno.EWOULDBLOCK:
                raise
            raise Conflict("another run of the lab is on", "wait for its end: two would blur each other") from None
        self.restored = self._restore()
        self._file = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
        if not self._kept:
            self._restore()
        os.close(self._lock)

    def keep(self) -> None:
        """Leave what is noted as it is, for the next who opens this journal to take back."""
        self._kept = True

    def note(self, kind: str, **facts: object) -> None:
        """Write down a change that is about to be made; returns when it is on disk."""
        json.dump({"kind": kind, **facts}, self._file)
        self._file.write("\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def note_process(self, pid: int) -> None:
        """A process that must not outlive the run."""
        self.note("process", pid=pid, start_time=start_time(pid))

    def _restore(self) -> list[str]:
        """Undo what is noted, the latest first; a line for each thing. Safe to run twice."""
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        entries = [json.loads(line) for line in lines if line.endswith("}")]  # a last line may be cut short
        for entry in reversed(entries):
            UNDO[entry["kind"]](entry)
        self.path.unlink()
        return [_describe(entry) for entry in reversed(entries)]


def end_process(pidfd: int, seconds: float = 10) -> None:
    """SIGTERM, SIGKILL after that many seconds; returns when it has ended. By pidfd, so never another's process."""
    from lab.fork import ended

    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            signal.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            return
        if ended(pidfd, seconds):
            return


def _undo_process(entry: dict[str, Any]) -> None:
    try:
        pidfd = os.pidfd_open(entry["pid"])
    except ProcessLookupError:
        return
    if is_alive(entry["pid"], entry["start_time"]):
        end_process(pidfd)
    os.close(pidfd)


def _undo_directory(entry: dict[str, Any]) -> None:
    remove_directory(entry["path"])


def remove_directory(path: str) -> None:
    """Remove a directory of the lab's own, once nothing is mounted there: real engines leave mounts when killed."""
    rows = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    for point in reversed([row.split()[4] for row in rows]):
        if f"{point}/".startswith(f"{path}/"):
            umount2(point, MNT_DETACH)
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
        subprocess.run(["systemctl", "stop", name], check=False)
        path.unlink()
        subprocess.run(["systemctl", "daemon-reload"], check=False)
        subprocess.run(["systemctl", "reset-failed", name], capture_output=True, check=False)


def remove_network(name: str) -> None:
    """Remove a network namespace, and the near end of its veth pair, if they are still there; ip-netns(8)."""
    subprocess.run(["ip", "link", "delete", f"{name}-h"], capture_output=True, check=False)
    subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def _undo_network(entry: dict[str, Any]) -> None:
    remove_network(entry["name"])


def _undo_cgroup(entry: dict[str, Any]) -> None:
    remove_cgroup(Path(entry["path"]))


def _undo_unit(entry: dict[str, Any]) -> None:
    remove_unit(Path(entry["path"]))


def _undo_image(entry: dict[str, Any]) -> None:
    """Remove an image of the lab's own from a real engine, and its containers; its name is random, so they are ours."""
    image = entry["image"]
    # Podman refuses to start with a CONTAINERS_CONF that is gone meanwhile, as after engines-down.
    gone = [
        word for word in entry["argv"] if word.startswith("CONTAINERS_") and not Path(word.partition("=")[2]).exists()
    ]
    engine = [word for word in entry["argv"] if word not in gone]
    with suppress(FileNotFoundError):  # the engine was uninstalled meanwhile
        words = [*engine, "ps", "--all", "--quiet", "--filter", f"ancestor={image}"]
        listed = subprocess.run(words, capture_output=True, text=True, check=False)
        if containers := listed.stdout.split():
            subprocess.run([*engine, "rm", "--force", *containers], capture_output=True, check=False)
        subprocess.run([*engine, "rmi", "--force", image], capture_output=True, check=False)


def _undo_pause(entry: dict[str, Any]) -> None:
    """End the process that keeps rootless podman's user namespace; its pid is in a file of podman's."""
    path = Path(entry["path"])
    with suppress(FileNotFoundError, ProcessLookupError):
        pid = int(path.read_text(encoding="ascii"))
        pidfd = os.pidfd_open(pid)
        if Path(f"/proc/{pid}").stat().st_uid == path.stat().st_uid:  # a recycled pid would be another's
            end_process(pidfd)
        os.close(pidfd)


def _undo_audit(entry: dict[str, Any]) -> None:
    watch.undo(entry["kind"], {name: value for name, value in entry.items() if name != "kind"})


UNDO: dict[str, Callable[[dict[str, Any]], None]] = {
    "process": _undo_process,
    "directory": _undo_directory,
    "image": _undo_image,
    "cgroup": _undo_cgroup,
    "network": _undo_network,
    "pause": _undo_pause,
    "unit": _undo_unit,
    watch.RULE: _undo_audit,
    watch.ENABLED: _undo_audit,
}


def _describe(entry: dict[str, Any]) -> str:
    facts = " ".join(f"{name}={value}" for name, value in entry.items() if name not in ("kind", "packed"))
    return f"{entry['kind']}: {facts}"

"""A real systemd to run units under: the machine's own, or one booted for the story.

Where pid 1 is another program, systemd-nspawn(1) boots systemd in a container over an overlay of this machine's root:
the container has the same files, and what it writes is lost at its end. A private mount namespace holds all its mounts.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from lab.errors import MissingFeature
from lab.identity import UNSET
from scenarios import needs
from scenarios.safety.journal import Journal
from scenarios.safety.processes import end_process
from scenarios.safety.undo import remove_cgroup, remove_unit
from scenarios.stage.engines import paste, sudo

UNITS = "run/systemd/system"
CHECKOUT = Path(__file__).parent.parent.parent
BOOT_SECONDS = 30
# If the lab dies before it has journalled this process, standard input ends without a line and the script stops.
BOOT = f"""
set -e
read go
exec < /dev/null
[ "$(cat /proc/self/loginuid)" = {UNSET} ] || echo {UNSET} > /proc/self/loginuid
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
root=$1/root checkout=$2 python=$3
shift 3
for cgroup; do echo $$ > "$cgroup/cgroup.procs"; done
exec systemd-nspawn --quiet --directory="$root" --register=no --keep-unit --console=read-only --notify-ready=yes \\
    --bind-ro="$checkout" --bind-ro="$python" --boot systemd.unit=basic.target
"""


class Systemd:
    """A system manager; a context manager.

    enter   the words before a command that runs beside the manager, sudo among them
    root    the manager's root directory as seen from here
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.booted_here = not Path("/run/systemd/system").is_dir()
        self.enter, self.root = sudo(), Path("/")
        self._units: list[Path] = []
        self._cgroups: list[Path] = []

    def __enter__(self) -> Self:
        """Raises MissingFeature if no systemd runs and none can be booted."""
        needs.require("systemctl", "systemd-notify", "journalctl")
        if self.booted_here:
            leader = self._boot()
            self.enter, self.root = [*sudo(), "nsenter", "-at", str(leader)], Path(f"/proc/{leader}/root")
        return self

    def __exit__(self, *error: object) -> None:
        if self.booted_here:
            self._end()
        for path in self._units:
            remove_unit(path)

    def install(self, units: Mapping[str, str]) -> None:
        """Write these unit files, text by name, and reload the manager. __exit__ removes them."""
        for name, text in units.items():
            path = self.root / UNITS / name
            if not self.booted_here:
                self._units.append(path)
                self.journal.note("unit", path=str(path))
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        self.run("systemctl", "daemon-reload")

    def file(self, path: str) -> str:
        """That file beside the manager, as a path from here; empty if it had to be made, in a container's overlay."""
        file = self.root / path.lstrip("/")
        if self.booted_here and not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o640)
        return str(file)

    def run(self, *argv: str) -> str:
        """Run a command beside the manager that the audience does not see; returns its output."""
        return needs.run([*self.enter, *argv]).stdout.strip()

    def _boot(self) -> int:
        """Start nspawn and wait for its READY=1; returns the pid of the container's systemd."""
        needs.require("systemd-nspawn", "nsenter", "unshare", "sh", "cat", "mount", "mkdir")
        self._directory = self.journal.directory("systemd")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            ready.bind(str(self._directory / "notify"))
            ready.settimeout(BOOT_SECONDS)
            self._start()
            try:
                return _leader(ready)
            except TimeoutError:
                said = (self._directory / "console").read_text(errors="replace").split("\n")[-5:]
                self._end()
                raise MissingFeature("systemd did not boot in a container", " ".join(said)) from None

    def _start(self) -> None:
        (self._directory / "root").mkdir()
        for root in ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
            if Path(root, "cgroup.procs").exists():
                self._cgroups.append(Path(root, self._directory.name))
                self.journal.note("cgroup", path=str(self._cgroups[-1]))
                self._cgroups[-1].mkdir()
        words = (str(self._directory / "root"), str(CHECKOUT), sys.base_prefix, *map(str, self._cgroups))
        with (self._directory / "console").open("wb") as console:
            self._nspawn = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", BOOT, "sh", *words],
                stdin=subprocess.PIPE,
                stdout=console,
                stderr=console,
                start_new_session=True,
                env={"PATH": os.environ["PATH"], "NOTIFY_SOCKET": str(self._directory / "notify")},
            )
        self._pidfd = os.pidfd_open(self._nspawn.pid)
        self.journal.note_process(self._nspawn.pid)
        assert self._nspawn.stdin
        with self._nspawn.stdin as stdin:
            stdin.write(b"go\n")

    def _end(self) -> None:
        end_process(self._pidfd)
        self._nspawn.wait()
        os.close(self._pidfd)
        for cgroup in self._cgroups:
            remove_cgroup(cgroup)
        shutil.rmtree(self._directory)


def _leader(ready: socket.socket) -> int:
    """The pid in nspawn's X_NSPAWN_LEADER_PID, once READY=1 has come from its container's systemd; sd_notify(3)."""
    told: dict[str, str] = {}
    while "READY" not in told:
        message = ready.recv(4096).decode()
        told.update(line.partition("=")[::2] for line in message.splitlines())
    return int(told["X_NSPAWN_LEADER_PID"])


def exec_start(argv: Sequence[str]) -> str:
    """An ExecStart= line: systemd quotes as a shell does, but % and $ must be doubled; systemd.service(5)."""
    return "ExecStart=" + paste(argv).replace("%", "%%").replace("$", "$$")

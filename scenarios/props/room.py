"""Daemons of a story's own: cron, atd, sshd, a system bus, containerd. The machine's own ones are not touched.

They run in a mount namespace with an empty /run, empty spools, and a crontab and a doas.conf of their own. All of that
ends with the processes, which are journalled. No daemon listens on the network: sshd gets its connections from a UNIX
socket in the story's directory.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Self

from lab.errors import MissingFeature
from scenarios import needs
from scenarios.props.labd import start
from scenarios.props.real_daemons import await_ready
from scenarios.props.real_engines import pack
from scenarios.safety.journal import Journal
from scenarios.safety.processes import end_process
from scenarios.safety.undo import DIRECTORY

SPOOLS = ("/etc/cron.d", "/var/spool/cron/crontabs", "/var/spool/cron/atjobs", "/var/spool/cron/atspool")
POLKIT = Path("/usr/share/dbus-1/system-services/org.freedesktop.PolicyKit1.service")
# polkitd wants the directories of logind. -n, so that mount(8) writes no /run/mount/utab.
# The file .SEQ is what the package at makes when it is installed.
FURNISH = f"""
set -e
mount -n -t tmpfs -o mode=755 tmpfs /mnt
mkdir -p /mnt/sshd /mnt/dbus /mnt/systemd/seats /mnt/systemd/sessions /mnt/systemd/users /mnt/{DIRECTORY.name}
mount -n --rbind {DIRECTORY} /mnt/{DIRECTORY.name}
mount -n --move /mnt /run
mount -n -t overlay -o "lowerdir=$1/etc:/etc" overlay /etc
for spool in {" ".join(SPOOLS)}; do
  [ -d "$spool" ] || continue
  mount -n -t tmpfs -o "$(stat -c uid=%u,gid=%g,mode=%a "$spool")" tmpfs "$spool"
  [ "${{spool##*/}}" != atjobs ] || install -m 600 -o daemon -g daemon /dev/null "$spool/.SEQ"
done
touch "$1/furnished"
exec sleep infinity
"""
BUS = """\
<busconfig>
  <type>session</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <servicedir>{home}/services</servicedir>
  <policy context="default">
    <allow user="*"/><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
  </policy>
</busconfig>
"""
SSHD = """\
HostKey {home}/hostkey
AuthorizedKeysFile {home}/key.pub
AuthenticationMethods publickey
PermitRootLogin prohibit-password
UsePAM yes
"""
# ssh gets the connection as a descriptor: ProxyUseFdpass, ssh_config(5).
CONNECT = (
    "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
    "socket.send_fds(socket.socket(fileno=1), [bytes(1)], [s.fileno()])"
)
SSH = """\
Host localhost
  User root
  IdentityFile {home}/key
  IdentitiesOnly yes
  BatchMode yes
  ConnectTimeout 10
  LogLevel ERROR
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  GlobalKnownHostsFile /dev/null
  ProxyUseFdpass yes
  ProxyCommand {python} -c "{connect}" {home}/sshd.socket
  ControlMaster auto
  ControlPath {home}/master
  ControlPersist 60
"""


CONTAINERD = """\
version = 2
root = "/run/containerd/images"
state = "/run/containerd/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "/run/containerd/socket"
"""
CONTAINERD_SOCKET = Path("/run/containerd/socket")


class Room:
    """The namespace; a context manager. enter: the words before a command that runs in it; home: a directory for it.

    Nothing is started before a daemon is asked for, each by a method with its name; it is started once. home must be
    below the journal's DIRECTORY. Raises MissingFeature for what cannot be had here.
    """

    def __init__(self, journal: Journal, home: Path) -> None:
        self.home, self._journal = home, journal
        (home / "etc").mkdir()
        self._pidfds: dict[str, int] = {}
        self._failed: dict[str, MissingFeature] = {}
        self._pid = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if (self.home / "master").exists():
            needs.run(self.ssh("-O", "exit", "localhost"))
        for pidfd in reversed(self._pidfds.values()):
            end_process(pidfd)
            os.close(pidfd)

    def etc(self, name: str, text: str) -> None:
        """A file that the room has in /etc; before the first daemon is asked for."""
        path = self.home / "etc" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600 if name == "doas.conf" else 0o644)  # cron and doas refuse what others may write

    @property
    def pid(self) -> int:
        """Of the process that holds the namespace; /proc/PID/root is the room as seen from here."""
        needs.require("nsenter", "unshare", "mount", "stat", "install", "touch", "sleep")
        self._refuse("room")
        if not self._pid:
            words = ["unshare", "--mount", "sh", "-c", FURNISH, "sh", str(self.home)]
            self._pid = self._daemon("room", words, (self.home / "furnished").exists)
        return self._pid

    @property
    def enter(self) -> list[str]:
        return ["nsenter", f"--mount=/proc/{self.pid}/ns/mnt"]

    def cron(self) -> None:
        """It runs the jobs of /etc/crontab that are marked @reboot: for cron, this is its first start."""
        needs.require("cron")
        self._once("cron", ["cron", "-f"], Path("/run/crond.pid"))

    def atd(self) -> None:
        needs.require("at", "atd")
        self._once("atd", ["atd", "-f"], Path("/run/atd.pid"))

    def bus(self, name: str, command: str) -> None:
        """A system bus that starts this service when it is asked to, and polkit's where polkit is installed."""
        needs.require("dbus-daemon", "dbus-send")
        services = self.home / "services"
        services.mkdir(exist_ok=True)
        (services / f"{name}.service").write_text(f"[D-BUS Service]\nName={name}\nExec={command}\n", encoding="utf-8")
        if POLKIT.exists():
            (services / POLKIT.name).write_bytes(POLKIT.read_bytes())
        (self.home / "bus.conf").write_text(BUS.format(home=self.home), encoding="utf-8")
        words = ["dbus-daemon", f"--config-file={self.home}/bus.conf", "--nofork", "--nopidfile"]
        self._once("bus", words, Path("/run/dbus/system_bus_socket"))

    def sshd(self) -> None:
        """A login by the story's own key; self.ssh() are the words."""
        needs.require("ssh", "ssh-keygen", "sshd", "systemd-socket-activate")
        for key in ("hostkey", "key"):
            if not (self.home / key).exists():
                needs.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.home / key)])
        (self.home / "sshd.conf").write_text(SSHD.format(home=self.home), encoding="utf-8")
        settings = SSH.format(home=self.home, python=sys.executable, connect=CONNECT)
        (self.home / "ssh.conf").write_text(settings, encoding="utf-8")
        listen = ["systemd-socket-activate", "-l", f"{self.home}/sshd.socket", "--inetd", "--accept"]
        self._once("sshd", [*listen, "sshd", "-i", "-f", f"{self.home}/sshd.conf"], self.home / "sshd.socket")

    def containerd(self) -> None:
        """With a root filesystem at /run/rootfs, so that no image is wanted."""
        needs.require("containerd", "ctr", "runc", "ldd", "tar")
        (self.home / "containerd.toml").write_text(CONTAINERD, encoding="utf-8")
        root = f"/proc/{self.pid}/root/run/rootfs"
        with tempfile.TemporaryFile() as packed:
            pack(packed)
            packed.seek(0)
            Path(root).mkdir(exist_ok=True)
            needs.run(["tar", "-x", "-C", root], stdin=packed)
        self._once("containerd", ["containerd", "--config", f"{self.home}/containerd.toml"], CONTAINERD_SOCKET)

    def ssh(self, *words: str) -> list[str]:
        return ["ssh", "-F", f"{self.home}/ssh.conf", *words]

    def _once(self, name: str, words: list[str], sign: Path) -> None:
        """Start a daemon of the room, and wait until that file is there."""
        self._refuse(name)
        if name not in self._pidfds:
            self._daemon(name, [*self.enter, *words], Path(f"/proc/{self.pid}/root{sign}").exists)

    def _refuse(self, name: str) -> None:
        if name in self._failed:
            raise self._failed[name]

    def _daemon(self, name: str, words: list[str], ready: Callable[[], bool]) -> int:
        log = self.home / f"{name}.log"
        pid = start(self._journal, words, log=str(log))
        self._pidfds[name] = os.pidfd_open(pid)
        try:
            await_ready(pid, ready, log)
        except MissingFeature as error:  # the next launcher that asks for it need not wait again
            self._failed[name] = error
            raise
        return pid

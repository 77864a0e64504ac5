"""A labd for the length of a run, in the position of a real daemon: a child of init, without a loginuid.

If a labd listens already (a systemd unit, for example), that one is used. Otherwise `python -m scenarios.props.labd`
forks, so that init adopts the daemon, clears the loginuid that it inherited, and prints its pid. It executes the daemon
only when it is told that the pid has been journalled.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from lab.errors import CannotStart, DaemonUnreachable, MissingFeature
from lab.identity import UNSET, loginuid, set_loginuid
from lab.paths import SOCKET, STATE
from lab.pidfd import ended, start_time
from scenarios.safety.journal import Journal
from scenarios.safety.processes import end_process

SHUTDOWN_SECONDS = 1  # for the containers: a first process without a handler for SIGTERM would use up more, too
START_SECONDS, PING_SECONDS = 90, 5  # labd was seen to need more than 20 on an emulated processor


class Daemon:
    """The labd behind a socket; a context manager. pid is its process, started_here whether it ends with the run.

    If none listens there, one is started: with these further options, with the file log for its output, and with
    this loginuid: UNSET, or that of an administrator who starts it by hand. pid is 0 while the labd of a systemd unit
    is down: wait_ready() then says so to each story that needs it.
    """

    def __init__(
        self,
        journal: Journal,
        path: str = SOCKET,
        state: str = STATE,
        *options: str,
        log: str = os.devnull,
        loginuid: int = UNSET,
    ) -> None:
        self.path = path
        self.started_here = peer_pid(path) == 0
        self.renew()
        if self.started_here:
            labd = str(Path(sys.executable).parent / "labd")
            command = [labd, "--socket", path, "--state", state, "--shutdown-timeout", str(SHUTDOWN_SECONDS), *options]
            self.pid = start(journal, command, loginuid, log)
            self._pidfd = os.pidfd_open(self.pid)

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *error: object) -> None:
        if self.started_here:
            end_process(self._pidfd)
            os.close(self._pidfd)

    def wait_ready(self) -> None:
        """Return when labd answers. Raises DaemonUnreachable if it ends, was restarted, or does not answer.

        It gets START_SECONDS to come up, also if it is a unit that has just been restarted.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and not (self.started_here and ended(self._pidfd, 0)):
            if answers(self.path):
                self.pid = self.pid or listener(self.path)
                return self.check()
            time.sleep(0.01)
        raise DaemonUnreachable(f"labd (pid {self.pid or 'unknown'}) does not answer on {self.path}", self._remedy())

    def renew(self) -> None:
        """Take the labd that listens now for the one of this run, unless the lab started one."""
        if not self.started_here:
            self.pid = listener(self.path) or (answers(self.path) and listener(self.path)) or 0

    def check(self) -> None:
        """Raise DaemonUnreachable if the labd of this run has ended meanwhile."""
        gone = ended(self._pidfd, 0) if self.started_here else self.pid and listener(self.path) != self.pid
        if gone:
            raise DaemonUnreachable(f"labd, pid {self.pid}, has ended or was restarted meanwhile", self._remedy())

    def _remedy(self) -> str:
        return "run this again" if self.started_here else "sudo systemctl restart labd.service   (then run this again)"


def listener(path: str) -> int:
    """peer_pid(), if that process lives: a socket outlives the process that listened, where systemd keeps it; else 0.

    Pid 1 is no labd: systemd listens until the service has started.
    """
    pid = peer_pid(path)
    return pid if pid > 1 and start_time(pid) else 0


def answers(path: str) -> bool:
    """Whether a daemon answers GET /_ping there within PING_SECONDS."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PING_SECONDS)
        try:
            connection.connect(path)
            connection.sendall(b"GET /_ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return b" 200 " in connection.recv(64)
        except OSError:
            return False


def peer_pid(path: str) -> int:
    """The pid of the process that listens on a UNIX socket; 0 if none does. SO_PEERCRED, unix(7)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(path)
        except OSError:
            return 0
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", credentials)[0]
    return pid


def start(journal: Journal, argv: Sequence[str], loginuid: int = UNSET, log: str = os.devnull) -> int:
    """Start a daemon as a child of init; returns its pid. Raises MissingFeature if it cannot have that loginuid."""
    starter = subprocess.Popen(
        [sys.executable, "-m", "scenarios.props.labd", str(loginuid), log, *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent.parent.parent,
    )
    assert starter.stdin
    assert starter.stdout
    with starter.stdin, starter.stdout:
        answer = starter.stdout.readline()
        starter.wait()
        if answer == b"refused\n":
            raise MissingFeature(
                f"this login cannot give {Path(argv[0]).name} another loginuid: CAP_AUDIT_CONTROL is missing",
                f"start {Path(argv[0]).name} as a systemd unit",
            )
        if not answer:
            raise CannotStart(f"{argv[0]} was not started: its starter ended", "run this again")
        journal.note_process(int(answer))
        starter.stdin.write(b"go")
    return int(answer)


def main(uid: int, log: str, *argv: str) -> None:
    """The starter: prints the daemon's pid on standard output, waits for `go` on standard input."""
    os.setsid()
    try:
        if loginuid() != uid:
            set_loginuid(uid)
    except PermissionError:
        print("refused", flush=True)
        return
    if os.fork():
        os._exit(0)
    print(os.getpid(), flush=True)
    if sys.stdin.read() != "go":
        os._exit(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for fd in (1, 2):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), fd)
    os.execvp(argv[0], argv)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])

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

from lab.errors import DaemonUnreachable, MissingFeature
from lab.identity import UNSET, loginuid, set_loginuid
from lab.paths import SOCKET, STATE
from lab.pidfd import ended
from scenarios.safety.journal import Journal
from scenarios.safety.undo import end_process

START_SECONDS = 20


class Daemon:
    """The labd behind a socket; a context manager. pid is its process, started_here whether it ends with the run.

    If none listens there, one is started: with these further options, with the file log for its output, and with
    this loginuid: UNSET, or that of an administrator who starts it by hand.
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
        self.pid = _awake(path)
        self.started_here = self.pid == 0
        if self.started_here:
            labd = str(Path(sys.executable).parent / "labd")
            self.pid = start(journal, [labd, "--socket", path, "--state", state, *options], loginuid, log)
            self._pidfd = os.pidfd_open(self.pid)

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *error: object) -> None:
        if self.started_here:
            end_process(self._pidfd)
            os.close(self._pidfd)

    def wait_ready(self) -> None:
        """Return when labd takes connections. Raises DaemonUnreachable if labd ends or needs over START_SECONDS."""
        if not self.started_here:
            return
        for _ in range(START_SECONDS * 100):
            if peer_pid(self.path):
                return
            if ended(self._pidfd, 0.01):
                break
        raise DaemonUnreachable(
            f"labd did not come up on {self.path}", f"start it by hand and read its messages: labd --socket {self.path}"
        )


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


def _awake(path: str) -> int:
    """peer_pid() of the daemon: where a socket unit exists, systemd (pid 1) listens until the daemon has started."""
    for _ in range(START_SECONDS * 10):
        pid = peer_pid(path)
        if pid != 1:
            return pid
        time.sleep(0.1)
    raise DaemonUnreachable(
        f"systemd listens on {path}, but its service does not come up", "journalctl -u labd.service says why"
    )


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
        if not answer:
            raise MissingFeature(
                f"this login cannot give {Path(argv[0]).name} another loginuid: CAP_AUDIT_CONTROL is missing",
                f"start {Path(argv[0]).name} as a systemd unit",
            )
        journal.note_process(int(answer))
        starter.stdin.write(b"go")
    return int(answer)


def main(uid: int, log: str, *argv: str) -> None:
    """The starter: prints the daemon's pid on standard output, waits for `go` on standard input."""
    os.setsid()
    if loginuid() != uid:
        set_loginuid(uid)
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

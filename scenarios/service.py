"""A labd for the length of a run, standing where a real daemon stands: a child of init, with no loginuid.

If one is listening already (a systemd unit, say), that one is used. Otherwise: `python -m scenarios.service` forks
twice, so that init adopts the daemon, clears the loginuid it was started with, says its pid, and execs labd only when
told that the pid has been journalled.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

from lab.errors import DaemonUnreachable, MissingFeature
from lab.fork import ended
from lab.identity import UNSET, loginuid, set_loginuid
from lab.paths import SOCKET, STATE
from scenarios.journal import Journal, end_process

START_SECONDS = 20


class Daemon:
    """The labd behind a socket; a context manager. pid is its process, started_here whether it ends with the run."""

    def __init__(self, journal: Journal, path: str = SOCKET, state: str = STATE) -> None:
        self.path = path
        self.pid = peer_pid(path)
        self.started_here = self.pid == 0
        if self.started_here:
            self.pid = _start(journal, path, state)
            self._pidfd = os.pidfd_open(self.pid)

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *error: object) -> None:
        if self.started_here:
            end_process(self._pidfd)
            os.close(self._pidfd)

    def wait_ready(self) -> None:
        """Return when it takes connections. Raises DaemonUnreachable if it ends or takes too long."""
        if not self.started_here:
            return
        for _ in range(START_SECONDS * 100):
            if peer_pid(self.path):
                return
            if ended(self._pidfd, 0.01):
                break
        raise DaemonUnreachable(
            f"labd did not come up on {self.path}", f"start it by hand and read what it says: labd --socket {self.path}"
        )


def peer_pid(path: str) -> int:
    """The process that listens on a UNIX socket; 0 if nobody does. SO_PEERCRED, unix(7)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(path)
        except OSError:
            return 0
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", credentials)[0]
    return pid


def _start(journal: Journal, path: str, state: str) -> int:
    starter = subprocess.Popen(
        [sys.executable, "-m", "scenarios.service", path, state],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    assert starter.stdin
    assert starter.stdout
    with starter.stdin, starter.stdout:
        answer = starter.stdout.readline()
        starter.wait()
        if not answer:
            raise MissingFeature(
                "labd cannot be started without a loginuid from this login",
                "CAP_AUDIT_CONTROL is missing: start it as a systemd unit, see daemon/labd.service",
            )
        journal.note_process(int(answer))
        starter.stdin.write(b"go")
    return int(answer)


def main(path: str, state: str) -> None:
    """The starter: says the daemon's pid on standard output, waits for `go` on standard input."""
    os.setsid()
    if loginuid() != UNSET:
        set_loginuid(UNSET)
    if os.fork():
        os._exit(0)
    print(os.getpid(), flush=True)
    if sys.stdin.read() != "go":
        os._exit(1)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    labd = Path(sys.executable).parent / "labd"
    os.execv(labd, [str(labd), "--socket", path, "--state", state])


if __name__ == "__main__":
    main(*sys.argv[1:])

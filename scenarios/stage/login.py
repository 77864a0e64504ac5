"""The login session that the commands of a run start in: a throw-away child whose loginuid is the user's.

If the lab itself was started from that user's login, the child inherits the loginuid. If not (CI, a container, a
unit), the child does what pam_loginuid(8) does at login, and the stage says so. A whole run has one child, so that all
its commands share one session id, as they would in one shell.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Sequence
from typing import NoReturn

from lab.errors import LabError, from_bytes
from lab.identity import loginuid, open_session, sessionid
from lab.runtime import exit_code
from lab.syscalls import close_range, set_process_name

MESSAGE = 1 << 20


class Login:
    """The session; a context manager. loginuid and sessionid are as the kernel shows them for the child."""

    def __init__(self, uid: int) -> None:
        """Raises NotAllowed if the kernel refuses this uid."""
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            self._socket.close()
            _serve(uid, other)
        other.close()
        answer = self._socket.recv(MESSAGE)
        if answer != b"ready":
            os.waitpid(self.pid, 0)
            raise from_bytes(answer)
        self.loginuid, self.sessionid = loginuid(self.pid), sessionid(self.pid)

    def __enter__(self) -> Login:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()
        os.waitpid(self.pid, 0)

    def start(self, argv: Sequence[str], stdin: int, stdout: int, stderr: int) -> int:
        """Start a command in the session; its pid. One at a time: call wait() before the next."""
        socket.send_fds(self._socket, [json.dumps(list(argv)).encode()], [stdin, stdout, stderr])
        answer = json.loads(self._socket.recv(MESSAGE))
        if answer < 0:
            raise FileNotFoundError(-answer, os.strerror(-answer), argv[0])
        return int(answer)

    def wait(self) -> int:
        """The exit code of the command that was started."""
        return int(self._socket.recv(MESSAGE))


def _serve(uid: int, channel: socket.socket) -> NoReturn:
    """The child: open the session, then run one command after the other until the stage is gone."""
    try:
        os.setsid()
        set_process_name("login-session")
        # Close the stage's descriptors. Its lock above all must be free once the stage is killed.
        close_range(3, channel.fileno() - 1)
        close_range(channel.fileno() + 1, 2**32 - 1)
        open_session(uid)
    except LabError as error:
        channel.send(error.to_bytes())
        os._exit(1)
    channel.send(b"ready")
    while True:
        message, fds, _, _ = socket.recv_fds(channel, MESSAGE, 3)
        if not message:
            os._exit(0)
        _run(channel, json.loads(message), fds)


def _run(channel: socket.socket, argv: list[str], fds: list[int]) -> None:
    try:
        process = subprocess.Popen(argv, stdin=fds[0], stdout=fds[1], stderr=fds[2])
    except OSError as error:
        channel.send(str(-(error.errno or 1)).encode())
        return
    finally:
        for fd in fds:
            os.close(fd)
    channel.send(str(process.pid).encode())
    _, status = os.waitpid(process.pid, 0)
    process.returncode = 0  # reaped above, with the signal that Popen would fold into a negative number
    channel.send(str(exit_code(status)).encode())

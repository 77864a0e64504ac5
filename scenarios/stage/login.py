"""The login session that the commands of a run start in: a throw-away child whose loginuid is the user's.

If the lab itself was started from that user's login, the child inherits the loginuid. If not (CI, a container, a
unit), the child does what pam_loginuid(8) does at login, and the stage says so. A whole run has one child, so that all
its commands share one session id, as they would in one shell.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import NoReturn

from lab.errors import LabError, from_bytes
from lab.identity import UNSET, loginuid, open_session, sessionid
from lab.pidfd import ended
from lab.runtime import exit_code
from lab.syscalls import close_range, set_process_name
from scenarios.needs import CannotTell

MESSAGE = 1 << 20
SECONDS = 300  # for one command; a story's longest waits for systemd, which gives up a start after 60 s and more
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # scenarios.cli has handlers for them
GRACE = 5  # seconds between SIGTERM and SIGKILL


class Login:
    """The session; a context manager. loginuid and sessionid are as the kernel shows them for the child.

    seconds   after which a command is ended
    """

    def __init__(self, uid: int, *, anew: bool = False) -> None:
        """Raises NotAllowed if the kernel refuses this uid.

        anew: the session gets a new number even where this process belongs to a login of that user already.
        """
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._running = False
        self.seconds: float = SECONDS
        # Blocked until _serve() is ready for them: a KeyboardInterrupt in the child would unwind the parent's stack.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        self.pid = os.fork()
        if self.pid == 0:
            _serve(uid, other, before, anew=anew)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        other.close()
        answer = self._socket.recv(MESSAGE)
        if answer != b"ready":
            os.waitpid(self.pid, 0)
            raise from_bytes(answer) if answer else _gone()
        self.loginuid, self.sessionid = loginuid(self.pid), sessionid(self.pid)

    def __enter__(self) -> Login:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()
        os.waitpid(self.pid, 0)

    def start(self, argv: Sequence[str], stdin: int, stdout: int, stderr: int) -> int:
        """Start a command in the session, in a new process group; its pid.

        One at a time: the one before is awaited first. Raises OSError if the command cannot be started, CannotTell if
        the session has ended.
        """
        if self._running:
            self.wait()
        message = json.dumps([self.seconds, *argv]).encode()
        try:
            socket.send_fds(self._socket, [message], [stdin, stdout, stderr])
        except OSError:
            raise _gone() from None
        answer = self._answer()
        if answer < 0:
            raise OSError(-answer, os.strerror(-answer), argv[0])  # FileNotFoundError, PermissionError ...
        self._running = True
        return answer

    def wait(self) -> int | None:
        """The exit code of the command that was started; None if it had to be killed after `seconds`."""
        self._running = False
        code = self._answer()
        return None if code < 0 else code

    def _answer(self) -> int:
        try:
            answer = self._socket.recv(MESSAGE)
        except ConnectionError:  # it was killed before it had read what was sent
            answer = b""
        if not answer:
            raise _gone()
        return int(answer)


def _gone() -> CannotTell:
    return CannotTell("the login session of this run has ended: it was killed", "run this again")


def _serve(uid: int, channel: socket.socket, signals: Collection[int], *, anew: bool) -> NoReturn:
    """The child: open the session, then run one command after the other until the stage is gone.

    Whatever happens, the child ends here: what the stack above holds is the parent's to take back.
    """
    try:
        for number in ENDING:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
        _open(uid, channel, anew=anew)
        while True:
            message, fds, _, _ = socket.recv_fds(channel, MESSAGE, 3)
            if not message:
                os._exit(0)
            seconds, *argv = json.loads(message)
            _run(channel, argv, fds, seconds)
    except LabError as error:
        channel.send(error.to_bytes())
    finally:
        os._exit(1)


def _open(uid: int, channel: socket.socket, *, anew: bool) -> None:
    os.setsid()
    set_process_name("login-session")
    # Close the stage's descriptors. Its lock above all must be free once the stage is killed.
    close_range(3, channel.fileno() - 1)
    close_range(channel.fileno() + 1, 2**32 - 1)
    if anew and loginuid() != UNSET:
        open_session(UNSET)
    open_session(uid)
    channel.send(b"ready")


def _run(channel: socket.socket, argv: list[str], fds: list[int], seconds: float) -> None:
    """Answer with the pid, then with the exit code; negative are an errno, and -1 for a command that was killed."""
    try:
        # The group can be ended as a whole: sudo(8), for example, together with what it runs.
        process = subprocess.Popen(argv, stdin=fds[0], stdout=fds[1], stderr=fds[2], process_group=0)
    except OSError as error:
        channel.send(str(-(error.errno or 1)).encode())
        return
    finally:
        for fd in fds:
            os.close(fd)
    channel.send(str(process.pid).encode())
    in_time = _await(process.pid, seconds, channel)
    _, status = os.waitpid(process.pid, 0)
    process.returncode = 0  # reaped above, with the signal that Popen would fold into a negative number
    channel.send(str(exit_code(status) if in_time else -1).encode())


def _await(pid: int, seconds: float, channel: socket.socket) -> bool:
    """Whether the command ends in time, and before the stage is gone.

    If not, its process group is ended, whose number stays its own while the leader's zombie is there.
    """
    pidfd = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.register(channel, 0)  # POLLHUP alone
        if any(fd == pidfd for fd, _ in poll.poll(seconds * 1000)):
            return True
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(pid, number)
            if ended(pidfd, GRACE):
                break
        with suppress(ProcessLookupError):  # those of the group that outlived its leader
            os.killpg(pid, signal.SIGKILL)
        return False
    finally:
        os.close(pidfd)

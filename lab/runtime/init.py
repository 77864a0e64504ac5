"""`--init`: a pid 1 that forwards signals and reaps orphans, as docker-init and catatonit do."""

from __future__ import annotations

import os
import signal

FORWARDED = set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}


def supervise(tty: bool, status: int) -> None:
    """Fork; returns in the child, which goes on to be the command. The parent never returns."""
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED | {signal.SIGCHLD})
    command = os.fork()
    if command == 0:
        os.setpgid(0, 0)
        if tty:
            os.tcsetpgrp(0, os.getpid())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED | {signal.SIGCHLD})
        return
    os.close(status)
    while True:
        number = signal.sigwait(FORWARDED | {signal.SIGCHLD})
        if number == signal.SIGCHLD:
            _reap(command)
        else:
            os.kill(command, number)


def _reap(command: int) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid == command:
            os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))

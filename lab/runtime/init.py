"""The pid 1 of `--init`: it forwards signals and reaps orphans, as docker-init and catatonit do."""

from __future__ import annotations

import ctypes
import os
import signal

from lab import syscalls
from lab.runtime.begun import INIT_NAME

FORWARDED = set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}
# Fields of /proc/PID/stat, counted from the state: addresses of arguments and environment; proc_pid_stat(5).
ARG_START, ENV_END = 45, 48


def supervise(tty: bool, status: int) -> None:
    """Fork; returns in the child, which then becomes the command. The parent never returns.

    The caller has given the container's credentials to this process already.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED | {signal.SIGCHLD})
    if os.getpid() != 1:  # with --pid host: orphans would go to the host's init
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
    _hide_command_line()  # before the fork: the command may be the first of the two to run
    command = os.fork()
    if command == 0:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
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


def _hide_command_line() -> None:
    """Overwrite the engine's arguments and environment, which /proc/1 would show to the container."""
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b") ")[2].split()
    start, end = int(fields[ARG_START]), int(fields[ENV_END])
    if end - start > len(INIT_NAME):
        ctypes.memset(start, 0, end - start)
        ctypes.memmove(start, INIT_NAME, len(INIT_NAME))
    syscalls.set_process_name(INIT_NAME.decode())


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

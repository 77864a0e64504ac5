"""End everything that a login session of the lab has started, wherever it is in the tree of processes.

What a session forked keeps the session's number, /proc/PID/sessionid, also after init has adopted it: a container that
stays in the background is found by the number that the audit log knows it by.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab.identity import UNSET, ancestry, sessionid, status
from lab.pidfd import open_process, start_time

GRACE = 2.0  # seconds for what tidies up on SIGTERM
ROUND = 0.5  # and for a parent whose child was killed
ROUNDS = 20


def end_session(session: int, began: int) -> bool:
    """Ask each process of an audit session to end; then kill children before their parents, which may tidy up.

    began is the start time of the session's first process, lab.pidfd.start_time(). Returns whether there was any.
    Raises ValueError for the number of no session, which all processes have that no login started, for a session that
    this process belongs to, and for one with an older process: another's login; TimeoutError if a process cannot be
    ended.
    """
    if not 0 < session < UNSET or session in {process.sessionid for process in ancestry(os.getpid())}:
        raise ValueError(f"{session} cannot be a session that the lab opened")
    for number in range(ROUNDS + 1):
        members = _members(session)
        if not members:
            return number > 0
        if older := [member.pid for member in members if member.start_time < began]:
            raise ValueError(f"{session} is a session that the lab did not open: process {older[0]} is older")
        if number == 0:
            # An interactive shell ignores SIGTERM, and ends on SIGHUP.
            _send(members, (signal.SIGHUP, signal.SIGTERM), GRACE)
        else:
            parents = {member.parent for member in members}
            _send([member for member in members if member.pid not in parents], (signal.SIGKILL,), ROUND)
    raise TimeoutError(f"processes of session {session} do not end: {[member.pid for member in _members(session)]}")


@dataclass(frozen=True)
class _Member:
    """A process: its start time tells it apart from a later one with its pid."""

    pid: int
    parent: int
    start_time: int


def _members(session: int) -> list[_Member]:
    """The processes of the session, without zombies, and without this process."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        with suppress(FileNotFoundError, ProcessLookupError, LookupError):
            began = start_time(pid)
            if began and pid != os.getpid() and sessionid(pid) == session:
                found.append(_Member(pid, int(status(pid)["PPid"]), began))
    return found


def _send(members: Sequence[_Member], signals: Sequence[int], seconds: float) -> None:
    """Send the signals, and wait until all these processes have ended, at most that many seconds."""
    opened = (open_process(member.pid, member.start_time) for member in members)
    pidfds = [pidfd for pidfd in opened if pidfd >= 0]
    for pidfd in pidfds:
        for number in signals:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, number)
    deadline, waiting = time.monotonic() + seconds, set(pidfds)
    poll = select.poll()
    for pidfd in pidfds:
        poll.register(pidfd, select.POLLIN)
    while waiting and (left := deadline - time.monotonic()) > 0:
        for pidfd, _ in poll.poll(left * 1000):
            poll.unregister(pidfd)
            waiting.discard(pidfd)
    for pidfd in pidfds:
        os.close(pidfd)

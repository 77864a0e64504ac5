"""Restart policies, docker's --restart: when a container that has ended is started again; moby, restartmanager.

Nobody asks for such a start. So the container's loginuid is the daemon's, whoever has made the container, and long
after that user has logged out.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from daemon.models import Restart
from lab.errors import InvalidArgument
from lab.record import Record

POLICIES = ("no", "always", "on-failure", "unless-stopped")
FIRST, LONGEST = 0.1, 60.0  # seconds to wait; the wait doubles with each restart
STEADY = 10.0  # seconds: after a run that was longer, the wait begins anew


def check(policy: Restart, *, auto_remove: bool = False) -> None:
    """Raises InvalidArgument, in docker's words."""
    if policy.Name not in ("", *POLICIES):
        raise InvalidArgument(
            f"invalid restart policy: unknown policy {policy.Name[:40]!a}; use one of "
            "'no', 'always', 'on-failure', or 'unless-stopped'"
        )
    if policy.MaximumRetryCount and policy.Name != "on-failure":
        raise InvalidArgument(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'", "write on-failure:N"
        )
    if policy.MaximumRetryCount < 0:
        raise InvalidArgument("invalid restart policy: maximum retry count cannot be negative", "write on-failure:N")
    if auto_remove and policy.Name not in ("", "no"):
        raise InvalidArgument("can't create 'AutoRemove' container with restart policy", "leave --rm out, or --restart")


def comes_back(policy: Restart, code: int, *, restarts: int, stopped: bool) -> bool:
    """Whether a container that ended with this code, after so many restarts, is to be started again.

    stopped: a user has stopped or killed it, and not started it since.
    """
    if policy.Name == "on-failure":
        most = policy.MaximumRetryCount
        return code != 0 and not stopped and (most == 0 or restarts < most)
    return policy.Name == "always" or (policy.Name == "unless-stopped" and not stopped)


class Restartable(Protocol):
    """What a Comeback needs of a container."""

    record: Record

    @property
    def policy(self) -> Restart: ...

    @property
    def exit_code(self) -> int: ...

    @property
    def closing(self) -> bool:
        """Whether the daemon ends."""

    @property
    def changing(self) -> asyncio.Lock:
        """Held while the container starts, is paused or removed."""

    @property
    def starting(self) -> bool:
        """Whether a start is under way, whoever asked for it."""

    async def start_again(self) -> None: ...


class Comeback:
    """The next start of one container: the wait for it, and the start itself."""

    def __init__(self, container: Restartable) -> None:
        self.container = container
        self._wait = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def pending(self) -> bool:
        """From its end to its next beginning, without a gap: nobody may take it for one that has ended for good."""
        return self._task is not None

    def begin_anew(self) -> None:
        """A user starts it: the next wait is the first one again."""
        self._wait = 0.0

    def plan(self, *, daemon_began: bool = False) -> None:
        """Have the container started after a while, if its policy wants that: it has ended, or a daemon begins.

        One that a user has stopped waits for the next daemon, at least, also with `always`.
        """
        container, state = self.container, self.container.record.state
        restarts, stopped = state.get("restart_count", 0), state.get("stopped", False)
        if container.closing or container.starting or not state.get("started") or (stopped and not daemon_began):
            return
        if comes_back(container.policy, container.exit_code, restarts=restarts, stopped=stopped):
            if state.get("finished", 0) - state["started"] >= STEADY * 10**9:
                self._wait = 0.0
            self._wait = min(self._wait * 2 or FIRST, LONGEST)
            state["stopped"] = False
            self._task = asyncio.create_task(self._later(self._wait))

    def cancel(self) -> bool:
        """Whether there was a wait to cancel; a start that is under way goes on."""
        if self._task is None or self.container.starting:
            return False
        self._task.cancel()
        self._task = None
        return True

    async def _later(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        async with self.container.changing:
            try:
                await self.container.start_again()
            finally:
                self._task = None

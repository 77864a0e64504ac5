"""Health checks: a command that the daemon runs in a container again and again; moby, daemon/health.go.

No request and no user stands behind such a process. Its loginuid is the daemon's, also where the daemon stamps the
loginuid of whoever asks on what it starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from dataclasses import dataclass
from typing import Any, Protocol

from daemon.execs import Entered, Exec
from daemon.models import ExecCreate, HealthConfig
from lab.errors import Conflict, InvalidArgument, LabError
from lab.record import Record
from lab.shown import rfc3339

STARTING, HEALTHY, UNHEALTHY = "starting", "healthy", "unhealthy"
INTERVAL = TIMEOUT = 30.0  # seconds, docker's defaults
START_INTERVAL, RETRIES = 5.0, 3
LEAST = 10**6  # nanoseconds
FAILED = -1
OUTPUT_BYTES, RESULTS_KEPT = 4096, 5
KINDS = ("CMD", "CMD-SHELL", "NONE")
TIMES = ("Interval", "Timeout", "StartPeriod", "StartInterval")


def check(body: HealthConfig) -> None:
    """Raises InvalidArgument, in docker's words."""
    if body.Test and body.Test[0] not in KINDS:
        raise InvalidArgument(
            f"unknown type of health check: {body.Test[0][:40]!a}", f"docker knows {', '.join(KINDS)}"
        )
    if body.Test and body.Test[0] != "NONE" and (len(body.Test) < 2 or not body.Test[1]):
        raise InvalidArgument("the health check has no command", 'write ["CMD-SHELL", "COMMAND"]')
    for name in TIMES:
        if 0 != getattr(body, name) < LEAST:
            raise InvalidArgument(f"{name} in Healthcheck cannot be less than 1ms", "give it in nanoseconds")
    if body.Retries < 0:
        raise InvalidArgument("Retries in Healthcheck cannot be negative", "give a number from 0 on")


def command(body: HealthConfig) -> list[str]:
    """The words of the check; none if there is no check."""
    if not body.Test or body.Test[0] == "NONE":
        return []
    return ["/bin/sh", "-c", body.Test[1]] if body.Test[0] == "CMD-SHELL" else body.Test[1:]


@dataclass(frozen=True)
class Result:
    """One check: times in ns since 1970, what it printed, its exit code; FAILED if it took too long or never began."""

    began: int
    ended: int
    code: int
    output: str

    def to_dict(self) -> dict[str, Any]:
        """Docker's HealthcheckResult."""
        return {
            "Start": rfc3339(self.began), "End": rfc3339(self.ended), "ExitCode": self.code, "Output": self.output,
        }  # fmt: skip


class Capture:
    """The first bytes of what a check prints; a receiver of daemon.stdio."""

    def __init__(self) -> None:
        self.data = b""

    async def send(self, stream: int, data: bytes) -> None:
        """Keep what there is room for."""
        self.data += data[: OUTPUT_BYTES - len(self.data)]


class Watched(Entered, Protocol):
    """What a Monitor needs of a container."""

    record: Record
    body: dict[str, Any]
    paused: bool


class Monitor:
    """The health of one container: status is "" for one without a check."""

    def __init__(self, container: Watched) -> None:
        self.container = container
        self.body = HealthConfig.model_validate(container.body["Healthcheck"])
        self.command = command(self.body)
        self.status, self.streak = "", 0
        self.results: list[Result] = []
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """The container has begun to run."""
        if self.command:
            self.status, self.streak, self.results = STARTING, 0, []
            self._task = asyncio.create_task(self._go_on())

    def stop(self) -> None:
        """The container has ended; docker shows its last status on."""
        if self._task:
            self._task.cancel()
            self._task = None

    def to_dict(self) -> dict[str, Any]:
        """Docker's Health."""
        log = [result.to_dict() for result in self.results]
        return {"Status": self.status, "FailingStreak": self.streak, "Log": log}

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(self._interval())
            if not self.container.paused:
                with contextlib.suppress(Conflict):  # the container has just ended, or is being paused
                    self._take(await self._probe())

    def _interval(self) -> float:
        begins = self.status == STARTING and self.body.StartPeriod and self._age() < self.body.StartPeriod
        if begins:
            return self.body.StartInterval / 10**9 or START_INTERVAL
        return self.body.Interval / 10**9 or INTERVAL

    def _age(self) -> int:
        return time.time_ns() - int(self.container.record.state.get("started", 0))

    async def _probe(self) -> Result:
        """Run the command once; one that cannot be started has failed. Raises Conflict."""
        began, capture = time.time_ns(), Capture()
        try:
            probe = Exec(self.container, ExecCreate(Cmd=self.command, AttachStdout=True, AttachStderr=True))
            probe.run.output.receivers.add(capture)
            await probe.start(None)
        except Conflict:
            raise
        except LabError as error:
            return Result(began, time.time_ns(), FAILED, error.message)
        patience = self.body.Timeout / 10**9 or TIMEOUT
        in_time, _ = await asyncio.wait({probe.ended}, timeout=patience)
        if not in_time:
            if probe.run.process:
                probe.run.process.kill(signal.SIGKILL)
            await probe.ended
            return Result(began, time.time_ns(), FAILED, f"Health check exceeded timeout ({patience:g}s)")
        return Result(began, time.time_ns(), probe.exit_code or 0, capture.data.decode(errors="replace"))

    def _take(self, result: Result) -> None:
        before = self.status
        self.results = [*self.results, result][-RESULTS_KEPT:]
        if result.code == 0:
            self.status, self.streak = HEALTHY, 0
        elif self.status != STARTING or self._age() >= self.body.StartPeriod:
            self.streak += 1
            if self.streak >= (self.body.Retries or RETRIES):
                self.status = UNHEALTHY
        if self.status != before:
            self.container.event(f"health_status: {self.status}")

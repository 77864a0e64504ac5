"""One run of one process, a container's first or an exec's: its streams, its start and its end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Mapping

from daemon.spawning import RemoteProcess, SpawnerLink
from daemon.stdio import Input, Output, Stdio, resize
from lab.errors import CannotStart, Conflict
from lab.logs import LogWriter
from lab.runtime import NONE_JOINED
from lab.spec import Spec


class Run:
    """Made before the process, so that clients can attach first; used for one start only."""

    def __init__(self) -> None:
        self.output = Output()
        self.input: Input | None = None
        self.process: RemoteProcess | None = None
        self.oom_killed = False
        self.exit_code: int | None = None  # known before the output counts as finished
        self._begun = asyncio.Event()

    async def start(
        self, link: SpawnerLink, key: str, spec: Spec, *,
        stdin: bool, log: str = "", into: str = "", loginuid: int | None = None,
        joined: Mapping[str, int] = NONE_JOINED,
    ) -> RemoteProcess:  # fmt: skip
        """Spawn the process and connect its streams. Raises what lab.runtime.spawn() raises; the output then ends.

        log is the path of a file for the output; key, into, loginuid and joined are those of SpawnerLink.spawn().
        """
        try:
            stdio = Stdio(tty=spec.tty, stdin=stdin)
        except OSError as error:
            self.output.abandon()
            raise _not_prepared(error) from None
        try:
            if log:
                self.output.log = LogWriter(log)
            self.process = await link.spawn(key, spec, stdio.child, into=into, loginuid=loginuid, joined=joined)
        except BaseException as error:
            stdio.discard()
            self.output.never_began()
            if isinstance(error, OSError):
                raise _not_prepared(error) from None
            raise
        stdio.close_child()
        self.input = stdio.connect(self.process.console, self.output)
        self._begun.set()
        return self.process

    async def finish(self) -> int:
        """Wait for the process's end and, for a limited time, for its output; return the exit code."""
        assert self.process is not None
        code, self.oom_killed = await self.process.ended
        self.exit_code = code
        self.process.close()
        if self.input:
            self.input.close()
        self.output.process_ended()
        await self.output.drained()
        return code

    async def stdin(self) -> Input | None:
        """The process's standard input, once the process has started; None if it has none."""
        await self._begun.wait()
        return self.input

    def resize(self, height: int, width: int) -> None:
        """Set the terminal's size. Raises Conflict if the process has no terminal or has ended."""
        if self.input is None or self.input.fd < 0 or self.process is None or self.process.console < 0:
            raise Conflict("the process has no terminal, or has ended", "start the process with -t")
        with contextlib.suppress(OSError):  # the process has just ended
            resize(self.input.fd, height, width)


def _not_prepared(error: OSError) -> CannotStart:
    hint = "raise LimitNOFILE of labd's service" if error.errno in (errno.EMFILE, errno.ENFILE) else ""
    return CannotStart(f"the daemon cannot prepare the process: {error.strerror}", hint)

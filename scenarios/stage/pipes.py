"""The pipes of a command that is looked at while it runs: it prints a line, then waits for the end of its input."""

from __future__ import annotations

import os
import select
import time
from typing import Self


class Pipes:
    """A command's standard input and output; a context manager.

    child_input, child_output   the command's ends, to be passed on before first_line() closes them here
    seconds                     how long the output is waited for: a process that outlives the command may hold the pipe
    """

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds

    def __enter__(self) -> Self:
        self.child_input, self._input = os.pipe2(os.O_CLOEXEC)
        self._output, self.child_output = os.pipe2(os.O_CLOEXEC)
        self._open = {self.child_input, self._input, self._output, self.child_output}
        return self

    def __exit__(self, *error: object) -> None:
        for fd in tuple(self._open):
            self._close(fd)

    def first_line(self) -> str:
        """The first line of output; what there is of it if the command ends or takes too long."""
        self._close(self.child_input)
        self._close(self.child_output)
        self._read = b""
        while b"\n" not in self._read and self._more():
            pass
        line, newline, self._read = self._read.partition(b"\n")
        return (line + newline).decode(errors="replace")

    def rest(self) -> str:
        """End the command's input; the remaining output."""
        self._close(self._input)
        while self._more():
            pass
        return self._read.decode(errors="replace")

    def _more(self) -> bool:
        """Read what there is; False at the end of the output and at the deadline."""
        if not select.select([self._output], [], [], max(0, self._deadline - time.monotonic()))[0]:
            return False
        data = os.read(self._output, 1 << 16)
        self._read += data
        return bool(data)

    def _close(self, fd: int) -> None:
        if fd in self._open:
            self._open.remove(fd)
            os.close(fd)

"""The pipes of a command that is looked at while it runs: it prints a line, then waits for the end of its input."""

from __future__ import annotations

import os
from typing import Self


class Pipes:
    """A command's standard input and output; a context manager.

    child_input, child_output   the command's ends, to be passed on before first_line() closes them here
    """

    def __enter__(self) -> Self:
        self.child_input, self._input = os.pipe2(os.O_CLOEXEC)
        output, self.child_output = os.pipe2(os.O_CLOEXEC)
        self._open = {self.child_input, self._input, self.child_output}
        self._output = os.fdopen(output, encoding="utf-8", errors="replace")
        return self

    def __exit__(self, *error: object) -> None:
        """End the command's input whatever happened: the login that the command runs in waits for its end."""
        self._close(*self._open)
        self._output.close()

    def first_line(self) -> str:
        """The first line of output; "" if the command ends without one."""
        self._close(self.child_input, self.child_output)
        return self._output.readline()

    def rest(self) -> str:
        """End the command's input; the remaining output."""
        self._close(self._input)
        return self._output.read()

    def _close(self, *descriptors: int) -> None:
        for fd in descriptors:
            self._open.discard(fd)
            os.close(fd)

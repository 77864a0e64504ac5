"""The caller's own terminal, for both commands."""

from __future__ import annotations

import os
import termios
import tty


class RawTerminal:
    """Keeps the caller's terminal in raw mode during a `with`; termios(3). Does nothing if stdin is no terminal."""

    def __init__(self, wanted: bool) -> None:
        self.active = wanted and os.isatty(0)

    def __enter__(self) -> None:
        if self.active:
            self.before = termios.tcgetattr(0)
            tty.setraw(0, termios.TCSANOW)  # the default, TCSAFLUSH, drops keys that were typed ahead

    def __exit__(self, *error: object) -> None:
        if self.active:
            termios.tcsetattr(0, termios.TCSADRAIN, self.before)

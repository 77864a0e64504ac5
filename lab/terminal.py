"""The caller's own terminal, for both commands."""

from __future__ import annotations

import os
import termios
import tty


class RawTerminal:
    """The caller's terminal in raw mode for the length of a `with`, where it has one; termios(3)."""

    def __init__(self, wanted: bool) -> None:
        self.active = wanted and os.isatty(0)

    def __enter__(self) -> None:
        if self.active:
            self.before = termios.tcgetattr(0)
            tty.setraw(0, termios.TCSANOW)  # the default would throw typed-ahead keys away

    def __exit__(self, *error: object) -> None:
        if self.active:
            termios.tcsetattr(0, termios.TCSADRAIN, self.before)

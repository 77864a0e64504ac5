"""The audience in a terminal that scrolls: each beat is drawn as it comes; the default, also in a pipe and in CI."""

from __future__ import annotations

import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import TextIOWrapper
from typing import Literal

from rich.console import Console, Group, RenderableType
from rich.status import Status

from scenarios.audiences.drawing import draw
from scenarios.audiences.lines import Line
from scenarios.audiences.look import Detail, Look
from scenarios.performance import beats
from scenarios.performance.text import Translate, in_english

Pace = Literal["auto", "story", "step"]
WAITS = {"auto": (), "story": ("story", "summary"), "step": ("command", "step", "story", "summary")}
PROMPT = "Enter to go on"
ON, QUIT = (b"\n", b"\r", b" "), (b"q", b"\x04")


class Terminal:
    """Draws on standard output, or on standard error when standard output is for JSON.

    Colours are left out without color, and where NO_COLOR is set (no-color.org). An output whose encoding is not UTF-8
    gets English, marks and lines in ASCII, and \\uXXXX for what else it cannot hold.
    """

    def __init__(
        self,
        *,
        json: bool = False,
        color: bool = True,
        pace: Pace = "auto",
        plain: bool = False,
        detail: Detail = "short",
        translate: Translate = in_english,
    ) -> None:
        # None: rich then looks at NO_COLOR; False would override it.
        self.console = Console(stderr=json, no_color=None if color else True, highlight=False, soft_wrap=False)
        self.pace: Pace = pace
        ascii_only = self.console.options.ascii_only
        self.look = Look(self.console.width, plain or ascii_only, detail, in_english if ascii_only else translate)
        if ascii_only and isinstance(self.console.file, TextIOWrapper):
            self.console.file.reconfigure(errors="backslashreplace")
        self._busy: Status | None = None
        self._new_step, self._led, self._over = False, False, False
        self._commands: list[beats.Command] = []  # of this step, which brief shows only beside what did not hold

    def take(self, moment: beats.Moment) -> None:
        """Draw a beat; wait at a stop, if this run pauses there. Raises KeyboardInterrupt if the user quits there."""
        beat = moment.beat
        if self._busy:
            self._busy.stop()
            self._busy = None
        if isinstance(beat, beats.Opening):
            beat.introduce()
        if isinstance(beat, beats.Busy):
            self._busy = self.console.status(Line(self.look.words(beat.text)), spinner="line")
            self._busy.start()
        elif isinstance(beat, beats.Stop):
            self._new_step = self._new_step or beat.before != "command"
            if beat.before in WAITS[self.pace]:
                self._wait()
        elif (drawn := self._drawn(beat)) is not None:
            if self._new_step or isinstance(beat, beats.Heading):
                self._begin_step()
            # A command may be longer than the line, and is to be pasted. print() joins lines, and a Line would be none.
            self.console.print(Group(drawn), soft_wrap=isinstance(beat, beats.Command))

    def _drawn(self, beat: beats.Beat) -> RenderableType | None:
        """In brief, a step has one line that leads into it, and its commands only where a verdict did not hold."""
        if self.look.detail != "brief":
            return draw(beat, self.look)
        self._over = self._over or isinstance(beat, beats.Summary)
        if self._over and isinstance(beat, beats.Say):  # about the whole run, and not to be cut
            return draw(beat, replace(self.look, detail="short"))
        if self._new_step:
            self._led, self._commands = False, []
        if isinstance(beat, beats.Command):
            self._commands.append(beat)
        if isinstance(beat, (beats.Say, beats.Predict)):
            if self._led:
                return None
            self._led = True
        drawn = draw(beat, self.look)
        if drawn is None or not isinstance(beat, beats.Verdict) or beat.verdict == beats.HELD:
            return drawn
        whole = replace(self.look, detail="short")  # to be pasted
        commands, self._commands = self._commands, []
        return Group(*(draw(command, whole) or "" for command in commands), drawn)

    def _begin_step(self) -> None:
        if self.look.detail != "brief":
            self.console.print()
        self._new_step = False

    def say(self, text: str) -> None:
        """A line that is not part of the performance; it may hold an address or a path to copy, and is not cut."""
        self.console.print(Line(text), soft_wrap=True)

    def _wait(self) -> None:
        """Show the prompt until Enter or Space; other keys do nothing. q and Ctrl-D end the run."""
        with _keys() as read:  # it forgets what was typed before the prompt
            self.console.print(f"[dim]  {self.look.words(PROMPT)}[/dim]", end="")
            while (key := read()) not in ON:
                if key in QUIT or not key:
                    raise KeyboardInterrupt
        self.console.print("\r\x1b[K" if self.console.is_terminal else "\n", end="")


@contextmanager
def _keys() -> Iterator[Callable[[], bytes]]:
    """A function that waits for one key on standard input, and does not echo it; b"" at the end of input."""
    fd = sys.stdin.fileno()
    if not os.isatty(fd):
        yield lambda: os.read(fd, 1)
        return
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield lambda: os.read(fd, 1)
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)

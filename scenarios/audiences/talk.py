"""The speaker's screen, in Textual: a step at a time, back and forth, while the stage plays in another process."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar

from textual.app import App
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.events import Key
from textual.screen import Screen

from lab.errors import CannotStart, LabError
from scenarios.audiences import talk_keys
from scenarios.audiences.talk_desk import Desk
from scenarios.audiences.talk_dialogs import GoTo, Help
from scenarios.audiences.talk_link import Link
from scenarios.audiences.talk_notes import Board, notes_of
from scenarios.audiences.talk_reel import Shipped
from scenarios.audiences.talk_shell import relay
from scenarios.audiences.talk_stand import CLOCKS, Stand
from scenarios.languages.choice import ENGLISH, Language

TICK = 0.25  # seconds
LOST = 10.0  # seconds after which a screen whose terminal is lost ends, come what may
SHELL = "A shell in the session of this talk's login. `exit` returns to the talk."


class Speaking(Stand):
    """The screen with its keys, beside a stage that it listens to."""

    BINDINGS: ClassVar[list[BindingType]] = [
        (keys, f"app.{action}" if action == "suspend_process" else action) for keys, action in talk_keys.BINDINGS
    ]

    async def on_mount(self) -> None:
        with suppress(OSError):  # without the board, the talk goes on
            await self.board.open()
        self.desk.start()
        self.run_worker(self._listen())
        self.set_interval(TICK, self._tick)

    async def _listen(self) -> None:
        while await self.desk.hear():
            if not self.leaving:
                self.draw(follow=not self.desk.behind)
        if self.leaving or not self.desk.began:
            self.app.exit(self.desk.exit_code)
        else:
            self.draw()

    def _tick(self) -> None:
        self.ticks += 1
        if self.is_current and (self.desk.working or self.leaving or self.ticks % 4 == 0):
            self.draw_frame()

    def action_on(self) -> None:
        """The rest of a long step, or what was seen after this, or the stage goes on."""
        self._stay()
        if self.over <= 0 or not self._scrolled(1):
            self.desk.on()
            self.draw(follow=not self.desk.behind)

    def action_back(self) -> None:
        self.desk.back()
        self.draw()

    def action_again(self) -> None:
        self._go(self.desk.index)

    def action_next(self) -> None:
        self._go(self.desk.index + 1)

    def action_go_to(self) -> None:
        self._stay()
        titles = [*self.desk.names, self.look.words("the summary")]
        self.app.push_screen(GoTo(titles, self.desk.index, self.look), self._go)

    def _go(self, index: int | None) -> None:
        if index is not None and not self.leaving:
            ended = self.desk.ended
            self.desk.go(index)
            if ended:
                self.run_worker(self._listen())
        self.draw()

    def action_whole(self) -> None:
        self._stay()
        self.detail = "short" if self.detail == "full" else "full"
        self.draw()

    def action_card(self) -> None:
        self.desk.show_card()
        self.draw()

    def action_recorded(self) -> None:
        self.desk.play_recording()
        self.draw()

    def action_clock(self) -> None:
        self._stay()
        self.clock = CLOCKS[(CLOCKS.index(self.clock) + 1) % len(CLOCKS)]
        self.draw_frame()

    def action_language(self) -> None:
        self._stay()
        place = self.languages.index(self.language)
        self.language = self.languages[(place + 1) % len(self.languages)]
        self.draw()

    def action_notes(self) -> None:
        self._stay()
        self.notes = not self.notes
        self.draw()

    def action_help(self) -> None:
        self._stay()
        self.app.push_screen(Help(self.look))

    def action_up(self) -> None:
        self._scrolled(-1)

    def action_down(self) -> None:
        self._scrolled(1)

    def _scrolled(self, pages: int) -> bool:
        """Scroll by most of a screen; whether there was anything to scroll."""
        scroll = self.query_one("#scroll", VerticalScroll)
        before = scroll.scroll_y
        scroll.scroll_relative(y=pages * max(1, scroll.size.height - 2), animate=False)
        wanted = min(max(before + pages, 0), max(0, self.over))
        self.call_after_refresh(self.draw_frame)
        return wanted != before

    def action_shell(self) -> None:
        """Only while the stage waits: its own commands and the shell's would get in each other's way."""
        self._stay()
        if not self.desk.may_open_shell:
            return
        got = 0
        with self.app.suspend():
            got = relay(self.desk.open_shell, self.desk.view.command, self.look.words(SHELL))
        if got:
            os.kill(os.getpid(), got)
        self.draw()

    def _stay(self) -> None:
        self.desk.asks_to_quit = False

    def action_leave(self) -> None:
        """Ask; the second time quit; the third time do not even wait."""
        if self.leaving:
            self.app.exit(self.desk.exit_code)
        elif self.desk.asks_to_quit or self.desk.ended:
            self._quit()
        else:
            self.desk.asks_to_quit = True
            self.draw_frame()

    def _quit(self) -> None:
        if self.desk.ended:
            self.app.exit(self.desk.exit_code)
            return
        self.leaving = True
        self.desk.quit()
        self.draw_frame()

    def on_key(self, event: Key) -> None:
        """Any key but those of `leave` answers the question whether to quit."""
        if self.desk.asks_to_quit and event.key not in talk_keys.LEAVE.split(","):
            self._stay()
            self.draw_frame()


class Talk(App[int]):
    """The application; run() returns the exit status of the talk."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { background: ansi_default; color: ansi_default; }
    Static { width: 1fr; height: auto; background: ansi_default; color: ansi_default; }
    #scroll { height: 1fr; scrollbar-size: 0 0; padding: 0 1; background: ansi_default; }
    #notes, #trouble { padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(
        self,
        link: Link,
        names: Sequence[str],
        *,
        minutes: float = 0,
        shipped: Shipped | None = None,
        board: Board | None = None,
        languages: Sequence[Language] = (ENGLISH,),
    ) -> None:
        super().__init__(ansi_color=True)
        self.link = link
        self.stand = Speaking(Desk(link, names, shipped or Shipped(), notes_of), board or Board(), minutes, languages)

    def get_default_screen(self) -> Screen[None]:
        return self.stand

    def on_mount(self) -> None:
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._end, number)

    async def action_quit(self) -> None:
        self.stand.action_leave()

    def action_help_quit(self) -> None:
        self.stand.action_leave()

    def action_suspend_process(self) -> None:
        """The whole job stops: Textual would stop this process alone, and a make or sudo above it would wait on."""
        with self.suspend():
            os.killpg(0, signal.SIGTSTP)

    def _end(self, number: int) -> None:
        """The terminal is lost, or somebody ends this process: what the run changed is taken back first."""
        self.link.interrupt()
        hurry = threading.Timer(LOST, os._exit, [128 + number])  # drawing on a lost terminal may block for ever
        hurry.daemon = True
        hurry.start()
        self.exit(128 + number)


def talk(link: Link, names: Sequence[str], minutes: float, languages: Sequence[Language]) -> int:
    """Run the talk on this terminal. Returns its exit status; raises LabError if the stage has failed."""
    for name in ("COLUMNS", "LINES"):  # Textual would believe them, and not the terminal: no new size would be seen
        os.environ.pop(name, None)
    app = Talk(link, names, minutes=minutes, languages=languages)
    try:
        code = app.run(mouse=False)
    finally:
        written = link.close()
    failure: LabError | None = app.stand.desk.failure
    if failure:
        raise failure
    if code is None:
        raise CannotStart(
            f"the screen of the talk has ended: {written or 'see above'}",
            "what it changed was taken back; start it again",
        )
    return code

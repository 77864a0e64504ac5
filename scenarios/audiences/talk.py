"""The speaker's screen, in Textual: a step at a time, back and forth, while the stage plays in another process."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import ClassVar

from rich.console import RenderableType
from rich.text import Text as Line
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.events import Key
from textual.screen import Screen
from textual.widgets import Static

from lab.errors import CannotStart, LabError
from scenarios.audiences import talk_keys, talk_screen
from scenarios.audiences.drawing import Detail, Look
from scenarios.audiences.talk_desk import Desk
from scenarios.audiences.talk_dialogs import GoTo, Help
from scenarios.audiences.talk_link import Link
from scenarios.audiences.talk_notes import Board, leads_in, notes_of
from scenarios.audiences.talk_reel import Shipped
from scenarios.audiences.talk_shell import relay
from scenarios.performance.text import Text, Translate, in_english

TICK = 0.25  # seconds
SPINNER = "|/-\\"
LOST = 10.0  # seconds after which a screen whose terminal is lost ends, come what may
CLOCKS = ("elapsed", "pace", "none")
SHELL = "A shell in the session of this talk's login. `exit` returns to the talk."
LANGUAGES: Mapping[str, Translate] = {"English": in_english}


class Stand(Screen[None]):
    """Title, rule, step, notes, what went wrong, rule, keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        (keys, f"app.{action}" if action == "suspend_process" else action) for keys, action in talk_keys.BINDINGS
    ]
    ALLOW_SELECT = False

    def __init__(self, desk: Desk, board: Board, minutes: float, languages: Mapping[str, Translate]) -> None:
        super().__init__()
        self.desk, self._board, self._planned = desk, board, minutes * 60
        self._languages, self._language = languages, next(iter(languages))
        self._detail: Detail = "short"
        self._clock, self._notes, self._leaving = CLOCKS[1 if minutes else 0], False, False
        self._ticks = self._over = 0

    def compose(self) -> ComposeResult:
        yield Static(id="title")
        yield Static(id="upper")
        with VerticalScroll(id="scroll", can_focus=False):
            yield Static(id="step")
        yield Static(id="notes")
        yield Static(id="trouble")
        yield Static(id="lower")
        yield Static(id="bar")

    async def on_mount(self) -> None:
        with suppress(OSError):  # without the board, the talk goes on
            await self._board.open()
        self.desk.start()
        self.run_worker(self._listen())
        self.set_interval(TICK, self._tick)

    async def _listen(self) -> None:
        while await self.desk.hear():
            if not self._leaving:
                self.draw(follow=True)
        if self._leaving or not self.desk.began:
            self.app.exit(self.desk.exit_code)
        else:
            self.draw()

    def on_resize(self) -> None:
        self.draw()

    def on_unmount(self) -> None:
        self._board.close()

    # -- what is shown

    @property
    def look(self) -> Look:
        return Look(max(20, self.app.size.width - 2), detail=self._detail, translate=self._languages[self._language])

    def draw(self, *, follow: bool = False) -> None:
        """All of it, for the terminal's size; follow: from the end of a step that is too long."""
        look, view = self.look, self.desk.view
        trouble, notes = self._trouble(look), self._note()
        extra = sum(talk_screen.lines(part, look.width) for part in (trouble, notes) if part)
        height = max(1, self.app.size.height - 4 - extra)
        drawn = talk_screen.fitting(view, look, height)
        self._show("#step", drawn)
        self._show("#trouble", trouble)
        self._show("#notes", notes)
        self._over = talk_screen.lines(drawn, look.width) - height
        scroll = self.query_one("#scroll", VerticalScroll)
        if follow and view.asked:
            scroll.scroll_end(animate=False)
        else:
            scroll.scroll_home(animate=False)
        self._draw_frame()

    def _draw_frame(self) -> None:
        look = self.look
        wide = Look(self.app.size.width, translate=look.translate)
        self._show("#title", talk_screen.title(self.desk.view, wide, self.desk.place(look), self._told_clock(look)))
        self._show("#upper", Line("─" * wide.width, style="cyan"))
        self._show("#lower", self._lower(wide))
        self._show("#bar", self._bar(wide))
        self._board.pin(self._pinned(look))

    def _show(self, name: str, what: RenderableType | None) -> None:
        part = self.query_one(name, Static)
        part.display = what is not None
        part.update(what or "")

    def _lower(self, look: Look) -> Line:
        """The rule, with what the eye must not miss: that this is the past, or a recording, or that more is below."""
        said = look.words(self.desk.label)
        scroll = self.query_one("#scroll", VerticalScroll)
        if below := max(0, self._over - int(scroll.scroll_y)):
            said = f"{said}  " if said else ""
            said += f"↓ {below}"
        if not said:
            return Line("─" * look.width, style="cyan")
        return Line.assemble(("── ", "cyan"), (f" {said} ", "reverse"), (" " + "─" * look.width, "cyan"))[: look.width]

    def _bar(self, look: Look) -> Line:
        if self._leaving:
            return self._spin(look.words("taking everything back; Ctrl-C again does not wait"))
        if self.desk.asks_to_quit:
            said = "Quit, and restore everything?  Q yes   any other key no"
            return Line(f" {look.words(said)}", style="bold")
        if self.desk.working:
            return self._spin(look.words(self.desk.busy))
        view, ended = self.desk.view, self.desk.ended
        if self.desk.is_over:
            return talk_keys.bar([("Q", "quit"), ("←", "back"), ("G", "go to"), ("R", "again")], look)
        if ended:
            return talk_keys.bar([("R", "again, on a new stage"), ("Q", "quit"), ("←", "back")], look)
        shown = talk_keys.entries(
            pending=view.pending,
            behind=self.desk.behind,
            trouble=view.trouble is not None and not self.desk.plays_recording,
            ends=self.desk.is_last_step,
            languages=len(self._languages),
        )
        return talk_keys.bar([*shown], look)

    def _spin(self, said: str) -> Line:
        return Line.assemble((f" {SPINNER[self._ticks % len(SPINNER)]} ", "bold"), said)

    def _trouble(self, look: Look) -> Line | None:
        if self.desk.failure:
            told = look.words("The stage has ended:")
            return Line(f" ✘ {told} {self.desk.failure.message}", style="bold red")
        verdict = self.desk.view.trouble
        if not verdict or self.desk.working or self.desk.plays_recording:
            return None
        return talk_screen.trouble(verdict, look)

    def _note(self) -> Line | None:
        if not self._notes:
            return None
        return Line(self.desk.note or self.look.words("No notes for this step."), style="italic")

    def _told_clock(self, look: Look) -> str:
        if self._clock == "none":
            return ""
        planned = self._planned if self._clock == "pace" else 0
        told = talk_screen.pace(self.desk.elapsed, planned, self.desk.done, look)
        if self._clock == "pace" and not planned:
            here = talk_screen.minutes(self.desk.elapsed_here)
            return look.words(Text("{time}, {story} in this story", {"time": told, "story": here}))
        return told

    def _pinned(self, look: Look) -> dict[str, str]:
        view, coming = self.desk.view, self.desk.coming
        return {
            "title": look.words(view.story.title) if view.story else "",
            "place": self.desk.place(look),
            "clock": talk_screen.pace(self.desk.elapsed, self._planned, self.desk.done, look),
            "notes": self.desk.note,
            "state": look.words("A command waits to be run.") if view.pending and not self.desk.working else "",
            "next": "\n".join(leads_in(coming, look.translate)) if coming else "",
        }

    def _tick(self) -> None:
        self._ticks += 1
        if self.is_current and (self.desk.working or self._leaving or self._ticks % 4 == 0):
            self._draw_frame()

    # -- what the keys do

    def action_on(self) -> None:
        """The rest of a long step, or what was seen after this, or the stage goes on."""
        self._stay()
        if self._over <= 0 or not self._scrolled(1):
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
        self.app.push_screen(GoTo(titles, self.desk.index), self._go)

    def _go(self, index: int | None) -> None:
        if index is not None and not self._leaving:
            ended = self.desk.ended
            self.desk.go(index)
            if ended:
                self.run_worker(self._listen())
        self.draw()

    def action_whole(self) -> None:
        self._stay()
        self._detail = "short" if self._detail == "full" else "full"
        self.draw()

    def action_card(self) -> None:
        self.desk.show_card()
        self.draw()

    def action_recorded(self) -> None:
        self.desk.play_recording()
        self.draw()

    def action_clock(self) -> None:
        self._stay()
        self._clock = CLOCKS[(CLOCKS.index(self._clock) + 1) % len(CLOCKS)]
        self._draw_frame()

    def action_language(self) -> None:
        self._stay()
        names = list(self._languages)
        self._language = names[(names.index(self._language) + 1) % len(names)]
        self.draw()

    def action_notes(self) -> None:
        self._stay()
        self._notes = not self._notes
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
        wanted = min(max(before + pages, 0), max(0, self._over))
        self.call_after_refresh(self._draw_frame)
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
        if self._leaving:
            self.app.exit(self.desk.exit_code)
        elif self.desk.asks_to_quit or self.desk.ended:
            self._quit()
        else:
            self.desk.asks_to_quit = True
            self._draw_frame()

    def _quit(self) -> None:
        if self.desk.ended:
            self.app.exit(self.desk.exit_code)
            return
        self._leaving = True
        self.desk.quit()
        self._draw_frame()

    def on_key(self, event: Key) -> None:
        """Any key but those of `leave` answers the question whether to quit."""
        if self.desk.asks_to_quit and event.key not in talk_keys.LEAVE.split(","):
            self._stay()
            self._draw_frame()


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
        languages: Mapping[str, Translate] = LANGUAGES,
    ) -> None:
        super().__init__(ansi_color=True)
        self.link = link
        self.stand = Stand(Desk(link, names, shipped or Shipped(), notes_of), board or Board(), minutes, languages)

    def get_default_screen(self) -> Screen[None]:
        return self.stand

    def on_mount(self) -> None:
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._end, number)

    async def action_quit(self) -> None:
        self.stand.action_leave()

    def action_help_quit(self) -> None:
        self.stand.action_leave()

    def _end(self, number: int) -> None:
        """The terminal is lost, or somebody ends this process: what the run changed is taken back first."""
        self.link.interrupt()
        hurry = threading.Timer(LOST, os._exit, [128 + number])  # drawing on a lost terminal may block for ever
        hurry.daemon = True
        hurry.start()
        self.exit(128 + number)


def talk(link: Link, names: Sequence[str], minutes: float = 0) -> int:
    """Run the talk on this terminal. Returns its exit status; raises LabError if the stage has failed."""
    app = Talk(link, names, minutes=minutes)
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

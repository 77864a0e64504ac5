"""How the speaker's screen is laid out and drawn, in Textual: title, rule, step, notes, what went wrong, rule, keys."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from scenarios.audiences import talk_keys, talk_screen
from scenarios.audiences.lines import Line
from scenarios.audiences.look import Detail, Look
from scenarios.audiences.talk_desk import Desk
from scenarios.audiences.talk_notes import Board
from scenarios.languages.choice import Language
from scenarios.performance.text import Text, message

SPINNER = "|/-\\"
CLOCKS = ("elapsed", "pace", "none")
QUIT, BACK, AGAIN = ("Q", message("quit")), ("←", message("back")), ("R", message("again"))


class Stand(Screen[None]):
    """Title, rule, step, notes, what went wrong, rule, keys."""

    ALLOW_SELECT = False

    def __init__(self, desk: Desk, board: Board, minutes: float, languages: Sequence[Language]) -> None:
        super().__init__()
        self.desk, self.board, self._planned = desk, board, minutes * 60
        self.languages, self.language = languages, languages[0]
        self.detail: Detail = "short"
        self.clock, self.notes, self.leaving = CLOCKS[1 if minutes else 0], False, False
        self.ticks = self.over = 0
        self.folds = False  # whether Tab shows anything else

    def compose(self) -> ComposeResult:
        yield Static(id="title")
        yield Static(id="upper")
        with VerticalScroll(id="scroll", can_focus=False):
            yield Static(id="step")
        yield Static(id="notes")
        yield Static(id="trouble")
        yield Static(id="lower")
        yield Static(id="bar")

    def on_resize(self) -> None:
        self.draw()

    def on_unmount(self) -> None:
        self.board.close()

    @property
    def look(self) -> Look:
        return Look(max(20, self.app.size.width - 2), detail=self.detail, translate=self.language.translate)

    def draw(self, *, follow: bool = False) -> None:
        """All of it, for the terminal's size; follow: from the end of a step that is too long."""
        look, view = self.look, self.desk.view
        trouble, notes = self._trouble(look), self._note()
        extra = sum(talk_screen.lines(part, look.width) for part in (trouble, notes) if part)
        height = max(1, self.app.size.height - 4 - extra)
        drawn = talk_screen.fitting(view, look, height)
        self.folds = talk_screen.folds(view, look, height)
        self._show("#step", drawn)
        self._show("#trouble", trouble)
        self._show("#notes", notes)
        self.over = talk_screen.lines(drawn, look.width) - height
        scroll = self.query_one("#scroll", VerticalScroll)
        if follow and view.asked:
            scroll.scroll_end(animate=False)
        else:
            scroll.scroll_home(animate=False)
        self.draw_frame()

    def draw_frame(self) -> None:
        look = self.look
        wide = Look(self.app.size.width, translate=look.translate)
        self._show("#title", talk_screen.title(self.desk.view, wide, self.desk.place(look), self._told_clock(look)))
        self._show("#upper", Line("─" * wide.width, style="cyan"))
        self._show("#lower", self._lower(wide))
        self._show("#bar", self._bar(wide))
        self.board.pin(self._pinned(look))

    def _show(self, name: str, what: RenderableType | None) -> None:
        part = self.query_one(name, Static)
        part.display = what is not None
        part.update(Group(what) if what else "")  # a Text alone would be wrapped by Textual, in its own way

    def _lower(self, look: Look) -> Line:
        """The rule, with what the eye must not miss: that this is the past, or a recording, or that more is below."""
        said = look.words(self.desk.label)
        scroll = self.query_one("#scroll", VerticalScroll)
        if below := max(0, self.over - int(scroll.scroll_y)):
            said = f"{said}  " if said else ""
            said += f"↓ {below}"
        if not said:
            return Line("─" * look.width, style="cyan")
        line = Line.assemble(("── ", "cyan"), (f" {said} ", "reverse"), (" " + "─" * look.width, "cyan"))
        line.truncate(look.width, overflow="crop")
        return line

    def _bar(self, look: Look) -> Line:
        if self.leaving:
            return self._spin(look.words("taking everything back; Ctrl-C again does not wait"))
        if self.desk.asks_to_quit:
            said = "Quit, and restore everything?  Q yes   any other key no"
            return Line(f" {look.words(said)}", style="bold")
        if self.desk.working:
            return self._spin(look.words(self.desk.busy))
        view, ended = self.desk.view, self.desk.ended
        if self.desk.is_over:
            return talk_keys.bar([QUIT, BACK, ("G", message("go to")), AGAIN], look)
        if ended:
            return talk_keys.bar([("R", message("again, on a new stage")), QUIT, BACK], look)
        shown = talk_keys.entries(
            pending=view.pending,
            behind=self.desk.behind,
            trouble=view.trouble is not None and not self.desk.plays_recording,
            recorded=bool(self.desk.recorded),
            ends=self.desk.is_last_step,
            languages=len(self.languages),
            tab=self._tab(pending=view.pending) if self.folds else "",
        )
        return talk_keys.bar([*shown], look)

    def _tab(self, *, pending: bool) -> str:
        whole = message("whole command" if pending else "whole records")
        return message("short") if self.detail == "full" else whole

    def _spin(self, said: str) -> Line:
        return Line.assemble((f" {SPINNER[self.ticks % len(SPINNER)]} ", "bold"), said)

    def _trouble(self, look: Look) -> Line | None:
        if self.desk.failure:
            told = look.words("The stage has ended:")
            return Line(f" ✘ {told} {look.words(self.desk.failure.message)}", style="bold red")
        verdict = self.desk.view.trouble
        if not verdict or self.desk.working or self.desk.plays_recording:
            return None
        return talk_screen.trouble(verdict, look)

    def _note(self) -> Line | None:
        note = self.desk.note(self.language.code)
        invited = self.desk.invitation and note == self.desk.invitation
        if not (self.notes or invited):
            return None
        return Line(note or self.look.words("No notes for this step."), style="italic")

    def _told_clock(self, look: Look) -> str:
        if self.clock == "none":
            return ""
        planned = self._planned if self.clock == "pace" else 0
        told = talk_screen.pace(self.desk.elapsed, planned, self.desk.done, look)
        if self.clock == "pace" and not planned:
            here = talk_screen.minutes(self.desk.elapsed_here)
            return look.words(Text("{time}, {story} in this story", {"time": told, "story": here}))
        return told

    def _pinned(self, look: Look) -> dict[str, str]:
        view = self.desk.view
        return {
            "title": look.words(view.story.title) if view.story else "",
            "place": self.desk.place(look),
            "clock": talk_screen.pace(self.desk.elapsed, self._planned, self.desk.done, look),
            "notes": self.desk.note(self.language.code),
            "state": look.words("A command waits to be run.") if view.pending and not self.desk.working else "",
            "next": self.desk.lead(look.translate),
        }

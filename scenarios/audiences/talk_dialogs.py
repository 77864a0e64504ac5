"""What opens over the speaker's screen: the keys, and the stories to go to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.events import Key
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from scenarios.audiences.look import Look
from scenarios.audiences.talk_keys import help_table

FRAME = """
{name} {{ align: center middle; background: ansi_default; }}
{name} > * {{
    width: auto; max-width: 100%; height: auto; max-height: 100%; border: round ansi_cyan; padding: 0 1;
    background: ansi_default; color: ansi_default;
}}
"""


class Help(ModalScreen[None]):
    """All keys; any key closes it, up and down scroll."""

    CSS = FRAME.format(name="Help") + "Help VerticalScroll { width: 74; scrollbar-size: 0 0; }"
    BINDINGS: ClassVar[list[BindingType]] = [("up", "scroll(-5)"), ("down", "scroll(5)")]

    def __init__(self, look: Look) -> None:
        super().__init__()
        self._look = look

    def compose(self) -> ComposeResult:
        with VerticalScroll(can_focus=False):
            yield Static(help_table(self._look))

    def action_scroll(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)

    def on_key(self) -> None:
        self.dismiss()


class GoTo(ModalScreen[int | None]):
    """The stories; the answer is the index of one, or None. The digits of its number choose a story, and Enter goes."""

    CSS = FRAME.format(name="GoTo") + "GoTo OptionList { scrollbar-size: 0 0; width: 48; }"
    BINDINGS: ClassVar[list[BindingType]] = [("escape,g,G,q,Q,ctrl+c", "close"), ("space", "choose")]

    def __init__(self, names: Sequence[str], index: int, look: Look) -> None:
        super().__init__()
        self._names, self._index, self._look = names, index, look
        self._typed = ""

    def compose(self) -> ComposeResult:
        listed = OptionList(*(Option(f"{number:2}  {name}") for number, name in enumerate(self._names, 1)))
        listed.border_subtitle = self._look.words("↑ ↓ or a number, Enter goes there, Esc closes")
        yield listed

    def on_mount(self) -> None:
        self.query_one(OptionList).highlighted = max(0, min(self._index, len(self._names) - 1))

    def on_key(self, event: Key) -> None:
        """A digit after another makes a number of two digits, if there is such a story."""
        if not event.key.isdecimal():
            self._typed = ""
            return
        self._typed = next((one for one in (self._typed + event.key, event.key) if self._is_one(one)), "")
        if self._typed:
            self.query_one(OptionList).highlighted = int(self._typed) - 1

    def _is_one(self, number: str) -> bool:
        return 1 <= int(number) <= len(self._names)

    def action_choose(self) -> None:
        self.query_one(OptionList).action_select()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option_index)

    def action_close(self) -> None:
        self.dismiss(None)

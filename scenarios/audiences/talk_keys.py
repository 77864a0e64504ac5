"""The keys of `lab talk`: what each does, the help that lists them, and the bar at the foot of the screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from scenarios.audiences.lines import Line
from scenarios.audiences.look import Look
from scenarios.performance.text import message

LEAVE = "q,Q,ctrl+c,ctrl+q"
# The names are Textual's.
BINDINGS = (
    ("space,enter,right", "on"),
    ("left,backspace", "back"),
    ("r,R", "again"),
    ("n,N", "next"),
    ("g,G", "go_to"),
    ("tab", "whole"),
    ("exclamation_mark", "shell"),
    ("c,C", "card"),
    ("v,V", "recorded"),
    ("t,T", "clock"),
    ("l,L", "language"),
    ("p,P", "notes"),
    ("question_mark,h,H,f1", "help"),
    ("up,pageup", "up"),
    ("down,pagedown", "down"),
    ("ctrl+z", "suspend_process"),
    (LEAVE, "leave"),
)
HELP = (
    (message("Space Enter →"), "on: run the command, or the next step"),
    ("←", "back to what was seen; the kernel is not asked again"),
    ("↑ ↓", "the rest of a step that is longer than the screen"),
    ("R", "this story again, from its start"),
    ("N", "next story"),
    ("G", "go to a story"),
    ("Tab", "whole records, rules, commands and outputs, or short"),
    ("!", "a shell in the login's session, with the command typed ready"),
    ("C", "the card that the story ends on"),
    ("V", "the recorded run of this step"),
    ("T", "clock: time, pace, none"),
    ("L", "language"),
    ("P", "your notes; in a second terminal: lab talk --notes"),
    ("Ctrl-Z", "to the background; fg comes back"),
    ("Q", "quit; everything is restored"),
)


def help_table(look: Look) -> Table:
    """All keys, a row each."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    for keys, what in HELP:
        table.add_row(look.words(keys), Line(look.words(what)))
    return table


Entry = tuple[str, str]


def bar(entries: Sequence[Entry], look: Look) -> Line:
    """The keys that matter now, the most important first, as many as fit; `? keys` is always the last."""
    last = _entry("?", look.words("keys"))
    line = Line(" ")
    for key, what in entries:
        shown = _entry(look.words(key), look.words(what))
        if line.cell_len + shown.cell_len + last.cell_len + 3 > look.width:
            break
        line.append_text(shown).append("   ")
    line.append_text(last)
    return line


def _entry(key: str, what: str) -> Line:
    return Line.assemble((key, "bold"), f" {what}")


def entries(
    *, pending: bool, behind: bool, trouble: bool, recorded: bool, ends: bool, languages: int, tab: str = ""
) -> Iterator[Entry]:
    """What the bar offers.

    pending     a command waits to be run
    behind      the speaker looks at what was seen before
    trouble     a verdict of this step did not hold
    recorded    there is a recording of this step
    ends        this is a story's last step
    languages   how many there are to choose from
    tab         what Tab would show; "" if nothing else
    """
    on = message("run it") if pending else message("go on") if trouble else message("next story" if ends else "on")
    yield message("Space"), "on" if behind else on
    if trouble:
        yield "R", message("again")
        if recorded:
            yield "V", message("recorded run")
    yield "←", "back"
    if tab:
        yield "Tab", tab
    if ends and not trouble:
        yield "R", "again"
    elif not trouble:
        yield "N", "next story"
    yield "!", message("shell")
    if languages > 1:
        yield "L", "language"

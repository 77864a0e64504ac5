"""What the audience sees: headings, commands, output, trees, records and verdicts, drawn with rich."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from io import TextIOWrapper
from typing import Literal, Protocol

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from lab.audit.records import Event
from lab.identity import UNSET, Ancestor, name_of

HELD, FAILED, UNKNOWN = "held", "failed", "inconclusive"
STYLES = {HELD: "green", FAILED: "bold red", UNKNOWN: "yellow"}
MARKS = {HELD: "✔", FAILED: "✘", UNKNOWN: "?", "dot": "·"}
ASCII = {HELD: "ok", FAILED: "FAILED", UNKNOWN: "?", "dot": "-"}
# The fields of a record that the stories are about; the screen highlights them.
TELLING = r"\b(auid|uid|ses|tty|exe|proctitle|success|exit|key)=\S+"
Pace = Literal["auto", "story", "step"]


class Row(Protocol):
    """A row of the table of the article's claims, which scenarios.claims makes."""

    @property
    def claim(self) -> str: ...
    @property
    def today(self) -> str: ...
    @property
    def seen(self) -> str: ...


class Screen:
    """Draws on standard output, or on standard error when standard output is for JSON.

    Colours are left out without color, and where NO_COLOR is set (no-color.org). An output whose encoding is not UTF-8
    gets marks and lines in ASCII, and \\uXXXX for what else it cannot hold.
    """

    def __init__(self, *, json: bool = False, color: bool = True, pace: Pace = "auto") -> None:
        # None: rich then looks at NO_COLOR; False would override it.
        self.console = Console(stderr=json, no_color=None if color else True, highlight=False, soft_wrap=False)
        self.pace = pace
        self.plain = self.console.options.ascii_only
        self.marks = ASCII if self.plain else MARKS
        if self.plain and isinstance(self.console.file, TextIOWrapper):
            self.console.file.reconfigure(errors="backslashreplace")

    def heading(self, number: int, name: str, title: str) -> None:
        self.console.print()
        self.console.print(Rule(f"[bold]{number} {self.marks['dot']} {name}[/bold]", align="left", style="cyan"))
        self.console.print(f"[bold]{escape(title)}[/bold]\n")

    def say(self, text: str) -> None:
        self.console.print(escape(text))

    def command(self, line: str) -> None:
        self.console.print(f"\n  [bold cyan]$ {escape(line)}[/bold cyan]", soft_wrap=True)

    def output(self, text: str, style: str = "") -> None:
        for line in text.rstrip("\n").splitlines():
            self.console.print(Padding(Text(line, style=style), (0, 0, 0, 4), expand=False))

    def tree(self, title: str, chain: Sequence[Ancestor], breaks_at: int, note: str) -> None:
        """An ancestry from the top down; under the process breaks_at a dotted line says what is missing."""
        root = Tree(f"[dim]{escape(title)}[/dim]", guide_style="dim")
        branch = root
        for process in reversed(chain):
            branch = branch.add(_process(process))
            if process.pid == breaks_at:
                dots = " ".join(self.marks["dot"] * 3)
                branch.add(f"[yellow]{dots} {escape(note)} {dots}[/yellow]")
        self.console.print(Padding(root, (1, 0, 0, 4), expand=False))

    def records(self, event: Event) -> None:
        for line in event.render():
            text = Text(line, style="dim")
            text.highlight_regex(TELLING, "not dim bold")
            text.highlight_regex(r"\b(auid|ses)=unset", "not dim bold red")
            self.console.print(Padding(text, (0, 0, 0, 4), expand=False))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> None:
        table = Table(
            *columns, title=caption or None, title_justify="left", title_style="dim", box=None, pad_edge=False
        )
        for row in rows:
            style = "bold" if row[0] in ("auid", "ses") else ""
            table.add_row(*(Text(cell, style="bold red" if cell == "unset" else style) for cell in row))
        self.console.print(Padding(table, (1, 0, 0, 4), expand=False))

    def verdict(self, verdict: str, claim: str, seen: str, remedy: str = "") -> None:
        """A line with the claim and what was seen of it; for an inconclusive one also the remedy, to be pasted."""
        mark, style = self.marks[verdict], STYLES[verdict]
        tail = f"  [dim]{escape(seen)}[/dim]" if seen else ""
        self.console.print(Padding(f"[{style}]{mark} {escape(claim)}[/{style}]{tail}", (0, 0, 0, 2), expand=False))
        if remedy:
            self.console.print(f"    to mend it: {escape(remedy)}", soft_wrap=True)

    def summary(self, stories: Sequence[Mapping[str, object]], totals: Mapping[str, int]) -> None:
        self.console.print()
        self.console.print(Rule("[bold]What the kernel said[/bold]", align="left", style="cyan"))
        for story in stories:
            mark, style = self.marks[str(story["verdict"])], STYLES[str(story["verdict"])]
            self.console.print(f"  [{style}]{mark}[/{style}] {story['name']:12} {escape(str(story['title']))}")
        counted = ", ".join(f"{count} {verdict}" for verdict, count in totals.items() if count)
        self.console.print(f"\n  {counted}")

    def article(self, claims: Sequence[Row]) -> None:
        """Show the article's claims, with today's verdict and what these stories saw."""
        if not claims:
            return
        table = Table("the article says", "today", "seen in this run", box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for row in claims:
            style = "green" if row.today == "true" else "yellow"
            table.add_row(row.claim, Text(row.today, style=style), row.seen or Text("not shown", style="yellow"))
        self.console.print()
        self.console.print(Padding(table, (0, 0, 0, 2), expand=False))

    def busy(self, what: str) -> AbstractContextManager[object]:
        """Show that the lab is at work, for the length of a `with`."""
        return self.console.status(f"[dim]{escape(what)}[/dim]", spinner="line" if self.plain else "dots")

    def step(self, kind: Literal["step", "story"]) -> None:
        """Wait for Enter, if this run pauses here."""
        if self.pace == "step" or (self.pace == "story" and kind == "story"):
            self.console.print("[dim]  Enter to go on[/dim]", end="")
            sys.stdin.readline()


def _process(process: Ancestor) -> str:
    who = name_of(process.loginuid)
    style = "red" if process.loginuid == UNSET else "green"
    number = "" if who in ("unset", str(process.loginuid)) else f" ({process.loginuid})"
    return f"{escape(process.comm)} [dim]pid {process.pid}[/dim]  loginuid [{style}]{who}{number}[/{style}]"

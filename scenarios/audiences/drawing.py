"""How a beat looks in a terminal: drawn with rich, the same for the screen that scrolls and for the talk."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.padding import Padding, PaddingDimensions
from rich.rule import Rule
from rich.table import Table

from lab.audit.netlink import AUDIT_VIRT_CONTROL
from lab.audit.records import LOGIN, Event
from lab.identity import UNSET, name_of
from scenarios.audiences.lines import Line
from scenarios.audiences.look import STYLES, Look
from scenarios.performance import beats
from scenarios.performance.beats import FAILED, HELD, UNKNOWN
from scenarios.performance.text import Text

# The fields that tell whom a record names; those of a change of loginuid are others.
TELLING = ("auid", "ses", "uid", "comm", "cmd", "tty")
TELLING_LOGIN = ("old-auid", "auid", "ses", "pid", "res")
TELLING_VIRT = ("auid", "op", "vm", "sauid")
OUTPUT_LINES = 5
LARGE_OUTPUT_LINES, LARGE_COMMAND_LINES = 3, 3  # with a large font
SEEN_WIDTH = 16  # columns for what was seen of a claim, at least; the claim and its verdict come first
BRIEF_CARD, BRIEF_CUT = 5, 2  # in brief, a card of more rows than the first shows as many as the second
MOST_TITLES = 15  # of stories in the summary; with more, a step would not fit
UNSEEN_IN_BRIEF = (beats.Rules, beats.Command, beats.Output, beats.Lineage, beats.Evidence)


def draw(beat: beats.Beat, look: Look) -> RenderableType | None:
    """What the audience sees of a beat; None for a beat that shows nothing."""
    if look.detail == "brief" and isinstance(beat, UNSEEN_IN_BRIEF):
        return None
    match beat:
        case beats.Opening():
            return Group(*(Line(look.words(remark)) for remark in beat.remarks))
        case beats.Heading():
            return _heading(beat, look)
        case beats.Say():
            return _lead(Line(look.words(beat.text)), look)
        case beats.Predict():
            return _question(beat, look)
        case beats.Rules():
            return _indented(_rules(beat, look))
        case beats.Command():
            return _command(beat, look)
        case beats.Output():
            return _output(beat, look)
        case beats.Lineage():
            return _indented(_lineage(beat, look))
        case beats.Evidence():
            return _indented(Group(*_record(beat.event, look)))
        case beats.Contrast():
            return _indented(_contrast(beat, look), 2)
        case beats.Verdict():
            return _verdict(beat, look)
        case beats.Summary():
            return _summary(beat, look)
        case beats.Article():
            return _indented(_article(beat, look), 2)
        case beats.Closing():
            return _closing(beat, look)
        case beats.Busy() | beats.Stop():
            return None


def height(step: Iterable[beats.Moment], look: Look) -> int:
    """How many lines of the screen a step takes, its story's heading included."""
    console = Console(width=look.width, color_system=None)
    pictures = (draw(moment.beat, look) for moment in step)
    return sum(len(console.render_lines(picture, pad=False)) for picture in pictures if picture is not None)


def _indented(what: RenderableType, by: int = 4) -> Padding:
    return Padding(what, (0, 0, 0, by), expand=False)


def _heading(beat: beats.Heading, look: Look) -> RenderableType:
    dot = look.marks["dot"]
    title = Line.assemble((f"{beat.number} {dot} {beat.name} {dot} {look.words(beat.title)}", "bold"))
    return Rule(title, align="left", style="cyan")


def _lead(line: Line, look: Look) -> RenderableType:
    """What leads into a step, in brief on one line; in a group, since the console would join plain lines anew."""
    return Group(_one_line(line)) if look.detail == "brief" else line


def _question(beat: beats.Predict, look: Look) -> RenderableType:
    if look.detail == "brief":  # nobody is asked
        return _lead(Line(look.words(beat.question)), look)
    choices = "   ".join(f"{look.words(choice)}?" for choice in beat.choices)
    return Line.assemble((look.words(beat.question), "bold"), "  " if choices else "", (choices, "italic"))


def _rules(beat: beats.Rules, look: Look) -> RenderableType:
    """Whole, or the first in short: without the key, which is random, and without the words that all rules share."""
    if look.detail == "full":
        return Group(*(Line(f"{look.words('audit rule:')} {rule}", style="dim") for rule in beat.rules))
    words = re.sub(r" -F key=\S+$|^-a always,exit ", "", beat.rules[0])
    more = look.words(Text.of("and {count} more", count=len(beat.rules) - 1)) if len(beat.rules) > 1 else ""
    return _one_line(Line(f"{look.words('audit rule:')} {words}  {more}", style="dim"))


def _one_line(line: Line) -> Line:
    """Cut at the audience's width, with a mark at the end."""
    line.no_wrap, line.overflow = True, "ellipsis"
    line.rstrip()
    return line


def _command(beat: beats.Command, look: Look) -> Line:
    lines = list(_folded(beat.line, look.width))
    if look.detail == "short" and look.large:
        shown = [line[at : at + look.width] for line in lines for at in range(0, len(line), look.width)]
        if len(shown) > LARGE_COMMAND_LINES:
            lines = [*shown[: LARGE_COMMAND_LINES - 1], f"      {look.marks['more']}"]
    return Line("\n".join(lines), style="bold cyan")


def _folded(line: str, width: int) -> Iterator[str]:
    """A command line that fits, and that can be pasted: cut between its words, with a backslash at each end."""
    first, rest = "  $ ", "      "
    current = first
    for word in _words(line):
        if len(current) + len(word) > width - 2 and current.strip(" $"):
            yield f"{current.rstrip(' ')} \\"
            current = rest
        current += f"{word} "
    yield current.rstrip(" ")


def _words(line: str) -> list[str]:
    """The words of a command line with their quotes; a line that is no shell's stays whole."""
    lexer = shlex.shlex(line, posix=False, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        found = list(lexer)
    except ValueError:
        return [line]
    return found if " ".join(found) == line else [line]


def _output(beat: beats.Output, look: Look) -> RenderableType | None:
    lines = [Line(line) for line in beat.text.rstrip("\n").splitlines()]
    lines += [Line(line, style="red") for line in beat.error.rstrip("\n").splitlines()]
    most = LARGE_OUTPUT_LINES if look.large else OUTPUT_LINES
    if look.detail == "short" and len(lines) > most:
        more = Text.of("{count} more lines", count=len(lines) - most + 1)
        lines[most - 1 :] = [Line(f"{look.marks['more']} {look.words(more)}", style="dim")]
    if look.detail == "short":
        lines = [_one_line(line) for line in lines]
    return _indented(Group(*lines)) if lines else None


def _lineage(beat: beats.Lineage, look: Look) -> RenderableType:
    shown = list(beat.processes)
    while shown and beat.login and shown[0].pid != beat.login:
        shown.pop(0)
    if look.plain:
        return Line(_sentence(beat, shown, look))
    indents = ["", *(f"{'  ' * depth}{look.marks['branch']}" for depth in range(len(shown) - 1))]
    names = [f"{indent}{_name(beat, process, look)}" for indent, process in zip(indents, shown, strict=False)]
    width = max(map(cell_len, names), default=0) + 3
    lines = [
        Line(name + " " * (width - cell_len(name))).append(_who(one.loginuid, look))
        for name, one in zip(names, shown, strict=True)
    ]
    if beat.asked:
        said = look.words("a UNIX socket: the request comes in here, the login does not")
        # Below the daemon, which init has started; records alone may not tell of init.
        lines.insert(2 if shown[0].pid == 1 else 1, Line(f"  {look.marks['socket']} {said}", style="magenta"))
    return Group(*lines)


def _name(beat: beats.Lineage, process: beats.Process, look: Look) -> str:
    return look.words("your login") if process.pid == beat.login else process.comm


def _sentence(beat: beats.Lineage, shown: Sequence[beats.Process], look: Look) -> str:
    """The same for a screen reader: who is whose child, and the loginuid of each."""
    steps = [f"{_name(beat, process, look)} (loginuid {name_of(process.loginuid)})" for process in shown]
    if not beat.asked:
        return look.words("A fork at each step: ") + ", ".join(steps)
    return look.words("Asked over a UNIX socket, and forked by another: ") + ", ".join(steps)


def _who(loginuid: int, look: Look) -> Line:
    """A loginuid as mark, word and number: never as a colour alone."""
    if loginuid == UNSET:
        return Line(f"{look.marks['unset']} {look.words('unset')}", style="red")
    name = name_of(loginuid)
    number = "" if name == str(loginuid) else f" ({loginuid})"
    return Line(f"{look.marks['set']} {name}{number}", style="green")


def _record(event: Event, look: Look) -> Iterator[Line]:
    rendered = event.render()
    if look.detail == "full":
        for line in rendered:
            text = Line(line, style="dim")
            text.highlight_regex(r"\b(auid|uid|ses|tty|exe|proctitle|success|exit|key|res)=\S+", "not dim bold")
            text.highlight_regex(r"\b(auid|ses)=unset", "not dim bold red")
            yield text
        return
    kind, fields = telling(event)
    text = Line(f"{kind}  ", style="dim")
    for name, value in fields:
        lost = value == "unset" and name in ("auid", "ses")
        text.append(f"{name}={value}  ", style="not dim bold red" if lost else "not dim bold")
    yield _one_line(text)


def telling(event: Event) -> tuple[str, list[tuple[str, str]]]:
    """The type of the record that tells most, and the few of its fields that do, as `ausearch -i` prints them."""
    logins = event.of_type(LOGIN)
    record = logins[0] if logins else next((one for one in event.records if "auid" in one.fields), event.records[0])
    interpreted = dict(re.findall(r"(?:^|\s)([a-z][\w-]*)=(\S+)", record.render()))
    names = TELLING_LOGIN if logins else TELLING_VIRT if record.type == AUDIT_VIRT_CONTROL else TELLING
    fields = [(name, interpreted[name]) for name in names if interpreted.get(name, "(none)") != "(none)"]
    if not logins and "success" in interpreted and interpreted["success"] != "yes":
        fields.append(("success", interpreted["success"]))
    return record.name, fields


def _contrast(beat: beats.Contrast, look: Look) -> RenderableType:
    columns = [look.words(column) for column in beat.columns]
    table = _table(columns, padding=(0, 1))
    cut = BRIEF_CUT if look.detail == "brief" and len(beat.rows) > BRIEF_CARD else len(beat.rows)
    for row in beat.rows[:cut]:
        cells = [look.words(cell) for cell in row]
        bold = cells[0] in beat.telling or row[0].message in beat.telling
        table.add_row(*(_cell(cell, look, bold=bold and place > 0) for place, cell in enumerate(cells)))
    title, left = look.words(beat.title), len(beat.rows) - cut
    head = [Line(title, style="bold")] if title else []
    more = Line(look.words(Text.of("and {count} more", count=left)), style="dim")
    return Group(*head, table, *([more] if left else []))


def _table(heads: Iterable[str], padding: PaddingDimensions) -> Table:
    table = Table(box=None, pad_edge=False, padding=padding)
    for head in heads:
        table.add_column(Line(head))
    return table


def _cell(cell: str, look: Look, *, bold: bool) -> Line:
    lost = cell in ("unset", look.words("unset"), str(UNSET))
    mark = f"{look.marks['unset' if lost else 'set']} " if bold else ""
    return Line(f"{mark}{cell}", style="bold red" if lost else "bold" if bold else "")


def _verdict(beat: beats.Verdict, look: Look) -> RenderableType:
    mark, style = look.marks[beat.verdict], STYLES[beat.verdict]
    line = Line.assemble((f"{mark} {look.words(beat.claim)}", style))
    if seen := look.words(beat.seen):
        line.append(f"  {seen}", style="dim")
    drawn: RenderableType = _indented(_one_line(line) if look.detail == "brief" else line, 2)
    if beat.remedy:
        drawn = Group(drawn, Line(f"    {look.words('to mend it:')} {look.words(beat.remedy)}"))
    return drawn


def _summary(beat: beats.Summary, look: Look) -> RenderableType:
    lines: list[RenderableType] = [Rule(Line(look.words("What the kernel said"), "bold"), align="left", style="cyan")]
    if look.detail == "brief" or len(beat.stories) > MOST_TITLES:
        names = [
            Line.assemble((look.marks[told.verdict], STYLES[told.verdict]), f" {told.name}") for told in beat.stories
        ]
        return Group(*lines, _indented(Columns(names, padding=(0, 2), equal=True), 2))
    for told in beat.stories:
        mark, style = look.marks[told.verdict], STYLES[told.verdict]
        lines.append(Line.assemble("  ", (mark, style), f" {told.name:12} {look.words(told.title)}"))
    return Group(*lines)


def _article(beat: beats.Article, look: Look) -> RenderableType:
    """A line each; in brief only what is not plainly true; on a screen with a large font without what was seen."""
    brief, columns = look.detail == "brief", 2 if look.large else 3
    heads = [look.words(head) for head in ("the article says", "today", "seen in this run")]
    rows = [(row.claim, row.today) for row in beat.claims]
    table = _table(heads[:columns], padding=(0, 2, 0, 0))
    table.show_header = not brief
    if not look.large:
        before = (max(cell_len(look.words(text)) for text in texts) for texts in zip(*rows, strict=True))
        table.columns[2].max_width = max(SEEN_WIDTH, look.width - 8 - sum(before))
    plain = [row for row in beat.claims if row.today == "true" and row.held] if brief else []
    for row in (row for row in beat.claims if row not in plain):
        today = Line(look.words(row.today), style="green" if row.today == "true" else "magenta")
        seen = Line(look.words(row.seen or "not shown"), style="" if row.held else "magenta")
        cells = (Line(look.words(row.claim)), today, _one_line(seen))
        table.add_row(*cells[:columns])
    if not plain:
        return table
    more = Line(look.words(Text.of("and {count} more, which are true, and held", count=len(plain))), style="dim")
    return Group(table, more) if table.row_count else more


def _closing(beat: beats.Closing, look: Look) -> RenderableType:
    counts = ((beat.held, HELD), (beat.failed, FAILED), (beat.lacking + beat.disturbed, UNKNOWN))
    lines = [Line("\n  " + ", ".join(f"{count} {look.words(word)}" for count, word in counts if count))]
    if beat.lacking:
        said = "{count} cannot be shown on this machine, which is no failure."
        lines.append(Line("  " + look.words(Text.of(said, count=beat.lacking))))
    if beat.disturbed:
        said = "{count} could not be tested, since something went wrong or evidence was lost."
        lines.append(Line("  " + look.words(Text.of(said, count=beat.disturbed))))
    if beat.lacking or beat.disturbed:
        lines.append(Line("  " + look.words("What mends it stands below each ?.")))
    return Group(*lines)

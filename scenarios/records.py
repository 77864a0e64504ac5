"""`lab records`: the audit records of one file as they come, like `ausearch -i -ts now` without auditd."""

from __future__ import annotations

import argparse
import json
import os
import select
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import TextIOWrapper
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from lab.audit.follow import Follower
from lab.audit.records import Event
from lab.audit.watch import Watch
from lab.errors import EvidenceLost, InvalidArgument, NotAllowed
from scenarios.audiences.drawing import draw, telling
from scenarios.audiences.lines import Line
from scenarios.audiences.look import Look
from scenarios.languages.choice import Language
from scenarios.performance.beats import Evidence
from scenarios.performance.text import Argument, Text, in_english
from scenarios.playing import refuse_what_cannot_be
from scenarios.props.target import default
from scenarios.safety.journal import Journal
from scenarios.safety.watching import BUFFER, Watched, found


def records(arguments: argparse.Namespace) -> int:
    """Print each new event of the watch that is on, or of one that is set for this; ends with --count, Ctrl-C or it."""
    if os.geteuid() != 0:
        raise NotAllowed("lab records needs root, to read the kernel's audit records", "run `sudo lab records`")
    refuse_what_cannot_be()
    path = arguments.file and _watchable(arguments.file)
    with ExitStack() as stack:
        watched = found()
        if not watched or path not in ("", watched.path):
            watched = stack.enter_context(_own_watch(path))
        printer = Printer(
            as_json=arguments.json, full=arguments.full, color=not arguments.no_color, language=arguments.language
        )
        try:
            with Follower(watched.key) as follower:
                printer.begin(watched)
                _follow(follower, watched, printer, arguments.count)
        except KeyboardInterrupt as error:
            if error.args:  # SIGTERM or SIGHUP
                raise
            return 0  # Ctrl-C, the way to end it
    return 0


def _watchable(path: str) -> str:
    """The absolute path, without symlinks, of a file or a directory that is there. Raises InvalidArgument."""
    real = os.path.realpath(path)
    if not (Path(real).is_file() or Path(real).is_dir()):
        raise InvalidArgument(f"--file {path}: there is no such file or directory", "give one, such as /etc/shadow")
    return real


@contextmanager
def _own_watch(path: str) -> Iterator[Watched]:
    """A watch for this process alone; without a path on the usual file. Raises Conflict if a run of the lab is on."""
    with Journal() as journal:
        path = path or default(journal)
        with Watch(path, journal=journal, buffer=BUFFER) as watch:
            watched = Watched.by_this_process(path, watch.key, "lab records")
            watched.tell(journal.directory("watch", mode=0o755))
            yield watched


def _follow(follower: Follower, watched: Watched, printer: Printer, count: int) -> None:
    """Print events until there were that many (0: without end), or the watch's holder has ended."""
    holder = watched.open_holder()
    poll = select.poll()
    poll.register(follower, select.POLLIN)
    poll.register(holder, select.POLLIN)
    left = count or sys.maxsize
    while True:
        ready = [fd for fd, _ in poll.poll()]
        for event in follower.arrived():
            printer.event(event)
            left -= 1
            if not left:
                return
        if follower.overrun:
            raise EvidenceLost("the kernel dropped audit records: they came faster than they were read", "start again")
        if holder in ready:
            printer.remark(Text("{holder} has ended, and with it the watch.", {"holder": watched.holder}))
            return


class Printer:
    """Prints events on standard output: a line each, whole, or as JSON; remarks go to standard error."""

    def __init__(self, *, as_json: bool, full: bool, color: bool, language: Language) -> None:
        self.as_json, self.full = as_json, full
        shown = None if color else True  # None: rich then looks at NO_COLOR
        self.out = Console(no_color=shown, highlight=False)
        self.err = Console(stderr=True, no_color=shown, highlight=False)
        plain = self.out.options.ascii_only
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # for what its encoding cannot hold
        translate = in_english if plain else language.translate
        self.look = Look(self.out.width, plain, "full" if full else "short", translate)

    def begin(self, watched: Watched) -> None:
        """Say which file is watched, who holds the watch, and how to end."""
        mine = watched.pid == os.getpid()
        said = "Watching {path}. Touch it in another terminal; Ctrl-C ends this."
        theirs = "Following `{holder}` (pid {pid}) on {path}. Ctrl-C ends this."
        who: dict[str, Argument] = {"holder": watched.holder, "pid": watched.pid}
        message, path = said if mine else theirs, watched.path
        if self.err.is_terminal:  # which would wrap the line within the path
            rest = self.look.words(Text(message, {**who, "path": ""}))
            path = shortened(path, self.err.width - cell_len(rest))
        self.remark(Text(message, {**who, "path": path}))

    def remark(self, text: Text) -> None:
        self.err.print(Line(self.look.words(text), style="dim"), soft_wrap=True)

    def event(self, event: Event) -> None:
        """Print one event, and have it arrive: a pipe's reader sees it at once."""
        if self.as_json:
            print(json.dumps(as_plain(event)), flush=True)
        elif self.full:
            for line in event.render():
                print(line)
            print("----", flush=True)
        else:
            self._line(event)

    def _line(self, event: Event) -> None:
        clock = time.strftime("%H:%M:%S", time.localtime(event.time[0]))
        grid = Table.grid(padding=(0, 1))
        drawn = draw(Evidence(tuple(record.to_line() for record in event.records)), self.look)
        grid.add_row(Line(clock, style="dim"), drawn)
        self.out.print(grid)
        sys.stdout.flush()


def shortened(path: str, columns: int) -> str:
    """A path in so many columns: whole, or "..." and the end of it; the last name stays even where it does not fit."""
    if cell_len(path) <= columns:
        return path
    parts = path.split("/")
    ends = [".../" + "/".join(parts[number:]) for number in range(2, len(parts))]
    return next((end for end in ends if cell_len(end) <= columns), ends[-1] if ends else path)


def as_plain(event: Event) -> dict[str, object]:
    """An event for JSON: when, what tells most of it, in words, and all of its records as the kernel wrote them."""
    kind, fields = telling(event)
    seconds, milliseconds = event.time
    return {
        "serial": event.serial,
        "time": seconds + milliseconds / 1000,
        "type": kind,
        "key": event.key,
        **dict(fields),
        "records": [record.to_line() for record in event.records],
    }

"""`lab demo` and `lab run`: tell stories to the audience in a terminal, and record them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from lab.errors import InvalidArgument
from scenarios import claims as article
from scenarios.audiences.page.page import Page
from scenarios.audiences.terminal import Pace, Terminal
from scenarios.pages import invitation, require_packages
from scenarios.performance import recording
from scenarios.performance.beats import Closing
from scenarios.performance.performance import Performance
from scenarios.playing import (
    HELD_ALL,
    SOME_UNKNOWN,
    Cast,
    chosen,
    conclude,
    disturbed,
    on_stage,
    refuse_what_cannot_be,
    tell,
)
from scenarios.stage.report import Report


def demo(arguments: argparse.Namespace) -> int:
    """Tell the stories that were asked for; the exit status is HELD_ALL, SOME_FAILED or SOME_UNKNOWN."""
    stories = chosen(arguments.only, arguments.engines)
    refuse_what_cannot_be()
    terminal = Terminal(
        json=arguments.json,
        color=not arguments.no_color,
        pace="auto" if arguments.page else _pace(arguments),
        plain=arguments.plain,
        detail=arguments.detail or ("brief" if _pace(arguments) == "auto" else "short"),
        translate=arguments.language.translate,
    )
    with ExitStack() as files:
        kept = files.enter_context(recording.new_file())
        wanted = [files.enter_context(_opened(path)) for path in arguments.record]
        performance = Performance([recording.Recorder(kept, *wanted), terminal, *_page(arguments, terminal, files)])
        with on_stage(cast_of(arguments), stories, performance) as stage:
            reports = [tell(stage, story) for story in stories]
            closing = conclude(reports, performance)
            if arguments.json:  # whatever comes to light at the end, the verdicts are told
                _print_json(reports, closing, kept.name)
            else:
                said = terminal.look.words("A report of this run, as one file:")
                terminal.say(f"\n  {said}\n  $ sudo .venv/bin/lab report {kept.name}")
    return status(closing, reports, lenient=arguments.lenient)


def status(closing: Closing, reports: Sequence[Report], *, lenient: bool) -> int:
    """The exit status; lenient forgives what this machine lacks."""
    forgiven = lenient and closing.exit_code == SOME_UNKNOWN and not disturbed(reports)
    return HELD_ALL if forgiven else closing.exit_code


def _pace(arguments: argparse.Namespace) -> Pace:
    if arguments.pause:
        return "step"
    return "story" if sys.stdin.isatty() and not (arguments.auto or arguments.json) else "auto"


def _page(arguments: argparse.Namespace, terminal: Terminal, files: ExitStack) -> list[Page]:
    """With --page: the page, at whose speaker's pace the run goes on, step by step."""
    if not arguments.page:
        return []
    require_packages()
    pace: Pace = "auto" if arguments.auto else "step"
    shown = files.enter_context(Page(arguments.port, pace, language=arguments.language))
    terminal.say(invitation(shown, terminal.look))
    return [shown]


def _opened(path: str) -> IO[str]:
    try:
        return Path(path).open("x", encoding="utf-8")
    except OSError as error:
        raise InvalidArgument(f"--record {path}: {error.strerror}", "give the name of a new file") from None


def cast_of(arguments: argparse.Namespace) -> Cast:
    """Who takes part, as the options say."""
    return Cast(
        host=arguments.host,
        user=arguments.login_as,
        target=arguments.target,
        engines=arguments.engines,
        engine_options=_by_engine(arguments.engine_option),
        run_options=_by_engine(arguments.run_option),
    )


def _by_engine(options: Sequence[str]) -> dict[str, list[str]]:
    """The words of ENGINE=WORD, by engine, in their order."""
    found: dict[str, list[str]] = {}
    for option in options:
        name, _, word = option.partition("=")
        found.setdefault(name, []).append(word)
    return found


def _print_json(reports: Sequence[Report], closing: Closing, recorded: str) -> None:
    """Verdicts and evidence by story, the article's claims, and where the whole performance is recorded."""
    totals = {"held": closing.held, "failed": closing.failed, "inconclusive": closing.lacking + closing.disturbed}
    answer = {
        "exit_code": closing.exit_code,
        "claims": totals,
        "stories": [report.to_dict() for report in reports],
        "article": [vars(row) for row in article.rows(reports)],
        "recording": recorded,
    }
    json.dump(answer, sys.stdout, indent=2)
    print()

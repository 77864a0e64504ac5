"""`lab talk`: stories at the speaker's pace, the notes for them in a second terminal, and a rehearsal of both."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Callable, Sequence

from lab.errors import InvalidArgument, MissingFeature
from scenarios.demo import cast_of
from scenarios.languages.choice import others_after
from scenarios.pages import require_packages
from scenarios.playing import HELD_ALL, chosen, refuse_what_cannot_be

INSTALL = "make venv   (or .venv/bin/pip install -e '.[stage]')"


def talk(arguments: argparse.Namespace) -> int:
    """The exit status is that of `lab demo` if the talk was told to its end, else 0."""
    if arguments.notes:
        from scenarios.audiences.talk_notes import follow

        follow(arguments.language)
        return HELD_ALL
    stories = chosen([*arguments.names, *arguments.only], arguments.engines)
    refuse_what_cannot_be()
    if arguments.rehearse:
        from scenarios.rehearsal import rehearse

        return rehearse(cast_of(arguments), stories, arguments.language, lenient=arguments.lenient)
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):  # Textual draws on the last
        raise InvalidArgument("lab talk needs a terminal", "in a pipe, use `lab demo --auto` or `lab talk --rehearse`")
    if importlib.util.find_spec("textual") is None:
        raise MissingFeature("lab talk needs the Python package textual", INSTALL)
    if arguments.page:
        require_packages()
    from scenarios.audiences.talk import talk as on_this_terminal
    from scenarios.audiences.talk_link import Process

    link = Process(_command(arguments))
    names = [story.NAME for story in stories]
    return on_this_terminal(link, names, arguments.minutes, others_after(arguments.language))


def _command(arguments: argparse.Namespace) -> Callable[[int], Sequence[str]]:
    """The words that start the stage; see scenarios.talk_stage."""
    cast = vars(cast_of(arguments))
    names = [*arguments.names, *arguments.only]
    port = arguments.port if arguments.page else None
    options = {"cast": cast, "stories": names, "lenient": arguments.lenient}
    said = json.dumps({**options, "port": port, "language": arguments.language.code})
    return lambda descriptor: [sys.executable, "-m", "scenarios.talk_stage", str(descriptor), said]

"""`lab page` and `lab report`: a recording in a browser, step by step, and as one file to keep or to hand in."""

from __future__ import annotations

import argparse
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from rich.cells import cell_len

from lab.errors import InvalidArgument, MissingFeature
from scenarios.audiences.look import Look
from scenarios.audiences.page.page import Page
from scenarios.audiences.terminal import Pace
from scenarios.performance import recording

PACKAGES = ("jinja2", "sse_starlette")


def page(arguments: argparse.Namespace) -> int:
    """Serve a recording until Ctrl-C; the speaker's page, or Enter here, goes on."""
    require_packages()
    moments = recording.read(Path(arguments.file))
    first = next(moments, None)
    if first is None:
        raise InvalidArgument(f"{arguments.file} holds no beat", "`lab play` lists the recordings")
    pace: Pace = "auto" if arguments.auto else "step"
    place = 0 if arguments.auto else None
    with Page(arguments.port, pace, place=place, language=arguments.language) as shown:
        print(invitation(shown, Look(translate=arguments.language.translate)), flush=True)
        for moment in (first, *moments):
            shown.take(moment)
        with suppress(KeyboardInterrupt):  # it may come as soon as it is offered
            arguments.language.tell("The page has all steps now. Ctrl-C ends it.")
            shown.stay()
    return 0


def report(arguments: argparse.Namespace) -> int:
    """Write a recording as one HTML file; the name is the recording's, with .html, unless -o gives one."""
    require_packages()
    from scenarios.audiences.report import report as told  # jinja2 takes 60 ms, and `lab demo` needs none

    source = Path(arguments.file)
    language = arguments.language
    text = told(recording.read(source), Look(translate=language.translate), language.tag)
    name = arguments.output or f"{source.stem}.html"
    try:
        with Path(name).open("x" if not arguments.output else "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InvalidArgument(f"{name} is there already", f"give -o {name} to write it anew") from None
    except OSError as error:
        raise InvalidArgument(f"cannot write {name}: {error.strerror}", "give another name: -o FILE.html") from None
    print(name)
    return 0


def require_packages() -> None:
    """Raise MissingFeature without the packages of the extra `stage`."""
    if missing := [name for name in PACKAGES if not find_spec(name)]:
        raise MissingFeature(f"Python packages are missing: {', '.join(missing)}", "run `tools/setup venv`, then again")


def invitation(shown: Page, look: Look) -> str:
    """The addresses, and what each may do."""
    yours, theirs = look.words("Your page, whose Space goes on:"), look.words("To look on:")
    space = " " * (cell_len(yours) - cell_len(theirs))
    return f"{yours}  {shown.speaker_address}\n{theirs}{space}  {shown.address}"

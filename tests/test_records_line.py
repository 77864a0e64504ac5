"""The line that `lab records` begins with: it says which file is watched, and no terminal breaks it within the path."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from scenarios.languages.choice import CHINESE, ENGLISH, Language
from scenarios.records import Printer, shortened
from scenarios.safety.watching import Watched

DECOY = "/run/lab/decoy-0d93f1aa/shadow"


def begun(watched: Watched, language: Language, *, terminal: bool) -> str:
    """The first line, on an error output of 80 columns."""
    printer = Printer(as_json=False, full=False, color=False, language=language)
    printer.err = Console(file=io.StringIO(), width=80, force_terminal=terminal, no_color=True, color_system=None)
    printer.begin(watched)
    assert isinstance(printer.err.file, io.StringIO)
    return printer.err.file.getvalue()


@pytest.mark.parametrize("language", [ENGLISH, CHINESE])
def test_the_line_fits_a_terminal(language: Language) -> None:
    """The end of a long path is shown; the watched file is named in any case."""
    theirs = Watched(DECOY, "lab-1", "lab shell", 4194304, 0)
    for watched in (theirs, Watched.by_this_process(DECOY, "lab-1", "lab records")):
        line = begun(watched, language, terminal=True)
        assert cell_len(line.rstrip()) <= 80 and "shadow" in line and line.count("\n") == 1


def test_a_pipe_gets_the_whole_path() -> None:
    """Nothing wraps there, and a program may want it."""
    assert DECOY in begun(Watched(DECOY, "lab-1", "lab shell", 4194304, 0), ENGLISH, terminal=False)


@pytest.mark.parametrize(
    ("columns", "shown"),
    [(30, DECOY), (29, ".../lab/decoy-0d93f1aa/shadow"), (28, ".../decoy-0d93f1aa/shadow"), (24, ".../shadow")],
)
def test_a_path_is_cut_between_two_names(columns: int, shown: str) -> None:
    """From the left, until the end fits."""
    assert shortened(DECOY, columns) == shown


def test_the_last_name_always_stays() -> None:
    """A file without a name would say nothing."""
    assert (shortened(DECOY, 3), shortened("/x", 1)) == (".../shadow", "/x")

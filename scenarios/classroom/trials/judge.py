"""Pid 1 of the grader's container for one hand-in: it runs trial after trial.

It prints a line of JSON for each: the list of its faults, or as a text why the trial cannot be run here.

    judge.py DIRECTORY...   in each a trial.py; the student's files for it are in /work, in the directory of that name

Between two trials it ends all processes but itself. What it cannot undo, it only looks for: where a trial leaves
anything that the next could find, the judge ends, and the next trial gets a new container: scenarios/classroom/cell.py.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from scenarios.classroom.trials import inside

GOOD = 40  # an exit status that neither Python nor the engine has
MOST_FAULTS, LONGEST_FAULT = 10, 300


def faults_of(path: str) -> Callable[[], Iterable[str]]:
    """The function of that name in a trial. (runpy would import much to do the same.)"""
    space: dict[str, Any] = {"__name__": "trial", "__file__": path}
    exec(compile(Path(path).read_bytes(), path, "exec"), space)
    found: Callable[[], Iterable[str]] = space["faults"]
    return found


def judged(folder: str) -> Sequence[str]:
    """The faults that this trial finds; an error is one, too. Raises inside.Cannot."""
    inside.WORK = Path("/work", Path(folder).name)
    try:
        found = [" ".join(fault.split()) for fault in faults_of(f"{folder}/trial.py")()]
    except inside.Cannot:
        raise
    except Exception as error:
        found = [f"its trial ended with {type(error).__name__}"]
    finally:
        inside.kill_all()
    return [fault[:LONGEST_FAULT] for fault in found[:MOST_FAULTS]]


def clean(limits: object) -> bool:
    """Whether the next trial may run here. A judge that cannot even look, for limits that it was given, may not."""
    try:
        return not inside.left(limits)
    except (OSError, MemoryError):
        return False


def main(folders: Sequence[str]) -> None:
    """Judge in this order, until something is left behind."""
    inside.hide()
    limits = inside.own_limits()
    for folder in folders:
        try:
            verdict: str | Sequence[str] = judged(folder)
        except inside.Cannot as error:
            verdict = str(error)
        print(json.dumps(verdict), flush=True)
        if not clean(limits):
            break
    os._exit(GOOD)


if __name__ == "__main__":
    main(sys.argv[1:])

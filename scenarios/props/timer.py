"""A job that no login starts: a child of init runs it once, as a timer unit of systemd's would."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lab.identity import UNSET
from lab.pidfd import ended
from scenarios.needs import CannotTell
from scenarios.props.labd import start
from scenarios.safety.journal import Journal
from scenarios.stage.engines import paste

SECONDS = 60


def go_off(journal: Journal, argv: Sequence[str], loginuid: int = UNSET) -> Path:
    """Run the command to its end as a child of init with that loginuid; the directory with its files.

    job      the command, as a script
    out      what it printed
    errors   its messages: podman 5 warns of cgroups v1 before it prints anything

    Raises CannotTell if it does not end within SECONDS.
    """
    place = journal.directory("timer")
    job, out, errors = place / "job", place / "out", place / "errors"
    job.write_text(f"{paste(argv)}\n", encoding="utf-8")
    pid = start(journal, ["sh", "-c", 'exec sh "$0" 2>"$1"', str(job), str(errors)], loginuid, str(out))
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:  # it has ended already, and init has reaped it
        return place
    try:
        if not ended(pidfd, SECONDS):
            raise CannotTell(f"a timer's `{paste(argv)}` did not end in {SECONDS} s", "run it by hand")
    finally:
        os.close(pidfd)
    return place

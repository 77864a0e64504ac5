"""What the daemon writes about a container, and what it does when the disk refuses."""

from __future__ import annotations

import errno
import logging
from typing import Any

from lab import netfiles
from lab.errors import LabError, NoSpace
from lab.pidfd import is_alive
from lab.record import UNKNOWN, Record
from lab.spec import Spec

log = logging.getLogger("labd")


def save(record: Record, **changes: Any) -> None:
    """Merge changes into the state; if they cannot be written, the daemon at least knows them until it ends."""
    try:
        record.save_state(**changes)
    except OSError as error:
        log.error("the state of container %s cannot be written: %s", record.id, error.strerror)


def write_files(record: Record, spec: Spec) -> None:
    """/etc/hosts and its companions, as they are now; lab.netfiles. Raises OSError."""
    netfiles.write(record.path, spec, record.config.get("names", {}))


def save_before_start(record: Record, spec: Spec) -> None:
    """Write the state and the container's files. Raises NoSpace, LabError if the disk does not take them.

    The last run's exit code and error stay until Record.started() writes the next one's beginning.
    """
    try:
        record.save_state()
        write_files(record, spec)
    except OSError as error:
        raise not_recorded(error) from None


def save_end(record: Record, code: int, oom_killed: bool) -> None:
    """Record the exit code, and the reason if it is unknown; an error goes to the log."""
    orphaned = code == UNKNOWN and not is_alive(record.state["monitor"], record.state["monitor_start_time"])
    error = "the exit code is unknown: the daemon's spawner was killed" if orphaned else ""
    try:
        record.exited(code, oom_killed, error)
    except OSError as failure:
        log.error("the end of container %s (exit code %d) cannot be recorded: %s", record.id, code, failure.strerror)


def not_recorded(error: OSError) -> LabError:
    """The error for a start that cannot be written down."""
    kind = NoSpace if error.errno in (errno.ENOSPC, errno.EDQUOT) else LabError
    return kind(
        f"the container's start cannot be recorded: {error.strerror}", "make room on the disk of labd's state directory"
    )

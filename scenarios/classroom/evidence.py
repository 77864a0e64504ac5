"""What a check that passed has seen: kept beside the student's progress, handed in, and judged again by the grader."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from lab.audit.records import Event, Record, RecordError, events

BOOT = Path("/proc/sys/kernel/random/boot_id")  # random(4): a new one at each boot
MOST_LINES = 400  # of one thing that was done: some eighty events
Time = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]  # seconds since 1970
Label = Annotated[str, StringConstraints(min_length=1, max_length=100)]
RecordLine = Annotated[str, StringConstraints(max_length=16384)]


class Told(BaseModel):
    """A table of a file that comes from a student: nothing but these fields, of exactly these types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Machine(Told):
    """Which boot of which machine: boot_id of random(4), release of uname(2)."""

    boot: Annotated[str, StringConstraints(pattern=r"^[0-9a-f-]{36}$")]
    kernel: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._+~-]{1,100}$")]


class Seen(Told):
    """The records about a file while one thing was done: lines of audit.log."""

    path: Annotated[str, StringConstraints(max_length=4096)]
    lines: Annotated[tuple[RecordLine, ...], Field(max_length=MOST_LINES)]


class Evidence(Told):
    """Of the check that passed first.

    began, ended    when it ran
    said            what it measured, by the id of the question
    seen            the records, by what was done
    """

    machine: Machine
    began: Time
    ended: Time
    said: dict[Label, Label] = Field(default_factory=dict, max_length=50)
    seen: dict[Label, Seen] = Field(default_factory=dict, max_length=50)


def machine() -> Machine:
    """This one."""
    return Machine(boot=BOOT.read_text().strip(), kernel=os.uname().release)


def parsed(lines: Sequence[str]) -> list[Event]:
    """The events in lines of audit.log. Raises RecordError."""
    return list(events(Record.from_line(line) for line in lines if line.strip()))


def contradictions(expected: Mapping[str, bool], evidence: Evidence) -> list[str]:
    """What the records do not show of what the check must have seen: for each label, whether records are expected."""
    return [why for label, some in expected.items() if (why := _contradiction(label, some, evidence.seen.get(label)))]


def _contradiction(label: str, some: bool, seen: Seen | None) -> str:
    if seen is None:
        return f"{label}: nothing was kept"
    try:
        found = parsed(seen.lines)
        about = [event for event in found if event.complete and any(path.endswith(seen.path) for path in event.paths)]
    except RecordError as error:
        return f"{label}: {str(error)[:100]}"
    if some:
        return "" if about and seen.path.startswith("/") else f"{label}: no whole record names the file"
    return f"{label}: there are records" if found else ""

"""An audit event as a card: its telling fields, and which of them are to be large."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.audit.records import Event, RecordError
from scenarios.audiences.drawing import telling
from scenarios.audiences.page.board import Lane
from scenarios.audiences.page.trees import Mark
from scenarios.performance.beats import Evidence, Opening

NAMING = ("auid", "old-auid")  # they say whom a record names
SESSIONS = ("ses", "old-ses")


@dataclass(frozen=True)
class Field:
    """name=value; large if it is what the audience should see first."""

    name: str
    value: str
    mark: Mark
    large: bool


@dataclass(frozen=True)
class Card:
    """kind is the type of the record that tells most; whole the event as `ausearch -i` prints it."""

    number: int
    kind: str
    mark: Mark
    fields: Sequence[Field]
    whole: Sequence[str]


def card(number: int, evidence: Evidence, opening: Opening, differing: frozenset[str] = frozenset()) -> Card:
    """What to show of this event; lines that are none are shown as they are."""
    try:
        event = evidence.event
        kind, shown = telling(event)
    except RecordError:
        return Card(number, "", "unknown", (), evidence.lines)
    numbers = next(record.fields for record in event.records if record.name == kind)
    fields = [_field(name, value, numbers.get(name, ""), opening, differing) for name, value in shown]
    named: Mark = next((field.mark for field in fields if field.name == "auid"), "unknown")
    return Card(number, kind, named, fields, [*event.render()])


def differing(lanes: Sequence[Lane]) -> frozenset[str]:
    """The names of the telling fields that the last records of these lanes all have, and that are not the same."""
    shown = [dict(telling(event)[1]) for event in map(_last, lanes) if event]
    names = set.intersection(*(set(fields) for fields in shown)) if len(shown) > 1 else set()
    return frozenset(name for name in names if len({fields[name] for fields in shown}) > 1)


def _last(lane: Lane) -> Event | None:
    for _, evidence in reversed(lane.run.records):
        try:
            return evidence.event
        except RecordError:
            continue
    return None


def _field(name: str, value: str, number: str, opening: Opening, differing: frozenset[str]) -> Field:
    """The value, and whose it is, if the field is about a login; uid is large only where that is the difference.

    Names are those of this machine, and the recording may be of another: whose it is, the number tells.
    """
    large = name in NAMING or (name == "uid" and "uid" in differing and "auid" not in differing)
    if name not in (*NAMING, *SESSIONS):
        return Field(name, value, "unknown", large)
    if value == "unset":
        return Field(name, value, "none", large)
    if number == str(opening.session if name in SESSIONS else opening.loginuid):
        return Field(name, opening.user if name in NAMING else value, "own", large)
    return Field(name, value, "other", large)

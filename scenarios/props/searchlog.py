"""A log for ausearch(8): that of the auditd that runs; where none does, a file that the lab's reader fills."""

from __future__ import annotations

from collections.abc import Sequence

from lab.audit.records import EOE, Event
from scenarios import needs
from scenarios.props.auditd import Auditd
from scenarios.safety.journal import Journal


class SearchLog:
    """words is the `ausearch` command that searches it; empty where ausearch is not installed."""

    def __init__(self, auditd: Auditd | None, journal: Journal) -> None:
        self._auditd = auditd
        self.words: Sequence[str] = auditd.words if auditd else ()
        if not auditd and needs.installed("ausearch"):
            self._file = journal.directory("article") / "audit.log"
            self.words = ("ausearch", "-if", str(self._file))

    def fill(self, seen: Sequence[Event]) -> None:
        """Return when these events are in the log. Raises EvidenceLost if auditd does not write them in time."""
        if self._auditd:
            self._auditd.await_event(max((event.serial for event in seen), default=0))
        elif self.words:
            kept = (record for event in seen for record in event.records if record.type != EOE)  # as auditd does
            lines = (record.to_line() for record in kept)
            self._file.write_text("\n".join(lines) + "\n", encoding="utf-8")

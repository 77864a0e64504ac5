"""Follow the records of rules that are loaded already: by the rules' key, as they come, without auditd."""

from collections.abc import Iterator
from types import TracebackType
from typing import Self

from lab.audit.netlink import AuditReader
from lab.audit.records import Event, Record

# Events whose end is still to come: those of other rules end, too, so more than a few means that an end was lost.
_MOST_OPEN = 1000


class Follower:
    """The events with a rule's key, each as soon as its last record is there. A context manager.

    key       of `-F key=`
    overrun   True once the kernel has dropped records, because they were not read in time

    Any number of followers may read beside each other: the kernel gives every record to each of them.
    """

    def __init__(self, key: str) -> None:
        """Raises AuditUnavailable where the kernel gives no records to this process."""
        self._key = key
        self._reader = AuditReader()
        self._open: dict[tuple[tuple[int, int], int], list[Record]] = {}

    @property
    def overrun(self) -> bool:
        return self._reader.overrun

    def fileno(self) -> int:
        """For poll(2): readable while records wait for `arrived`."""
        return self._reader.fileno()

    def arrived(self) -> Iterator[Event]:
        """The events whose last record is among those that are queued now; never waits."""
        for kind, text in self._reader.pending():
            record = Record.from_netlink(kind, text)
            stamp = (record.time, record.serial)
            self._open.setdefault(stamp, []).append(record)
            event = Event(tuple(self._open[stamp]))
            if event.complete:
                del self._open[stamp]
                if self._key in event.keys:
                    yield event
            elif len(self._open) > _MOST_OPEN:
                del self._open[next(iter(self._open))]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.close()

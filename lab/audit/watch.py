"""Watch one file from marker to marker: what the kernel recorded about it in between, and whether anything is missing.

    with Watch("/etc/shadow", journal=journal) as watch:
        run_a_container()
        for event in watch.collect():
            print(event.auid, *event.render(), sep="\\n")

Nothing sleeps. A marker is a user message with a random word; once it comes back through the reader, so has every
record that the kernel queued before it. A run's rules carry one random key, so an earlier run is never shown again.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Protocol, Self

from lab.audit.netlink import (
    ANSWER_SECONDS,
    AUDIT_USER,
    RECEIVE_BUFFER,
    AuditControl,
    AuditReader,
    Status,
    in_initial_namespace,
)
from lab.audit.records import Event, Record, events
from lab.audit.rules import TOUCH_CALLS, Rule, syscalls, watch
from lab.errors import AuditLocked, AuditUnavailable, EvidenceLost

RULE, ENABLED = "audit-rule", "audit-enabled"
# Seconds to wait for the rest of an event that another process is still writing when the marker is back; each longer.
_PATIENCE = (0.005, 0.05, 0.2, 1.0)


class Journal(Protocol):
    """Where a change is written down, and safe on disk, before it is made."""

    def note(self, kind: str, **facts: object) -> None: ...


class Watch:
    """The audit records about one file, while the `with` block runs.

    path            absolute; a directory is watched with what lies below
    perm            of `auditctl -p`: r, w, x, a
    journal         told of every change before it is made; `undo` takes back what it was told
    touch_calls     also watch utimensat(2) and its kin, which busybox's touch calls and `perm` does not match
    rules           these rules instead, without a key: the run's own is added
    buffer          bytes the kernel may queue for the reader until `pump` or `collect` is called

    key             the key of this run's rules
    events          every complete event so far between the markers, also those without the key (LOGIN, USER, ...)

    Entering raises AuditLocked or AuditUnavailable, then nothing is changed that is not taken back at once.
    """

    def __init__(
        self,
        path: str,
        *,
        perm: str = "wa",
        journal: Journal | None = None,
        touch_calls: bool = True,
        rules: Sequence[Rule] | None = None,
        buffer: int = RECEIVE_BUFFER,
    ) -> None:
        self.key = f"lab-{secrets.token_hex(6)}"
        if rules is None:
            rules = [watch(path, perm=perm)]
            if touch_calls:
                rules.append(syscalls(TOUCH_CALLS, filters=[f"path={path}"]))
        self.path = path
        self.rules = [rule.with_key(self.key) for rule in rules]
        self.events: list[Event] = []
        self._journal, self._buffer = journal, buffer
        self._queue: list[tuple[int, bytes]] = []
        self._since = 0
        self._lost = ""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._control = stack.enter_context(AuditControl())
            status = self._control.status()
            _refuse_locked(status)
            if in_initial_namespace("net") is False:
                raise _blind()
            self._reader = stack.enter_context(AuditReader(buffer=self._buffer))
            self._lost_before = status.lost
            if status.enabled:
                self._first_marker()
            else:
                self._enable(status, stack)
            for rule in self.rules:
                self._add(rule, stack)
            self._since = self._first_marker()
            self._queue.clear()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def lost(self) -> str:
        """What is known to be missing, as a sentence; "" if nothing is."""
        if self._reader.overrun:
            return "the kernel dropped audit records because they were not read in time (ENOBUFS)"
        dropped = self._control.status().lost - self._lost_before
        if dropped:
            return f"the kernel lost {dropped} audit records, its backlog or rate limit was reached (auditctl -s)"
        return self._lost

    def fileno(self) -> int:
        """For poll(2): readable while records wait for `pump`."""
        return self._reader.fileno()

    def pump(self) -> None:
        """Take in what is queued now, without waiting: for a workload of more than 10,000 file events."""
        self._queue += self._reader.pending()

    def collect(self) -> list[Event]:
        """The complete events since the last call (first: since the start) whose rule carries this run's key.

        All others are added to `events` with them. Raises EvidenceLost if any record of that time is missing.
        """
        self.pump()
        end = self._marker()
        found = self._until(end)
        for seconds in _PATIENCE:
            if not end or self._reader.overrun or not _incomplete(found, self._since, end):
                break
            self._queue += self._reader.records(seconds)
            found = self._until(end)
        self._lost = _incomplete(found, self._since, end) if end else "a marker record did not come back"
        if self.lost:
            raise EvidenceLost(f"audit evidence is incomplete: {self.lost}", "run it again on a quieter machine")
        self._queue = [(kind, text) for kind, text in self._queue if _serial(text) > end]
        self._since = end
        self.events += found
        return [event for event in found if self.key in event.keys]

    def matching(self, wanted: Callable[[Event], bool]) -> list[Event]:
        """Those of `events` for which the predicate holds, with or without this run's key."""
        return [event for event in self.events if wanted(event)]

    def _enable(self, status: Status, stack: ExitStack) -> None:
        facts: dict[str, object] = {"was": status.enabled, "auditd": status.pid}
        self._note(ENABLED, **facts)
        stack.callback(_restore_enabled, self._control, facts)
        self._control.set_enabled(True)

    def _add(self, rule: Rule, stack: ExitStack) -> None:
        packed = rule.pack()
        self._note(RULE, packed=packed.hex(), line=rule.to_auditctl())
        stack.callback(_remove_rule, self._control, packed)
        # First, or an administrator's own rule on the same file would put its key on the event instead of this one.
        self._control.add_rule(rule.pack(first=True))

    def _note(self, kind: str, **facts: object) -> None:
        if self._journal:
            self._journal.note(kind, **facts)

    def _first_marker(self) -> int:
        serial = self._marker()
        if not serial:
            raise _blind()
        return serial

    def _marker(self) -> int:
        """Write a marker, read until it is back; its serial, or 0 if it never came."""
        word = f"{self.key}-{secrets.token_hex(6)}"
        self._control.user_message(f"lab marker {word}")
        wanted = word.encode()
        for kind, text in self._reader.records(ANSWER_SECONDS):
            self._queue.append((kind, text))
            if kind == AUDIT_USER and wanted in text:
                return _serial(text)
        return 0

    def _until(self, end: int) -> list[Event]:
        window = (item for item in self._queue if self._since < _serial(item[1]) < end)
        return list(events(Record.from_netlink(kind, text) for kind, text in window))


def undo(kind: str, facts: Mapping[str, object]) -> None:
    """Take back a change that was journalled as (kind, facts); may be called twice, and for what was never done."""
    with AuditControl() as control:
        if kind == RULE:
            _remove_rule(control, bytes.fromhex(str(facts["packed"])))
        elif kind == ENABLED:
            _restore_enabled(control, facts)


def _remove_rule(control: AuditControl, packed: bytes) -> None:
    with suppress(FileNotFoundError):
        control.delete_rule(packed)


def _restore_enabled(control: AuditControl, facts: Mapping[str, object]) -> None:
    """Not if an audit daemon has registered since: it turned audit on for itself."""
    if control.status().pid == facts["auditd"]:
        control.set_enabled(bool(facts["was"]))


def _refuse_locked(status: Status) -> None:
    if status.locked:
        raise AuditLocked("the audit configuration is locked (enabled 2)", "only a reboot unlocks it")


def _blind() -> AuditUnavailable:
    if in_initial_namespace("net") is False:
        return AuditUnavailable(
            "audit records do not reach this network namespace: only the initial one gets them",
            "run this on the host or in a virtual machine, not in a container",
        )
    return AuditUnavailable(
        f"an audit marker did not come back in {ANSWER_SECONDS:g} s: this reader is blind",
        "look for a network namespace, or a rule that excludes msgtype=USER (auditctl -l)",
    )


def _serial(text: bytes) -> int:
    """From `audit(SECONDS.MS:SERIAL): ...`, without parsing the rest; 0 if it is no record."""
    start = text.find(b":") + 1
    digits = text[start : text.find(b")", start)]
    return int(digits) if digits.isdigit() else 0


def _incomplete(found: Iterable[Event], since: int, end: int) -> str:
    """Serials count every event of the machine: one that is missing between two markers was dropped on the way."""
    seen = set()
    for event in found:
        if not event.complete:
            return f"event {event.serial} has no end"
        seen.add(event.serial)
    missing = end - since - 1 - len(seen)
    return f"{missing} of {end - since - 1} audit events did not arrive" if missing else ""

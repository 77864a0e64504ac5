"""Watch one file from marker to marker: collect what the kernel recorded about it, and check that nothing is missing.

    with Watch("/etc/shadow", journal=journal) as watch:
        run_a_container()
        for event in watch.collect():
            print(event.auid, *event.render(), sep="\\n")

A marker is a user message with a random word. When it comes back through the reader, every record that the kernel
queued before it has come back, too; so there is no need to sleep. The rules of one run carry one random key, so events
of an earlier run are never shown.
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
from lab.audit.records import SYSCALL, Event, Record, events
from lab.audit.rules import TOUCH_CALLS, Rule, syscalls, watch
from lab.errors import AuditLocked, AuditUnavailable, EvidenceLost

RULE, ENABLED = "audit-rule", "audit-enabled"
# Seconds to wait, one after the other, for the rest of an event that another processor still writes at the marker.
_PATIENCE = (0.005, 0.05, 0.2, 1.0)


class Journal(Protocol):
    """Where each change is written to disk before it is made."""

    def note(self, kind: str, **facts: object) -> None: ...


class Watch:
    """The audit records about one file, while the `with` block runs.

    path            absolute; a directory is watched with what lies below
    perm            of `auditctl -p`: r, w, x, a
    journal         gets a note of every change before it is made; undo() takes back what a note says
    touch_calls     also watch utimensat(2) and older calls for the same: busybox's touch uses it, no `perm` matches it
    rules           watch by these rules instead; the key of the run is added to them
    buffer          bytes the kernel may queue for the reader until `pump` or `collect` is called

    key             the key of this run's rules
    events          every event between the markers so far, those without the key included (LOGIN, USER, ...)

    Entering raises AuditLocked or AuditUnavailable; all changes have been taken back then.
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
        """What is missing, as a sentence; "" if nothing is known to be missing."""
        if self._reader.overrun:
            return "the kernel dropped audit records because they were not read in time (ENOBUFS)"
        dropped = self._control.status().lost - self._lost_before
        if dropped:
            return f"the kernel lost {dropped} audit records, its backlog or rate limit was reached (auditctl -s)"
        return self._lost

    def check(self) -> None:
        """Raise EvidenceLost if a missing record proves nothing: a rule of this watch is gone, or records were lost."""
        loaded = sum(self.key.encode() in packed for packed in self._control.rules())
        if loaded < len(self.rules):
            raise EvidenceLost(
                f"{len(self.rules) - loaded} of {len(self.rules)} audit rules of this run were removed meanwhile",
                "run this again, while nothing else changes the rules (auditctl -D, augenrules --load)",
            )
        if self.lost:
            raise EvidenceLost(f"audit evidence is incomplete: {self.lost}", _remedy(self._control.status()))

    def fileno(self) -> int:
        """For poll(2): readable while records wait for `pump`."""
        return self._reader.fileno()

    def pump(self) -> int:
        """Read what is queued now, without waiting. Call this during a workload of more than 10,000 file events.

        Returns how many system calls of the machine are told of by what was read now.
        """
        before = len(self._queue)
        self._queue += self._reader.pending()
        return sum(kind == SYSCALL for kind, _ in self._queue[before:])

    def collect(self) -> list[Event]:
        """The events with this run's key since the last call, or since the start.

        They and all other events of that time are added to `events`. Raises EvidenceLost if a record is missing.
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
            raise EvidenceLost(f"audit evidence is incomplete: {self.lost}", _remedy(self._control.status()))
        self._queue = [(kind, text) for kind, text in self._queue if _serial(text) > end]
        self._since = end
        self.events += found
        return [event for event in found if self.key in event.keys]

    def matching(self, wanted: Callable[[Event], bool]) -> list[Event]:
        """The `events` for which the predicate holds, with or without this run's key."""
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
        # First, since only the first rule that matches gives its key, and an administrator may watch the same file.
        self._control.add_rule(rule.pack(first=True))

    def _note(self, kind: str, **facts: object) -> None:
        if self._journal:
            self._journal.note(kind, **facts)

    def _first_marker(self) -> int:
        serial = self._marker()
        if not serial:
            status = self._control.status()
            if status.lost > self._lost_before:
                raise EvidenceLost("the kernel lost an audit marker", _remedy(status))
            raise _blind()
        return serial

    def _marker(self) -> int:
        """Write a marker and read until it is back. Returns its serial, or 0 if it has not come back in time."""
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


def undo(kind: str, facts: Mapping[str, object]) -> bool:
    """Take back a change that was noted as (kind, facts).

    Returns whether there was anything to take back: it does not matter if it was never made or is taken back already.
    """
    with AuditControl() as control:
        if kind == RULE:
            return _remove_rule(control, bytes.fromhex(str(facts["packed"])))
        return _restore_enabled(control, facts)


def _remove_rule(control: AuditControl, packed: bytes) -> bool:
    with suppress(FileNotFoundError):
        control.delete_rule(packed)
        return True
    return False


def _restore_enabled(control: AuditControl, facts: Mapping[str, object]) -> bool:
    """Restore the enabled flag, unless an audit daemon has registered since: that needs audit to be on."""
    status = control.status()
    if status.pid != facts["auditd"]:
        return False
    control.set_enabled(bool(facts["was"]))
    return status.enabled != facts["was"]


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
        f"an audit marker did not come back in {ANSWER_SECONDS:g} s: no record reaches this reader",
        "run this in the initial network namespace, and remove a rule that excludes msgtype=USER (auditctl -l)",
    )


def _remedy(status: Status) -> str:
    """What to do about lost records; auditctl(8), -r."""
    if status.rate_limit:
        return f"lift the rate limit, which is {status.rate_limit} records a second: sudo auditctl -r 0"
    return "run this again while less happens on the machine"


def _serial(text: bytes) -> int:
    """The serial in `audit(SECONDS.MS:SERIAL): ...`; 0 if the text is not a record."""
    start = text.find(b":") + 1
    digits = text[start : text.find(b")", start)]
    return int(digits) if digits.isdigit() else 0


def _incomplete(found: Iterable[Event], since: int, end: int) -> str:
    """What is missing, as a sentence. Serials count all events of the machine: a gap between two markers is a loss."""
    seen = set()
    for event in found:
        if not event.complete:
            return f"event {event.serial} has no end"
        seen.add(event.serial)
    missing = end - since - 1 - len(seen)
    return f"{missing} of {end - since - 1} audit events did not arrive" if missing else ""

"""What this process can do with the kernel's audit; the probe changes nothing."""

import secrets
from dataclasses import dataclass

from lab.audit.netlink import ANSWER_SECONDS, AUDIT_USER, AuditControl, AuditReader, Status, in_initial_namespace
from lab.errors import AuditUnavailable


@dataclass(frozen=True, slots=True)
class AuditProbe:
    """What probe() found.

    status          the answer to AUDIT_GET; None if this process may not control audit
    can_read        the multicast group may be joined
    marker          whether a record comes back to this reader; None if that cannot be told: while audit is off, no
                    record is written, and a rate limit drops some
    reasons         a sentence for each thing that is wrong, with what to do
    """

    status: Status | None
    can_read: bool
    marker: bool | None
    reasons: tuple[str, ...]

    @property
    def locked(self) -> bool:
        return self.status is not None and self.status.locked

    @property
    def limited(self) -> int:
        """The rate limit, in records a second, above which the kernel drops them; 0 if there is none; auditctl(8)."""
        return self.status.rate_limit if self.status else 0

    @property
    def auditd(self) -> int:
        """The pid of the registered audit daemon; 0 if there is none or if that is unknown."""
        return self.status.pid if self.status else 0

    @property
    def usable(self) -> bool:
        """Whether Watch will work here."""
        return not self.reasons


def probe() -> AuditProbe:
    """Look at the kernel's audit; never raises if something is missing.

    If audit is on, this writes one AUDIT_USER record to see whether it comes back: a harmless line in the log.
    """
    reasons: list[str] = []
    status = _status(reasons)
    if reasons and "no audit subsystem" in reasons[0]:
        return AuditProbe(None, False, None, tuple(reasons))
    if status and status.locked:
        reasons.append("the audit configuration is locked (enabled 2); only a reboot unlocks it")
    can_read, marker = _reading(status, reasons)
    return AuditProbe(status, can_read, marker, tuple(reasons))


def _status(reasons: list[str]) -> Status | None:
    try:
        with AuditControl() as control:
            return control.status()
    except AuditUnavailable as error:
        reasons.append(_sentence(error))
        return None


def _reading(status: Status | None, reasons: list[str]) -> tuple[bool, bool | None]:
    try:
        with AuditReader() as reader:
            marker = _marker_returns(reader) if status and status.enabled else None
            if marker is False and status and status.rate_limit and in_initial_namespace("net") is not False:
                return True, None  # a limit may have dropped the marker: `limited` says so
            if marker is False or in_initial_namespace("net") is False:
                marker = False
                reasons.append(
                    "audit records do not arrive here: run this in the initial network namespace, "
                    "and remove a rule that excludes msgtype=USER (auditctl -l)"
                )
            return True, marker
    except AuditUnavailable as error:
        reasons.append(_sentence(error))
        return False, None


def _marker_returns(reader: AuditReader) -> bool:
    word = f"lab-probe-{secrets.token_hex(6)}"
    with AuditControl() as control:
        control.user_message(f"lab marker {word}")
    wanted = word.encode()
    return any(kind == AUDIT_USER and wanted in text for kind, text in reader.records(ANSWER_SECONDS))


def _sentence(error: AuditUnavailable) -> str:
    return f"{error.message}; {error.hint}" if error.hint else error.message

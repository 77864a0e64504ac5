"""The audit feature loginuid_immutable: no process can change a loginuid that is set, whatever its capabilities.

`auditctl --loginuid-immutable` turns the feature on and locks it until the next boot. The lab turns it on without the
lock, only in its own machine, and off again; audit_set_feature() in kernel/audit.c.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lab.audit.netlink import LOGINUID_IMMUTABLE, AuditControl
from lab.errors import MissingFeature
from scenarios.safety.guest import FEATURE, LAB_MACHINE, loginuid_changeable
from scenarios.safety.journal import Journal


def is_on() -> bool:
    """Whether the machine has the feature on."""
    with AuditControl() as control:
        return bool(control.features()[0] & LOGINUID_IMMUTABLE)


@contextmanager
def immutable(journal: Journal) -> Iterator[None]:
    """Turn the feature on for the length of the block. Raises MissingFeature outside the lab's own machine."""
    if not LAB_MACHINE.exists():
        raise MissingFeature("loginuid_immutable would hold for this whole machine", "run this in the lab's guest")
    journal.note(FEATURE)
    try:
        with AuditControl() as control:
            control.set_feature(LOGINUID_IMMUTABLE, True)
        yield
    finally:
        loginuid_changeable()

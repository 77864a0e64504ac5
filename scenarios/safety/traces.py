"""The last check of every run: is anything left behind? It looks at the machine, not at the journal."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from lab.audit.netlink import AuditControl
from lab.audit.rules import Rule
from lab.errors import LabError
from lab.paths import STATE
from lab.runtime.rootfs import STAGING
from scenarios.safety import guest
from scenarios.safety.undo import DIRECTORY, UNITS

OWN_KEY = "lab-"
LOCKED = 2  # of the enabled flag, which the lab never sets; auditctl(8), -e
OWN_PLACES = (f"{DIRECTORY}/", f"{STATE}/")


@dataclass(frozen=True)
class Traces:
    """What a run could leave behind, as the machine has it at one moment.

    auditd is the pid of the audit daemon, or 0. machine is what the lab changes in its own virtual machine alone, and
    its units of systemd's. file is the watched file's device, inode, mode, owner, group and SHA-256; "" where there is
    none.
    """

    rules: frozenset[bytes]
    enabled: int
    auditd: int
    mounts: frozenset[str]
    sockets: frozenset[str]
    machine: frozenset[str]
    file: str

    @classmethod
    def now(cls, target: str) -> Traces:
        with AuditControl() as control:
            rules, status, machine = frozenset(control.rules()), control.status(), guest.changes(control)
        machine |= {str(path) for path in UNITS.glob("lab-*")}
        return cls(rules, status.enabled, status.pid, _mounts(), _sockets(), machine, _file(target))

    def expect_nothing_left(self, after: Traces, keys: Collection[str]) -> None:
        """Raises LabError, which names each difference, if the run has left something; keys are those of its rules.

        Compared are rules with these keys, mounts and sockets in the lab's places, what holds for a whole machine, and
        the enabled flag, which the lab restores unless an audit daemon has come or gone meanwhile, or somebody has
        locked audit.
        """
        added = [rule for rule in map(Rule.unpack, after.rules - self.rules) if rule.key in keys]
        left = [f"audit rule {rule.to_auditctl()}" for rule in added]
        left += [f"mount on {path}" for path in after.mounts - self.mounts]
        left += [f"socket {path}" for path in after.sockets - self.sockets]
        left += after.machine - self.machine
        if not self._enabled_by_others(after):
            left += self._enabled(after)
        if left:
            raise LabError(
                f"left behind: {'; '.join(sorted(left))}", "`sudo lab restore` takes back what is journalled"
            )

    def changed_by_others(self, after: Traces) -> list[str]:
        """What is different and cannot come from the lab: `auditctl -D`, a start of auditd, passwd(1)."""
        gone = [rule for rule in map(Rule.unpack, self.rules - after.rules) if not rule.key.startswith(OWN_KEY)]
        changed = [f"audit rule {rule.to_auditctl()} is gone" for rule in gone]
        if self._enabled_by_others(after):
            changed += self._enabled(after)
        if after.file != self.file:
            changed.append(f"the watched file was {self.file or 'missing'}, and is {after.file or 'missing'}")
        return sorted(changed)

    def _enabled(self, after: Traces) -> list[str]:
        if after.enabled == self.enabled:
            return []
        return [f"audit's enabled flag is {after.enabled}, and was {self.enabled}"]

    def _enabled_by_others(self, after: Traces) -> bool:
        return after.auditd != self.auditd or after.enabled == LOCKED


def _mounts() -> frozenset[str]:
    """Mounts where only the lab mounts, and on the runtime's staging place, where none may ever be seen; proc(5)."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()]
    return frozenset(f"{p} ({points.count(p)})" for p in points if p == STAGING or p.startswith(OWN_PLACES))


def _sockets() -> frozenset[str]:
    """Listening UNIX sockets in the lab's own places; unix(7)."""
    lines = Path("/proc/net/unix").read_text(encoding="utf-8").splitlines()[1:]
    paths = [fields[7] for fields in (line.split(None, 7) for line in lines) if len(fields) == 8]
    return frozenset(path for path in paths if path.startswith(OWN_PLACES))


def _file(target: str) -> str:
    path = Path(target)
    try:
        status, digest = path.stat(), hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""
    return f"{status.st_dev}:{status.st_ino} {status.st_mode:o} {status.st_uid}:{status.st_gid} sha256:{digest[:16]}"

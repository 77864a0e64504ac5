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
from scenarios.safety.undo import DIRECTORY

OWN_KEY = "lab-"
OWN_PLACES = (f"{DIRECTORY}/", f"{STATE}/")


@dataclass(frozen=True)
class Traces:
    """What a run could leave behind, as the machine has it at one moment.

    file is the watched file's device, inode, mode, owner, group and SHA-256; "" where there is none.
    """

    rules: frozenset[bytes]
    enabled: int
    mounts: frozenset[str]
    sockets: frozenset[str]
    file: str

    @classmethod
    def now(cls, target: str) -> Traces:
        with AuditControl() as control:
            rules, enabled = frozenset(control.rules()), control.status().enabled
        return cls(rules, enabled, _mounts(), _sockets(), _file(target))

    def expect_same(self, after: Traces, keys: Collection[str]) -> None:
        """Raises LabError, which names each difference, if the run has left something; keys are those of its rules.

        Compared are rules with these keys, other rules that are gone, mounts and sockets in the lab's places, the
        enabled flag and the watched file. All else that other programs change meanwhile is ignored.
        """
        added = [rule for rule in map(Rule.unpack, after.rules - self.rules) if rule.key in keys]
        gone = [rule for rule in map(Rule.unpack, self.rules - after.rules) if not rule.key.startswith(OWN_KEY)]
        left = [f"audit rule {rule.to_auditctl()}" for rule in added]
        left += [f"audit rule removed: {rule.to_auditctl()}" for rule in gone]
        left += [f"mount on {path}" for path in after.mounts - self.mounts]
        left += [f"socket {path}" for path in after.sockets - self.sockets]
        if after.enabled != self.enabled:
            left.append(f"audit enabled flag is {after.enabled}, was {self.enabled}")
        if after.file != self.file:
            left.append(f"the watched file has changed: {self.file} became {after.file}")
        if left:
            raise LabError(
                f"left behind: {'; '.join(sorted(left))}", "`sudo lab restore` takes back what is journalled"
            )


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
